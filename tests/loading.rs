//! Modules that cannot be served: each says why and what would help, and disturbs nobody.
//!
//! What is wrong and what would help stands in `GET /tasks`; a call of such a task gets the same
//! words as `503 bad-module`. A good task beside the bad ones answers all along.

use crate::support::{Gateway, Server, eventually};
use serde_json::{Value, json};
use std::fs::File;
use std::io::Write as _;
use std::time::{Duration, Instant};

const GOOD: &str =
    r#"(module (func (export "add") (param i32 i32) (result i32) local.get 0 local.get 1 i32.add))"#;

/// A server with a good task beside what a test brings.
fn beside(gateway: Gateway) -> Server {
    gateway.wat("good", GOOD).start()
}

/// Everything in `GET /tasks` that failed.
async fn failures(server: &Server) -> Vec<Value> {
    server.get("/tasks").await.json()["failures"].as_array().unwrap().clone()
}

/// Checks that `file` is refused for `reason` with a remedy that has `remedy`, that a call says the
/// same, and that the good task still answers.
async fn refused(server: &Server, file: &str, reason: &str, remedy: &str) {
    let failures = failures(server).await;
    let failure = failures.iter().find(|failure| failure["file"] == file);
    let failure = failure.unwrap_or_else(|| panic!("{file} is not among {failures:#?}"));
    let found = failure["reason"].as_str().unwrap();
    assert!(found.contains(reason), "{file}: expected {reason:?} in the reason: {failure:#}");
    let remedies: Vec<&str> =
        failure["remedies"].as_array().unwrap().iter().map(|one| one.as_str().unwrap()).collect();
    assert!(
        remedies.iter().any(|one| one.contains(remedy)),
        "{file}: expected {remedy:?} in a remedy: {failure:#}"
    );
    assert!(
        remedies.iter().all(|one| !one.is_empty()) && failure["serving"].is_null(),
        "{file}: {failure:#}"
    );
    if let Some(task) = failure["task"].as_str() {
        let problem = server.get(&format!("/tasks/{task}/anything?0=1")).await.problem(503, "bad-module");
        let detail = problem["detail"].as_str().unwrap();
        assert!(
            detail.contains(reason) && detail.contains(remedy),
            "{file}: expected the same words: {problem:#}"
        );
        assert_eq!(server.get(&format!("/tasks/{task}")).await.status, 503, "{file}");
    }
    assert_eq!(server.get("/tasks/good/add?0=1&1=2").await.ok(), "3");
}

#[tokio::test]
async fn what_is_not_webassembly_is_named_as_such() {
    let server = beside(
        Gateway::new()
            .file("elf.wasm", b"\x7fELF\x02\x01\x01\x00\xff\xfe and so on")
            .file("words.wat", "hello\nworld")
            .file("typo.wat", "(module\n  (func (export \"f\") (result i32) i32.cnst 1))")
            .file("empty.wasm", b""),
    );
    refused(&server, "elf.wasm", "not WebAssembly: found the bytes 7f 45 4c 46", "wasm32-wasip2").await;
    refused(&server, "words.wat", "not WebAssembly: found \"hello\\nworld\" at the start", "wasm32-wasip2")
        .await;
    refused(&server, "typo.wat", ":2:", "mend the text at the line and column named").await;
    refused(&server, "empty.wasm", "is empty", "copy or build it again").await;
}

#[tokio::test]
async fn a_module_cut_anywhere_is_refused() {
    let module = wat::parse_str(GOOD).unwrap();
    let mut gateway = Gateway::new();
    for length in 1..module.len() {
        gateway = gateway.file(&format!("cut-{length:03}.wasm"), &module[..length]);
    }
    let server = beside(gateway);
    let failures = failures(&server).await;
    // The last custom section (names) may be missing whole: that module is complete.
    let whole = server.get("/tasks").await.json()["tasks"].as_array().unwrap().len() - 1;
    assert!(whole <= 1, "{whole} cut modules are served");
    assert_eq!(failures.len() + whole, module.len() - 1);
    for failure in &failures {
        assert!(
            !failure["reason"].as_str().unwrap().is_empty() && failure["remedies"][0].is_string(),
            "{failure:#}"
        );
    }
    refused(&server, &format!("cut-{:03}.wasm", module.len() - 2), "", "cut short").await;
    refused(&server, "cut-008.wasm", "found no exports", "export a function").await;
}

