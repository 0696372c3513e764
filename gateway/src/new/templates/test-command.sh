#!/usr/bin/env bash
# Runs the built command in the gateway's sandbox and looks at the answers. Build first.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")"
unblock=${UNBLOCK:-unblock}
fail() { echo "test: $*" >&2; exit 1; }
command -v "$unblock" >/dev/null || fail "no $unblock: put it in the PATH, or its path in UNBLOCK"
[ -e ../{{name}}.wasm ] || fail "no ../{{name}}.wasm: run ./build.sh"
{{native}}
answer=$("$unblock" run ../{{name}}.wasm you </dev/null)
[ "$answer" = "Hello, you" ] || fail "found '$answer', expected 'Hello, you'"
answer=$(echo you | "$unblock" run ../{{name}}.wasm)
[ "$answer" = "Hello, you" ] || fail "from standard input: found '$answer', expected 'Hello, you'"
if error=$(echo | "$unblock" run ../{{name}}.wasm 2>&1); then
  fail "an empty name must be refused, found '$error'"
fi
[[ $error = *"found an empty name"* ]] || fail "found the error '$error'"
echo "test: passed"
