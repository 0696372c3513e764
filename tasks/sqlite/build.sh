#!/usr/bin/env bash
# Builds SQLite with its command line in main.c: ./build.sh OUTPUT, or without to sqlite.wasm beside.
# needs: zig
#
# zig is a whole C toolchain for WASI in one package that needs neither root nor a certain distribution; with
# clang and wasi-libc the line is: clang --target=wasm32-wasi (the rest is the same).
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")"
out=${1:-$PWD/sqlite.wasm}
work=${WORK:-$(mktemp -d)}

# SQLite's source in one file, out of the package that brings it to Rust programs: fetched by cargo, which
# checks the package, and checked once more. SQLite 3.53.2.
readonly package=libsqlite3-sys version=0.38.2
readonly sha256=0a409f1633283fa31a9126b11fbfd64a1991c5d30defad07e5745d4667f5e23d
source=$work/vendor/$package/sqlite3
if ! sha256sum --check --status <<<"$sha256  $source/sqlite3.c" 2>/dev/null; then
  mkdir -p "$work/fetch/src"
  : >"$work/fetch/src/lib.rs"
  printf '[package]\nname = "fetch"\nversion = "0.0.0"\nedition = "2021"\n[workspace]\n[dependencies]\n%s = "=%s"\n' \
    "$package" "$version" >"$work/fetch/Cargo.toml"
  (cd "$work/fetch" && cargo vendor --quiet "$work/vendor" >/dev/null)
  sha256sum --check --quiet <<<"$sha256  $source/sqlite3.c"
fi

# Out of a sandbox there is nothing to load, to share or to map; temporary tables stay in memory.
options=(
  -DSQLITE_THREADSAFE=0 -DSQLITE_OMIT_LOAD_EXTENSION -DSQLITE_OMIT_SHARED_CACHE -DSQLITE_OMIT_DEPRECATED
  -DSQLITE_MAX_MMAP_SIZE=0 -DSQLITE_TEMP_STORE=3 -DSQLITE_DQS=0 -DSQLITE_DEFAULT_MEMSTATUS=0
  -DSQLITE_LIKE_DOESNT_MATCH_BLOBS
  -DSQLITE_ENABLE_FTS5 -DSQLITE_ENABLE_RTREE -DSQLITE_ENABLE_MATH_FUNCTIONS -DSQLITE_ENABLE_STMTVTAB
)
# The library compiles for a minute, main.c in no time: kept apart.
object=$work/sqlite3-$(printf '%s\n' "$sha256" "${options[@]}" | sha256sum | cut -c 1-16).o
if ! [ -e "$object" ]; then
  zig cc -target wasm32-wasi -O2 -w "${options[@]}" -c -o "$object.new" "$source/sqlite3.c"
  mv "$object.new" "$object"
fi
zig cc -target wasm32-wasi -O2 -s -Wall -Wextra -I"$source" -Wl,--initial-memory=4194304 -Wl,-z,stack-size=1048576 -o "$out" main.c "$object"
