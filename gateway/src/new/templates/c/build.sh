#!/usr/bin/env bash
# Builds the command: ./build.sh [OUTPUT], without to {{name}}.wasm beside this folder.
# needs: zig
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")"
if command -v zig >/dev/null; then
  compile=(zig cc)
elif python3 -c 'import ziglang' 2>/dev/null; then
  compile=(python3 -m ziglang cc)
else
  echo "no zig, which brings clang and a C library for WASI: pip install ziglang==0.17.1 (Debian: in a virtual environment), or ziglang.org" >&2
  exit 1
fi
# In one step, so that a gateway never sees half a file.
out=${1:-../{{name}}.wasm}
"${compile[@]}" -target wasm32-wasi -Os -s -Wall -Wextra -o "$out.new" main.c
mv "$out.new" "$out"
