#!/usr/bin/env bash
# Builds the component: ./build.sh [OUTPUT], without to {{name}}.wasm beside this folder.
# needs: cargo
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")"
work=${WORK:-$PWD/target}
# Flags meant for this machine's own programs would replace those in .cargo/config.toml.
env -u RUSTFLAGS -u CARGO_ENCODED_RUSTFLAGS -u CARGO_BUILD_TARGET \
  cargo build --release --target wasm32-wasip2 --target-dir "$work" || {
  echo "if the target is missing: rustup target add wasm32-wasip2" >&2
  exit 1
}
# In one step, so that a gateway never sees half a file.
out=${1:-../{{name}}.wasm}
cp "$work/wasm32-wasip2/release/task.wasm" "$out.new"
mv "$out.new" "$out"