#[tokio::test]
async fn proposals_that_are_off_are_named_with_a_remedy() {
    let server = beside(
        Gateway::new()
            .wat("legacy", r#"(module (tag $t) (func (export "f") try throw $t catch_all end))"#)
            .wat("threads", r#"(module (memory 1 1 shared) (func (export "f")))"#),
    );
    refused(&server, "legacy.wat", "legacy", "final exception handling").await;
    refused(&server, "threads.wat", "shared between threads", "rebuild without threads").await;
}

#[tokio::test]
async fn missing_imports_are_all_named_each_with_what_it_was_made_for() {
    let core = |import: &str| format!(r#"(module (import {import} (func)) (func (export "f")))"#);
    let component = |import: &str| format!(r#"(component (import "{import}" (instance)))"#);
    let server = beside(
        Gateway::new()
            .wat("http", &component("wasi:http/handler@0.3.0"))
            .wat("spin", &component("fermyon:spin/key-value@2.0.0"))
            .wat("store", &component("wasi:keyvalue/store@0.2.0"))
            .wat("extism", &core(r#""extism:host/env" "length""#))
            .wat("emscripten", &core(r#""env" "emscripten_notify_memory_growth""#))
            .wat("browser", &core(r#""wbg" "__wbindgen_throw""#))
            .wat("extended", &core(r#""wasi_snapshot_preview1" "sock_open""#))
            .wat("threads", &core(r#""wasi" "thread-spawn""#))
            .wat("own", &core(r#""somebody" "else""#))
            .wat(
                "both",
                r#"(module (import "env" "a" (func)) (import "wbg" "b" (func)) (func (export "f")))"#,
            ),
    );
    let expected = [
        ("http.wat", "wasi:http/handler@0.3.0", "compose the components into one"),
        ("spin.wat", "fermyon:spin/key-value@2.0.0", "Spin's own interfaces"),
        ("store.wat", "wasi:keyvalue/store@0.2.0", "take the data as parameters"),
        ("extism.wat", "extism:host/env.length", "Extism"),
        ("emscripten.wat", "env.emscripten_notify_memory_growth", "Emscripten"),
        ("browser.wat", "wbg.__wbindgen_throw", "wasm-bindgen"),
        ("extended.wat", "wasi_snapshot_preview1.sock_open", "another host's extension"),
        ("threads.wat", "wasi.thread-spawn", "without threads"),
        ("own.wat", "somebody.else", "build it into the module"),
        ("both.wat", "env.a, wbg.b", "wasm-bindgen"),
        ("both.wat", "env.a, wbg.b", "Emscripten"),
    ];
    for (file, reason, remedy) in expected {
        refused(&server, file, reason, remedy).await;
    }
}

#[tokio::test]
async fn a_module_without_a_callable_function_says_what_was_found() {
    let server = beside(
        Gateway::new()
            .wat("mute", "(module (func))")
            .wat(
                "data",
                r#"(module (memory (export "memory") 1) (global (export "version") i32 (i32.const 1)))"#,
            )
            .wat("nameless", r#"(module (func (export "")))"#)
            .wat("vector", r#"(module (func (export "dot") (param v128)))"#)
            .wat("hollow", "(component)"),
    );
    refused(&server, "mute.wat", "found no exports", "export a function of i32, i64, f32 or f64").await;
    refused(&server, "data.wat", "memory, version", "export a function of i32, i64, f32 or f64").await;
    refused(&server, "nameless.wat", "without a callable function", "its name is empty").await;
    refused(&server, "vector.wat", "without a callable function", "v128").await;
    refused(&server, "hollow.wat", "a component without anything to call", "export a function").await;
}

#[tokio::test]
async fn exports_that_cannot_be_called_are_listed_with_their_reason() {
    let server = Gateway::new()
        .wat(
            "mixed",
            r#"(module (func (export "")) (func (export "dot") (param v128)) (func (export "ref") (result externref) ref.null extern)
                 (func (export "one") (result i32) i32.const 1) (memory (export "memory") 1))"#,
        )
        .start();
    let task = server.get("/tasks/mixed").await.json();
    let hidden = |name: &str| {
        let all = task["hidden"].as_array().unwrap_or_else(|| panic!("{task:#}"));
        let one = all.iter().find(|one| one["name"] == name).unwrap_or_else(|| panic!("{name:?}: {task:#}"));
        one["reason"].as_str().unwrap().to_owned()
    };
    assert!(hidden("").contains("its name is empty"));
    assert!(hidden("dot").contains("parameter 0") && hidden("dot").contains("v128"), "{}", hidden("dot"));
    assert!(hidden("ref").contains("result 0"), "{}", hidden("ref"));
    assert_eq!(task["functions"].as_array().map(Vec::len), Some(1), "{task:#}");
    let problem = server.get("/tasks/mixed/dot").await.problem(404, "unknown-function");
    assert!(problem["detail"].as_str().unwrap().contains("v128"), "{problem:#}");
    assert_eq!(server.get("/tasks/mixed/one").await.ok(), "1");
}

#[tokio::test]
async fn a_name_that_cannot_be_a_task_is_refused_with_one_that_can() {
    let server = beside(Gateway::new().wat("My_Task", GOOD).wat("-dash", GOOD).wat("ünder", GOOD));
    refused(&server, "My_Task.wat", "\"My_Task\" is no task name", "a name that fits: my-task").await;
    refused(&server, "-dash.wat", "is no task name", "a name that fits: dash").await;
    refused(&server, "ünder.wat", "is no task name", "a name that fits: nder").await;
    server.get("/tasks/My_Task/add?0=1&1=2").await.problem(404, "unknown-task");
}

/// A file of `bytes` bytes that opens with `head`; the rest is a hole.
fn sparse(server: &Server, name: &str, head: &[u8], bytes: u64) {
    // Written beside and moved in, so that it is seen whole.
    let beside = tempfile::NamedTempFile::new_in(server.folder()).unwrap();
    let mut file: &File = beside.as_file();
    file.write_all(head).unwrap();
    file.set_len(bytes).unwrap();
    beside.persist(server.folder().join(name)).unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn huge_files_are_refused_quickly_while_calls_go_on() {
    const MIB: u64 = 1 << 20;
    let server = beside(Gateway::new());
    let begin = Instant::now();
    sparse(&server, "zeros.wasm", b"", 200 * MIB);
    sparse(&server, "headed.wasm", b"\0asm\x01\0\0\0\x01", 200 * MIB);
    sparse(&server, "garbage.wasm", b"\xde\xad\xbe\xef", 200 * MIB);
    sparse(&server, "over.wasm", b"\0asm\x01\0\0\0", 300 * MIB);
    let mut slowest = Duration::ZERO;
    while server.app().registry().snapshot().failures.len() < 4 {
        assert!(begin.elapsed() < Duration::from_secs(30), "the files are not judged yet");
        let call = Instant::now();
        assert_eq!(server.get("/tasks/good/add?0=1&1=2").await.ok(), "3");
        slowest = slowest.max(call.elapsed());
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    let took = begin.elapsed();
    assert!(took < Duration::from_secs(15), "judging 600 MiB of nothing took {took:?}");
    assert!(slowest < Duration::from_secs(1), "a call beside it took {slowest:?}");
    refused(&server, "zeros.wasm", "not WebAssembly: found the bytes 00 00 00 00", "wasm32-wasip2").await;
    refused(&server, "garbage.wasm", "not WebAssembly: found the bytes de ad be ef", "wasm32-wasip2").await;
    refused(&server, "headed.wasm", "not a module this engine runs", "").await;
    refused(&server, "over.wasm", "300MiB, expected a module of at most 256MiB", "strip").await;
    for failure in failures(&server).await {
        assert!(
            failure.to_string().len() < 4096,
            "a failure repeats its file: {} bytes",
            failure.to_string().len()
        );
    }
}

#[tokio::test]
async fn a_module_of_endless_names_gets_a_bounded_reason() {
    let names: String =
        (0..20_000).map(|n| format!("(import \"somebody\" \"function-{n}\" (func))")).collect();
    let long = "x".repeat(90_000);
    let server = beside(
        Gateway::new()
            .wat("imports", &format!("(module {names} (func (export \"f\")))"))
            .wat("exports", &format!("(module (memory (export \"{long}\") 1))"))
            .wat("line", &format!("(module (func (export \"f\") {long}))")),
    );
    refused(&server, "imports.wat", "somebody.function-0, somebody.function-1,", "build it into the module")
        .await;
    refused(&server, "exports.wat", "xxxxx", "export a function").await;
    refused(&server, "line.wat", "not WebAssembly text", "mend the text").await;
    let text = server.get("/tasks").await.text();
    assert!(text.len() < 64 << 10, "{} bytes", text.len());
}

#[tokio::test]
async fn a_broken_replacement_leaves_what_serves() {
    let server = beside(Gateway::new());
    let version = server.get("/tasks/good/add?0=1&1=2").await.header("unblock-task").unwrap().to_owned();
    let broken = server.folder().join("good.wat");
    std::fs::write(&broken, "(module (func (export \"add\") i32.nonsense))").unwrap();
    eventually("the failure is listed", || !server.app().registry().snapshot().failures.is_empty());
    let listed = failures(&server).await;
    assert_eq!(
        (&listed[0]["file"], &listed[0]["serving"]),
        (&json!("good.wat"), &json!(version)),
        "{listed:#?}"
    );
    assert_eq!(server.get("/tasks/good/add?0=1&1=2").await.ok(), "3");
    std::fs::write(&broken, GOOD.replace("i32.add", "i32.mul")).unwrap();
    eventually("the failure is gone", || server.app().registry().snapshot().failures.is_empty());
    assert_eq!(server.get("/tasks/good/add?0=5&1=2").await.ok(), "10");
}
