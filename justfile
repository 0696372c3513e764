# Recipes of the project, and its contributor guide: `just check` and `just test` are what CI runs.
# Everything is built in one profile, release, so that wasmtime is compiled once (decisions/002).

set shell := ["bash", "-euo", "pipefail", "-c"]

# List the recipes.
default:
    @just --list --unsorted

# Build the sample tasks into tasks/*.wasm; `just build-tasks all` brings the toolchains of all languages.
build-tasks *what:
    @tasks/build.sh {{what}}

# Serve tasks/ on http://127.0.0.1:8888 (flags after `--`: just serve --listen 0.0.0.0:80).
serve *flags:
    cargo build --release -p gateway
    target/release/unblock serve {{flags}}

# All tests: the gateway with real servers, what guests import, the pool without wasm, the SDK and the tasks natively, the benchmark.
test *filter: build-tasks
    cargo test --release -p gateway -p unblock-host {{filter}}
    cargo test -p unblock-pool {{filter}}
    cargo test --release -p bench {{filter}}
    cargo test --release -p unblock-fuzz {{filter}}
    cargo test -p unblock-sdk -p unblock-sdk-macros -p bench-native -p guest-sdk -p sleep -p password -p render -p thumbnail {{filter}}

# The corpus of hostile guests against the built program; its figures go into docs/reliability.md.
hostile:
    cargo test --release -p gateway -p unblock-host --test all -- --nocapture hostile::no_guest | tee target/hostile.log
    echo '| attacks | how | promised | guest | over after | neighbour p99 | peak |' >target/hostile.rows
    echo '|---|---|---|---|---|---|---|' >>target/hostile.rows
    grep '^| ' target/hostile.log >>target/hostile.rows
    awk '/<!-- hostile: end -->/ { skip = 0 } !skip { print } /<!-- hostile: begin -->/ { while ((getline row < "target/hostile.rows") > 0) print row; skip = 1 }' docs/reliability.md >target/reliability.md
    mv target/reliability.md docs/reliability.md

# The API's description: a validator, and generated requests for so many seconds (default 120); API_TEST_CALLERS=96 keeps the gateway saturated meanwhile.
api-test *seconds: build-tasks
    tests/openapi/run {{seconds}}

# The page behind /docs in a headless Chromium; brings that (Debian, as root) if it is missing.
browser-test: build-tasks
    tests/browser/run

# /metrics, the alerts and the dashboard before a real Prometheus; brings that (Debian) if it is missing.
metrics-test:
    tests/metrics/run

# Format, lints, docs; warnings are errors.
check:
    cargo fmt --all --check
    cargo clippy --release --all-targets -p gateway -p unblock-host -p unblock-pool -p bench -p unblock-fuzz -- -D warnings
    cargo clippy --all-targets -p bench-native -- -D warnings
    RUSTDOCFLAGS="-D warnings" cargo doc --profile release --no-deps --document-private-items -p gateway -p unblock-host -p unblock-pool

# Vulnerabilities, licences and origins of all dependencies, by cargo-deny; brings that if it is missing. Needs the network.
audit:
    command -v cargo-deny >/dev/null || cargo install --locked cargo-deny
    cargo deny check

# Side-by-side benchmarks: all, which writes docs/benchmarks.md; `just bench quick`, `just bench a`, `just bench check`, `just bench record`.
bench *what:
    bench/build.sh
    cargo run --release -p bench -- {{what}}

# Good, slow, hostile and vanishing clients for so many minutes (default 10), then a look at what is left of them.
soak *minutes: build-tasks
    cargo run --release -p bench -- soak --chart target/soak.svg {{minutes}}

# The pool's scheduling alone (criterion; a filter may follow); `just bench-pool instructions` counts (valgrind), `just bench-pool locks` times the locks.
bench-pool *what:
    @gateway/pool/benches/run {{what}}

# Fuzz one target (module, json, http, manifest, routes) for so many minutes (default 10), led by coverage.
fuzz target minutes="10":
    RUSTC_WORKSPACE_WRAPPER={{justfile_directory()}}/fuzz/instrument cargo build --release -p unblock-fuzz
    if [ {{target}} = module ]; then cargo run --quiet --release --manifest-path fuzz/smith/Cargo.toml --target-dir target/smith -- target/fuzz/module 2000 "$RANDOM"; fi
    nice -n 10 target/release/fuzz {{target}} $(({{minutes}} * 60))

# The pool under a model checker (loom): every interleaving of its hand-written protocols.
model:
    RUSTFLAGS="--cfg loom" cargo test -p unblock-pool --lib loom --target-dir target/loom
