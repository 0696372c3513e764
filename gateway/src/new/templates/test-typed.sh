#!/usr/bin/env bash
# Calls the built module in the gateway's sandbox and looks at the answers. Build first.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")"
unblock=${UNBLOCK:-unblock}
fail() { echo "test: $*" >&2; exit 1; }
command -v "$unblock" >/dev/null || fail "no $unblock: put it in the PATH, or its path in UNBLOCK"
[ -e ../{{name}}.wasm ] || fail "no ../{{name}}.wasm: run ./build.sh"
{{native}}
answer=$("$unblock" run ../{{name}}.wasm greet '{"name": "you"}')
[ "$answer" = "Hello, you" ] || fail "found '$answer', expected 'Hello, you'"
if error=$("$unblock" run ../{{name}}.wasm greet '{"name": " "}' 2>&1); then
  fail "an empty name must be refused, found '$error'"
fi
[[ $error = *"found an empty name"* ]] || fail "found the error '$error'"
echo "test: passed"
