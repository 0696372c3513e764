//! Plain core modules: numbers in, numbers out.

use crate::support::{Gateway, guest};

const MATHS: &str = r#"(module
  (func (export "add") (param i32 i32) (result i32) local.get 0 local.get 1 i32.add)
  (func (export "divmod") (param i64 i64) (result i64 i64)
    local.get 0 local.get 1 i64.div_s local.get 0 local.get 1 i64.rem_s)
  (func (export "half") (param f32) (result f32) local.get 0 f32.const 2 f32.div)
  (func (export "nothing")))"#;

#[tokio::test]
async fn exports_are_endpoints_with_numbered_parameters() {
    let server = Gateway::new().wat("maths", MATHS).start();
    assert_eq!(server.get("/tasks/maths/add?0=1&1=2").await.ok(), "3");
    assert_eq!(server.post("/tasks/maths/add", r#"{"0": 40, "1": 2}"#).await.ok(), "42");
    assert_eq!(server.post("/tasks/maths/add", "[40, 2]").await.ok(), "42");
    assert_eq!(server.post("/tasks/maths/half", "[0.2]").await.ok(), "0.1");
    let nothing = server.get("/tasks/maths/nothing").await;
    assert_eq!((nothing.status, nothing.body.len()), (204, 0));
}

#[tokio::test]
async fn several_results_are_an_array_and_64_bit_numbers_survive() {
    let server = Gateway::new().wat("maths", MATHS).start();
    assert_eq!(server.post("/tasks/maths/divmod", "[17, 5]").await.ok(), "[3,2]");
    let big = server.post("/tasks/maths/divmod", r#"["9223372036854775807", 2]"#).await;
    assert_eq!(big.ok(), r#"["4611686018427387903",1]"#);
}

#[tokio::test]
async fn a_division_by_zero_is_the_tasks_crash() {
    let server = Gateway::new().wat("maths", MATHS).start();
    let problem = server.post("/tasks/maths/divmod", "[1, 0]").await.problem(500, "trap");
    assert!(problem["detail"].as_str().unwrap().contains("divide by zero"), "{problem}");
    assert_eq!(problem["backtrace"].as_array().map(Vec::len), Some(1), "{problem}");
}

#[tokio::test]
async fn a_manifest_names_parameters() {
    let manifest = "[functions.add]\ndescription = \"Adds.\"\nparams = [\"a\", \"b\"]\n";
    let server = Gateway::new().wat("maths", MATHS).manifest("maths", manifest).start();
    assert_eq!(server.get("/tasks/maths/add?a=1&b=2").await.ok(), "3");
    let problem = server.get("/tasks/maths/add?a=1").await.problem(400, "bad-arguments");
    assert_eq!(problem["pointer"], "/b");
}

/// What compilers leave: a plain module for WASI preview 1, and one with component types in it, which is
/// made a component.
#[tokio::test]
async fn core_modules_of_a_compiler_are_served_as_they_are() {
    let manifest = "[functions.gcd]\nparams = [\"a\", \"b\"]\n";
    let server = Gateway::new()
        .file("numbers.wasm", guest("numbers"))
        .manifest("numbers", manifest)
        .file("sleep.wasm", guest("sleep-core"))
        .start();
    assert_eq!(server.json_of("numbers").await["kind"], "core-module");
    assert_eq!(server.get("/tasks/numbers/gcd?a=12&b=18").await.ok(), "6");
    let now: u64 = server.get("/tasks/numbers/now").await.ok().parse().unwrap();
    let here = std::time::UNIX_EPOCH.elapsed().unwrap().as_secs();
    assert!(here.abs_diff(now) < 5, "{now} is not now, {here}");
    let told = server.json_of("sleep").await;
    assert_eq!((&told["kind"], &told["functions"][0]["name"]), (&"component".into(), &"sleep".into()));
    assert!(server.get("/tasks/sleep?seconds=0").await.status == 200 && !told["description"].is_null());
    let reply = server.post("/tasks/sleep", r#"{"seconds": 0.01}"#).await;
    assert!(reply.ok().starts_with("Awake! "), "{}", reply.text());
}
