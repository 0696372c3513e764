#!/usr/bin/env bash
# Builds the component: ./build.sh OUTPUT, or without to jsonata.wasm beside.
# needs: esbuild componentize-js
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")"
work=${WORK:-$(mktemp -d)}
export PATH=$PWD/node_modules/.bin:$PATH # after `npm install` in this folder

# The WIT and that of what it imports, in the folders that the tools look for.
rm -rf "$work/wit"
mkdir -p "$work/wit/deps/task"
cp wit/jsonata.wit "$work/wit/"
cp ../../wit/task.wit "$work/wit/deps/task/"

# One file out of app.js and its libraries; what the gateway offers is left to it.
esbuild app.js --log-level=warning --bundle --format=esm --target=es2022 '--external:unblock:*' --outfile="$work/bundle.js"
# It needs no network of its own.
componentize-js "$work/bundle.js" --wit "$work/wit" --world-name jsonata --disable http fetch-event --out "${1:-jsonata.wasm}"
