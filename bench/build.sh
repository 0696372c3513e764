#!/usr/bin/env bash
# Builds what the benchmark calls: the sample tasks, and bench/guest as bench/add-std.wasm.
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
