#!/usr/bin/env bash
# Builds the component: ./build.sh [OUTPUT], without to {{name}}.wasm beside this folder.
# needs: componentize-py python3
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")"
command -v componentize-py >/dev/null || {
  echo "no componentize-py: pip install componentize-py==0.25.1 (Debian: in a virtual environment)" >&2
  exit 1
}
libraries=${WORK:-$PWD/.build}/libraries
if ! cmp -s requirements.txt "$libraries/requirements.txt"; then
  rm -rf "$libraries"
  mkdir -p "$libraries"
  if grep -q '^[^#]' requirements.txt; then
    python3 -m pip install --quiet --disable-pip-version-check --target "$libraries" -r requirements.txt
  fi
  cp requirements.txt "$libraries/"
fi
# In one step, so that a gateway never sees half a file.
out=${1:-../{{name}}.wasm}
componentize-py -d wit -w task componentize app -p . -p "$libraries" -o "$out.new"
mv "$out.new" "$out"
