#!/usr/bin/env bash
# Builds every sample task: tasks/NAME/ becomes the WebAssembly module tasks/NAME.wasm; and the
# guests that the tests call: tests/guests/NAME/ becomes target/guests/NAME.wasm.
#
#   tasks/build.sh        those in Rust, and those in other languages whose toolchain is there
#   tasks/build.sh all    all of them; brings their toolchains into target/toolchains first
#
# For Rust it brings what is missing on a new machine: a C linker for build scripts and the standard
# libraries for WASI 0.2 and preview 1, from rustup or, where rustup cannot have them, from Debian.
# The others have a build.sh in their folder and are driven by toolchains/bring.sh.
# A second run with nothing changed takes about a second and touches no file.
#
# Environment: CARGO_TARGET_DIR, where to build (default: target/ at the top of the repository).
set -euo pipefail

readonly target=wasm32-wasip2
readonly preview1=wasm32-wasip1 # only a test guest is built for it, as a core module
readonly toolchain=guests # the name under which rustup knows Debian's compiler
readonly debian_packages=(rustc-web cargo-web rust-web-src rust-web-llvm wasi-libc)

tasks=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
root=$(dirname "$tasks")
scratch=$(mktemp -d)
trap 'rm -rf "$scratch" "$tasks"/.*.wasm.'$$ EXIT

say() { printf 'build-tasks: %s\n' "$*"; }
fail() { printf 'build-tasks: %s\n' "$@" >&2; exit 1; }
have() { command -v "$1" >/dev/null 2>&1; }

# Runs a command silently; shows what it printed only if it fails.
quietly() {
  "$@" >"$scratch/log" 2>&1 || { cat "$scratch/log" >&2; return 1; }
}

can_install() { [ "$(id -u)" = 0 ] && have apt-get; }

apt_install() {
  export DEBIAN_FRONTEND=noninteractive
  quietly apt-get update -q &&
    quietly apt-get install -y -q --no-install-recommends "$@"
}

# True if the compiler that rustup (or the PATH) chooses has the targets' standard libraries.
has_targets() {
  local each dir
  for each in "$target" "$preview1"; do
    dir=$(rustc --print target-libdir --target "$each" 2>/dev/null) &&
      compgen -G "$dir/libstd-*.rlib" >/dev/null || return
  done
}

bring_linker() {
  have cc && return
  can_install || fail "no C compiler (cc), which Rust needs to link build scripts." \
    "install one, for example: apt-get install build-essential"
  say "installing build-essential, for the linker"
  apt_install build-essential || fail "apt-get could not install build-essential"
}

# Sets RUSTUP_TOOLCHAIN if the targets come from a compiler other than the default one.
bring_targets() {
  has_targets && return
  if RUSTUP_TOOLCHAIN=$toolchain has_targets && debian_is_current; then
    export RUSTUP_TOOLCHAIN=$toolchain
    return
  fi
  if have rustup; then
    say "adding the targets $target and $preview1 with rustup"
    RUSTUP_MAX_RETRIES=1 timeout 300 rustup target add "$target" "$preview1" >"$scratch/rustup" 2>&1 || true
    has_targets && return
    say "rustup cannot get them: $(grep -m 1 -i error "$scratch/rustup" || tail -n 1 "$scratch/rustup")"
  fi
  if can_install && have rustup; then
    bring_debian
    return
  fi
  fail "the Rust standard library for $target or $preview1 is missing. Any of these helps:" \
    "  rustup target add $target $preview1" \
    "  run this script as root on Debian 12, which has packages for it"
}

debian_lib() { printf '/usr/lib/rustlib/%s/lib' "$1"; }

# The libraries that bring_debian built belong to exactly one version of Debian's compiler.
debian_is_current() {
  local each
  for each in "$target" "$preview1"; do
    [ "$(cat "$(debian_lib "$each")/.built" 2>/dev/null)" = "$(/usr/bin/rustc --version 2>/dev/null)" ] || return
  done
}

# Debian packages a newer compiler, its sources and a libc for WASI, but no standard library
# for WASI: build that once, and make the compiler known to rustup.
bring_debian() {
  if ! dpkg -s "${debian_packages[@]}" >/dev/null 2>&1; then
    say "installing Debian's Rust with WebAssembly (170 MB to download, 900 MB on disk)"
    apt_install "${debian_packages[@]}" || fail "apt-get could not install: ${debian_packages[*]}"
  fi
  if ! debian_is_current; then
    say "building the standard libraries for $target and $preview1, once (about a minute)"
    build_std "$target"
    build_std "$preview1"
  fi
  quietly rustup toolchain link "$toolchain" /usr
  export RUSTUP_TOOLCHAIN=$toolchain
  has_targets || fail "Debian's compiler still lacks $target or $preview1 in /usr/lib/rustlib"
}

