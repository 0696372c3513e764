#!/usr/bin/env bash
# Builds the command: ./build.sh OUTPUT, or without to csv.wasm beside.
# needs: go
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")"
GOOS=wasip1 GOARCH=wasm go build -trimpath -buildvcs=false -ldflags='-s -w' -o "${1:-csv.wasm}" .
