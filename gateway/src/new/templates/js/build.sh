#!/usr/bin/env bash
# Builds the component: ./build.sh [OUTPUT], without to {{name}}.wasm beside this folder.
# needs: esbuild componentize-js
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")"
PATH=$PWD/node_modules/.bin:$PATH
if ! command -v componentize-js >/dev/null || ! command -v esbuild >/dev/null; then
  npm install --no-audit --no-fund
fi
work=${WORK:-$PWD/.build}
mkdir -p "$work"
# One file out of app.js and the libraries that it imports from npm.
esbuild app.js --log-level=warning --bundle --format=esm --target=es2022 --outfile="$work/bundle.js"
# In one step, so that a gateway never sees half a file. The part that fetches is left out: a task that
# fetches needs a grant for the host, and this line without its --disable.
out=${1:-../{{name}}.wasm}
componentize-js "$work/bundle.js" --wit wit --world-name task --disable http fetch-event --out "$out.new"
mv "$out.new" "$out"