build_std() { # TARGET
  local lib for_target=$1 work=$scratch/std-$1
  lib=$(debian_lib "$for_target")
  rm -rf "$lib"
  mkdir -p "$lib" "$work/src"
  ln -s /usr/lib/wasm32-wasi "$lib/self-contained" # where rustc looks for libc.a by itself
  : >"$work/src/lib.rs"
  cat >"$work/Cargo.toml" <<'TOML'
[package]
name = "sysroot"
version = "0.0.0"
edition = "2021"
[workspace]
[profile.release]
opt-level = "s"
TOML
  # RUSTC_BOOTSTRAP allows -Zbuild-std; with embedded bitcode the tasks can use link-time optimisation.
  (
    cd "$work"
    quietly env -u RUSTC -u CARGO -u RUSTUP_TOOLCHAIN -u CARGO_ENCODED_RUSTFLAGS \
      PATH="/usr/bin:$PATH" RUSTC_BOOTSTRAP=1 RUSTFLAGS=-Cembed-bitcode=yes \
      /usr/bin/cargo build --release --target "$for_target" --target-dir "$work/target" \
      -Zbuild-std=std,panic_abort,panic_unwind,test
  )
  cp "$work/target/$for_target/release/deps/"lib*.rlib "$lib/"
  rm -f "$lib"/libsysroot-*.rlib
  /usr/bin/rustc --version >"$lib/.built"
}

# The folders of tasks/ that make a module: a program, or a library of crate-type cdylib.
samples() {
  local manifest folder
  for manifest in "$tasks"/*/Cargo.toml; do
    folder=$(dirname "$manifest")
    # What `unblock new` makes builds itself.
    [ -e "$folder/build.sh" ] && continue
    if [ -e "$folder/src/main.rs" ] || grep -q '"cdylib"' "$manifest"; then
      basename "$folder"
    fi
  done
}

# Puts a module in place in one step, and only if it changed: a gateway that serves the
# folder never sees half a file and does not reload for nothing.
install_module() {
  local built=$1 module=$tasks/$2.wasm temporary=$tasks/.$2.wasm.$$
  cmp -s "$built" "$module" && return
  cp "$built" "$temporary"
  mv "$temporary" "$module"
  say "tasks/$2.wasm ($(($(wc -c <"$module") / 1024)) KiB)"
}

# Compiles packages for one target; what comes out is in $out/TARGET/guest.
compile() { # TARGET ARGUMENT...
  local for_target=$1
  shift
  # Flags meant for this machine's own programs would replace those in .cargo/config.toml.
  env -u RUSTFLAGS -u CARGO_ENCODED_RUSTFLAGS -u CARGO_BUILD_TARGET \
    cargo build --quiet --profile guest --target "$for_target" --target-dir "$out" "$@"
}

# The guests of the tests: one binary for WASI commands of 0.2 and preview 1, one for those of 0.3, one
# handler for each wasi:http, functions over streams, and a task for the SDK.
install_guests() {
  # Core modules: a program, functions of numbers, and a sample with its component types in it.
  compile "$preview1" -p guest-command -p guest-numbers -p sleep
  mkdir -p "$out/guests"
  local pair
  for pair in "$target/guest/guest_http_p2 http-p2" "$target/guest/guest_http_p3 http-p3" \
    "$target/guest/guest-command command" "$preview1/guest/guest-command command-preview1" \
    "$target/guest/guest_command_p3 command-p3" "$target/guest/guest_flow flow" \
    "$preview1/guest/guest_numbers numbers" "$preview1/guest/sleep sleep-core" \
    "$target/guest/guest_sdk sdk" "$target/guest/probe probe"; do
    cp "$out/${pair% *}.wasm" "$out/guests/${pair#* }.wasm"
  done
}

. "$tasks/toolchains/bring.sh"

main() {
  local what=there
  case ${*:-} in
    "") ;;
    all) what=all ;;
    *) fail "found '$*', expected nothing or: all" ;;
  esac
  have cargo || PATH=${CARGO_HOME:-$HOME/.cargo}/bin:$PATH
  have cargo || fail "no cargo: install Rust first, see https://rustup.rs"
  cd "$root"
  bring_linker
  bring_targets

  local names name packages=() out=${CARGO_TARGET_DIR:-target}
  mapfile -t names < <(samples)
  [ "${#names[@]}" -gt 0 ] || fail "no folder of $tasks holds a task"
  for name in "${names[@]}"; do packages+=(-p "$name"); done
  say "compiling ${names[*]}"
  compile "$target" "${packages[@]}" -p guest-http-p2 -p guest-http-p3 -p guest-command -p guest-command-p3 \
    -p guest-flow -p guest-sdk -p probe
  install_guests

  for name in "${names[@]}"; do
    local module=$out/$target/guest/${name//-/_}.wasm
    [ -e "$module" ] || module=$out/$target/guest/$name.wasm
    install_module "$module" "$name"
  done
  local built=("${names[@]}")
  build_others "$what"
  say "up to date: ${built[*]}"
}

main "$@"
