#!/usr/bin/env bash
# Calls the module in the gateway's sandbox and looks at the answers.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")"
unblock=${UNBLOCK:-unblock}
fail() { echo "test: $*" >&2; exit 1; }
command -v "$unblock" >/dev/null || fail "no $unblock: put it in the PATH, or its path in UNBLOCK"
answer=$("$unblock" run ../{{name}}.wat add a=40 b=2)
[ "$answer" = 42 ] || fail "found '$answer', expected 42"
if error=$("$unblock" run ../{{name}}.wat add a=many b=2 2>&1); then
  fail "what is no number must be refused, found '$error'"
fi
echo "test: passed"
