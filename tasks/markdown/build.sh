#!/usr/bin/env bash
# Builds the component: ./build.sh OUTPUT, or without to markdown.wasm beside.
# needs: componentize-py python3
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")"
libraries=${WORK:-$(mktemp -d)}/libraries
if ! cmp -s requirements.txt "$libraries/requirements.txt"; then
  rm -rf "$libraries"
  python3 -m pip install --quiet --disable-pip-version-check --require-hashes --target "$libraries" -r requirements.txt
  cp requirements.txt "$libraries/"
fi
componentize-py -d wit -w markdown componentize app -p . -p "$libraries" -o "${1:-markdown.wasm}"
