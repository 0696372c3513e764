//! What hostile modules and callers could make the host do or hold, found in review: each is cut off.

use crate::support::{Gateway, client};
use std::time::{Duration, Instant};

#[tokio::test]
async fn a_form_of_a_million_fields_is_refused_before_it_is_taken_apart() {
    let adder = r#"(module (func (export "add") (param i32 i32) (result i32) i32.const 0))"#;
    let server = Gateway::new().wat("adder", adder).start();
    let body = "a&".repeat(1 << 20);
    let request = client()
        .post(server.url("/tasks/adder/add"))
        .header("content-type", "application/x-www-form-urlencoded")
        .body(body);
    let problem = server.send(request).await.problem(413, "input-too-large");
    assert_eq!(problem["limit"]["name"], "fields", "{problem}");
}

#[tokio::test]
async fn a_trap_in_a_function_with_a_huge_name_makes_a_small_problem() {
    let name = "f".repeat(100_000);
    let text = format!("(module (func ${name} unreachable) (func (export \"boom\") call ${name}))");
    let server = Gateway::new().wat("names", &text).start();
    let reply = server.get("/tasks/names/boom").await;
    let problem = reply.problem(500, "trap");
    assert!(reply.body.len() < 2_000, "{} bytes", reply.body.len());
    assert_eq!(problem["backtrace"].as_array().map(Vec::len), Some(2), "{problem}");
}

#[tokio::test]
async fn a_name_that_is_not_among_thousands_is_refused_quickly_and_briefly() {
    let exports: String =
        (0..20_000).map(|n| format!("(export \"function-number-{n}\" (func $f))")).collect();
    let server = Gateway::new().wat("many", &format!("(module (func $f) {exports})")).start();
    let begun = Instant::now();
    let reply = server.get("/tasks/many/function-nobody-has").await;
    let took = begun.elapsed();
    let problem = reply.problem(404, "unknown-function");
    assert!(problem["detail"].as_str().unwrap().ends_with("and 19980 more"), "{problem}");
    assert!(
        reply.body.len() < 2_000 && took < Duration::from_secs(1),
        "{} bytes, {took:?}",
        reply.body.len()
    );
}

#[tokio::test]
async fn a_component_of_too_many_memories_is_refused_at_load() {
    let modules: String = (0..9).map(|n| format!("(core instance $i{n} (instantiate $m))")).collect();
    let text = format!(
        "(component (core module $m (memory 1) (func (export \"f\"))) {modules}
           (func (export \"f\") (canon lift (core func $i0 \"f\"))))"
    );
    let server = Gateway::new().wat("greedy", &text).start();
    let problem = server.post("/tasks/greedy/f", "{}").await.problem(503, "bad-module");
    assert!(problem["detail"].as_str().unwrap().contains("memories"), "{problem}");
}
