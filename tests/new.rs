//! `unblock new`: a task made from a template is built, tested by its own test, served and called.
//!
//! WebAssembly text needs no toolchain; the other languages are tried where theirs are there, Rust where
//! its target is. What is made is made by the built program, in a folder of its own.

use crate::support::process::{Ended, Program, ended, run, unblock};
use crate::support::repository;
use std::path::Path;
use std::process::Command;

fn make(tasks: &Path, name: &str, language: &str) -> Ended {
    run(&["new", name, "--lang", language, "--tasks", tasks.to_str().unwrap()], b"")
}

/// Runs a script of a task's folder, with the tested program and the toolchains that were brought.
fn script(tasks: &Path, name: &str, script: &str) -> Ended {
    let brought = repository().join("target/toolchains");
    let path = std::env::var("PATH").unwrap();
    let path = format!("{0}/python/commands:{0}/node/commands:{path}", brought.display());
    ended(
        Command::new(tasks.join(name).join(script))
            .env("PATH", path)
            .env("UNBLOCK", env!("CARGO_BIN_EXE_unblock"))
            .env("UNBLOCK_CACHE", "off")
            // Rust's is kept between runs: what the SDK stands on takes a minute to compile.
            .env("WORK", Path::new(env!("CARGO_TARGET_TMPDIR")).join("new"))
            .env("CARGO_TARGET_DIR", Path::new(env!("CARGO_TARGET_TMPDIR")).join("new")),
        b"",
    )
}

/// What a finished call of a script said.
fn done(ended: &Ended) {
    assert_eq!(ended.code, Some(0), "{}{}", ended.stdout, ended.stderr);
}

/// Makes, builds, tests, serves and calls a task; `None` if its toolchain is missing, which the
/// build must then say.
async fn whole_life(language: &str, call: &str) -> Option<String> {
    let folder = tempfile::tempdir().unwrap();
    let tasks = folder.path().join("tasks");
    done(&make(&tasks, "hello", language));
    if language == "rust" {
        // The SDK of this checkout, as the command's report says how.
        let manifest = tasks.join("hello/Cargo.toml");
        let text = std::fs::read_to_string(&manifest).unwrap();
        let git = concat!("git = \"", env!("CARGO_PKG_REPOSITORY"), "\"");
        assert!(text.contains(git), "{text}");
        let path = format!("path = {:?}", repository().join("tasks/sdk"));
        std::fs::write(&manifest, text.replace(git, &path)).unwrap();
    }
    if tasks.join("hello/build.sh").exists() {
        let Ended { code, stderr, .. } = script(&tasks, "hello", "build.sh");
        if code != Some(0) {
            let all = std::env::var_os("UNBLOCK_TEST_ALL_TASKS").is_some_and(|value| value == "1");
            assert!(!all, "{stderr}");
            eprintln!("skipped: a new task in {language} cannot be built here: {stderr}");
            assert!(!stderr.is_empty(), "it says what is missing");
            return None;
        }
    }
    let tested = script(&tasks, "hello", "test.sh");
    done(&tested);
    assert!(tested.stdout.contains("test: passed"), "{}", tested.stdout);
    let program = Program::serve(&tasks, &[]).await;
    Some(program.text(&format!("/tasks/hello{call}")).await)
}

#[tokio::test]
async fn a_new_task_in_webassembly_text_needs_no_toolchain() {
    assert_eq!(whole_life("wat", "/add?a=40&b=2").await.as_deref(), Some("42"));
}

#[tokio::test]
async fn a_new_task_in_rust_is_one_function() {
    let Some(answer) = whole_life("rust", "/greet?name=you").await else { return };
    assert_eq!(answer, "Hello, you");
}

#[tokio::test]
async fn a_new_task_in_c_is_a_command() {
    let Some(answer) = whole_life("c", "/you").await else { return };
    assert_eq!(answer, "Hello, you\n");
}

#[tokio::test]
async fn a_new_task_in_go_is_a_command() {
    let Some(answer) = whole_life("go", "/you").await else { return };
    assert_eq!(answer, "Hello, you\n");
}

#[tokio::test]
async fn a_new_task_in_python_has_typed_functions() {
    let Some(answer) = whole_life("python", "/greet?name=you").await else { return };
    assert_eq!(answer, "Hello, you");
}

#[tokio::test]
async fn a_new_task_in_javascript_has_typed_functions() {
    let Some(answer) = whole_life("js", "/greet?name=you").await else { return };
    assert_eq!(answer, "Hello, you");
}

#[test]
fn what_was_made_and_what_to_do_next_is_told() {
    let folder = tempfile::tempdir().unwrap();
    let made = make(&folder.path().join("new tasks"), "hello", "python");
    done(&made);
    for word in ["/app.py", "/build.sh", "needs: pip install componentize-py"] {
        assert!(made.stdout.contains(word), "{word}: {}", made.stdout);
    }
    let at = |word: &str| made.stdout.find(word).unwrap_or_else(|| panic!("{word}: {}", made.stdout));
    assert!(at("/test.sh") < at(" serve --tasks ") && at(" serve --tasks ") < at("curl "), "{}", made.stdout);
    assert!(made.stdout.contains("new tasks/hello'/build.sh"), "quoted for the shell: {}", made.stdout);
}

#[test]
fn what_cannot_be_made_is_refused_with_a_way_out() {
    let folder = tempfile::tempdir().unwrap();
    let refused = |ended: Ended, word: &str| {
        assert_eq!(ended.code, Some(2), "{}", ended.stderr);
        assert!(ended.stderr.contains(word), "{word}: {}", ended.stderr);
    };
    refused(make(folder.path(), "Hello World", "c"), "as in hello-world");
    refused(make(folder.path(), "hello", "pyton"), "'python'");
    refused(ended(unblock().args(["new", "hello"]), b""), "--lang");
    done(&make(folder.path(), "hello", "wat"));
    let before = std::fs::read_to_string(folder.path().join("hello.wat")).unwrap();
    refused(make(folder.path(), "hello", "c"), "is there already");
    assert_eq!(std::fs::read_to_string(folder.path().join("hello.wat")).unwrap(), before);
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 3, "nothing is left of a refused one");
}
