//! Typed components: which functions they have, how values cross, how bytes cross, and the samples.
//!
//! Most guests are a WIT world with a few lines of core WebAssembly behind it; the gateway makes
//! the component itself, as it does with what `wit-bindgen` leaves. Two are component text.

use crate::support::guests::{MEMORY, greeter, typed};
use crate::support::{Gateway, client};
use serde_json::{Value, json};

/// More than sixteen flat values: argument and result are pointers, so the identity is the whole guest.
const EVERYTHING: &str = "package t:t;
world w {
  enum colour { red, dark-green }
  flags rights { read, write, run }
  variant shape { dot, circle(f64), line(tuple<s32, s32>) }
  record point { x: s16, far-y: option<u16> }
  record everything {
    a-bool: bool, an-u8: u8, an-s8: s8, an-u16: u16, an-s16: s16, an-u32: u32, an-s32: s32, an-u64: u64, an-s64: s64,
    an-f32: f32, an-f64: f64, a-char: char, a-string: string, colour: colour, rights: rights, shape: shape,
    points: list<point>, nothing: option<string>, twice: option<option<u8>>, good: result<u8, string>,
    bad: result<u8, string>, bare: result, bytes: list<u8>, pair: tuple<string, bool>, words: list<string>,
  }
  export same: func(value: everything) -> everything;
}";

fn everything() -> Value {
    json!({
        "a-bool": true, "an-u8": 255, "an-s8": -128, "an-u16": 65535, "an-s16": -32768, "an-u32": 4_294_967_295_u32,
        "an-s32": -2_147_483_648, "an-u64": "18446744073709551615", "an-s64": -9, "an-f32": 0.1, "an-f64": "NaN",
        "a-char": "ß", "a-string": "gr\u{fc}n \u{1f600} \"\\\u{0}", "colour": "dark-green", "rights": ["read", "run"],
        "shape": {"tag": "line", "val": [1, -1]}, "points": [{"x": 1, "far-y": 2}, {"x": -1, "far-y": null}],
        "nothing": null, "twice": {"some": null}, "good": {"ok": 7}, "bad": {"err": "no"}, "bare": {"ok": null},
        "bytes": "AAH+/w==", "pair": ["x", false], "words": ["", "a b", "c"]
    })
}

#[tokio::test]
async fn every_type_crosses_both_ways_unchanged() {
    let core = format!(r#"(module {MEMORY} (func (export "same") (param i32) (result i32) local.get 0))"#);
    let server = Gateway::new().file("types.wasm", typed(EVERYTHING, &core)).start();
    let sent = json!({ "value": everything() });
    let reply = server.post("/tasks/types/same", &sent.to_string()).await;
    reply.ok();
    assert_eq!(reply.header("content-type"), Some("application/json"));
    assert_eq!(reply.json(), everything());
    // The short spellings are taken, and answered in the long ones.
    let mut short = everything();
    short["shape"] = json!("dot");
    short["bytes"] = json!([0, 1, 254, 255]);
    short["an-u64"] = json!(18);
    short["an_u8"] = short["an-u8"].take();
    let members = short.as_object_mut().unwrap();
    members.remove("nothing");
    members.remove("an-u8");
    let mut expected = everything();
    expected["shape"] = json!({"tag": "dot"});
    expected["an-u64"] = json!(18);
    assert_eq!(server.post("/tasks/types/same", &json!([short]).to_string()).await.json(), expected);
    for (member, bad, pointer, text) in [
        ("rights", json!(["read", "fly"]), "/value/rights/1", "one of \"read\""),
        ("points", json!([{"x": 1}, {"x": 40_000}]), "/value/points/1/x", "s16"),
        ("shape", json!({"tag": "circle", "val": "wide"}), "/value/shape/val", "f64"),
        ("a-char", json!("ab"), "/value/a-char", "char"),
        ("colour", json!("blue"), "/value/colour", "dark-green"),
    ] {
        let mut wrong = everything();
        wrong[member] = bad;
        let reply = server.post("/tasks/types/same", &json!({ "value": wrong }).to_string()).await;
        let problem = reply.problem(400, "bad-arguments");
        assert_eq!(problem["pointer"], pointer, "{problem:#}");
        assert!(problem["expected"].as_str().unwrap().contains(text), "{problem:#}");
    }
}

#[tokio::test]
async fn a_string_is_text_and_memory_grows_with_it() {
    let server = Gateway::new().file("greeter.wasm", greeter()).start();
    assert_eq!(server.get("/tasks/greeter/greet?name=J%C3%BCrgen+B.").await.ok(), "Hello, J\u{fc}rgen B.");
    let long = "x".repeat(1 << 20);
    let reply = server.post("/tasks/greeter/greet", &json!([long]).to_string()).await;
    assert_eq!(reply.ok(), format!("Hello, {long}"));
}

#[tokio::test]
async fn an_ok_is_the_result_and_an_err_is_a_problem_with_its_value() {
    let wit = "package t:t;
world w {
  variant divide-error { by-zero(u32), odd }
  export divide: func(a: u32, b: u32) -> result<u32, divide-error>;
  export check: func(a: u32) -> result<_, string>;
  export maybe: func(a: u32) -> result;
}";
    let core = format!(
        r#"(module {MEMORY}
  (data (i32.const 64) "too small")
  (func (export "divide") (param $a i32) (param $b i32) (result i32)
    ;; result: tag at 0; its value at 4: the quotient, or the error's tag with its payload at 8
    (if (i32.eqz (local.get $b))
      (then (i32.store (i32.const 0) (i32.const 1)) (i32.store (i32.const 4) (i32.const 0))
            (i32.store (i32.const 8) (local.get $a)))
      (else (if (i32.rem_u (local.get $a) (local.get $b))
        (then (i32.store (i32.const 0) (i32.const 1)) (i32.store (i32.const 4) (i32.const 1)))
        (else (i32.store (i32.const 0) (i32.const 0))
              (i32.store (i32.const 4) (i32.div_u (local.get $a) (local.get $b)))))))
    (i32.const 0))
  (func (export "check") (param $a i32) (result i32)
    (i32.store (i32.const 0) (i32.lt_u (local.get $a) (i32.const 10)))
    (i32.store (i32.const 4) (i32.const 64)) (i32.store (i32.const 8) (i32.const 9)) (i32.const 0))
  (func (export "maybe") (param i32) (result i32) local.get 0))"#
    );
    let server = Gateway::new().file("divide.wasm", typed(wit, &core)).start();
    assert_eq!(server.get("/tasks/divide/divide?a=12&b=4").await.ok(), "3");
    let problem = server.get("/tasks/divide/divide?a=12&b=0").await.problem(422, "task-error");
    assert_eq!(problem["value"], json!({"tag": "by-zero", "val": 12}), "{problem:#}");
    assert_eq!(
        (&problem["blame"], &problem["phase"]),
        (&json!("task"), &json!("run")),
        "the function returned it"
    );
    let problem = server.get("/tasks/divide/divide?a=12&b=5").await.problem(422, "task-error");
    assert_eq!(problem["value"], json!({"tag": "odd"}), "{problem:#}");
    assert_eq!(server.get("/tasks/divide/check?a=10").await.status, 204);
    let problem = server.get("/tasks/divide/check?a=9").await.problem(422, "task-error");
    assert_eq!((&problem["detail"], &problem["value"]), (&json!("too small"), &json!("too small")));
    assert_eq!(server.get("/tasks/divide/maybe?a=0").await.status, 204);
    let problem = server.get("/tasks/divide/maybe?a=1").await.problem(422, "task-error");
    assert_eq!(problem.get("value"), None, "{problem:#}");
}

/// Component text: a root function and two interfaces, which share a function's name.
const INTERFACES: &str = r#"(component
  (core module $m
    (func (export "one") (result i32) i32.const 1)
    (func (export "two") (result i32) i32.const 2)
    (func (export "sum") (param i32 i32) (result i32) local.get 0 local.get 1 i32.add))
  (core instance $i (instantiate $m))
  (func $one (result u32) (canon lift (core func $i "one")))
  (func $two (result u32) (canon lift (core func $i "two")))
  (func $sum (param "a" u32) (param "to-b" u32) (result u32) (canon lift (core func $i "sum")))
  (instance $first (export "get" (func $one)) (export "only" (func $one)))
  (instance $second (export "get" (func $two)))
  (export "t:t/first@1.0.0" (instance $first))
  (export "t:t/second@1.0.0" (instance $second))
  (export "sum" (func $sum)))"#;

#[tokio::test]
async fn functions_of_interfaces_are_called_by_their_name_or_where_two_share_it_by_their_full_name() {
    let server = Gateway::new().wat("both", INTERFACES).start();
    assert_eq!(server.get("/tasks/both/sum?a=1&to-b=2").await.ok(), "3");
    assert_eq!(server.get("/tasks/both/sum?a=1&to_b=2").await.ok(), "3");
    assert_eq!(server.get("/tasks/both/only").await.ok(), "1");
    assert_eq!(server.get("/tasks/both/t%3At%2Ffirst%401.0.0%23get").await.ok(), "1");
    assert_eq!(server.get("/tasks/both/t%3At%2Fsecond%401.0.0%23get").await.ok(), "2");
    let problem = server.get("/tasks/both/get").await.problem(400, "ambiguous-function");
    let detail = problem["detail"].as_str().unwrap();
    assert!(detail.contains("t:t/first@1.0.0#get, t:t/second@1.0.0#get"), "{detail}");
    // Each name in the list can be called, and none is listed twice.
    let problem = server.get("/tasks/both/gott").await.problem(404, "unknown-function");
    let detail = problem["detail"].as_str().unwrap();
    let (_, names) = detail.split_once("one of: ").unwrap();
    let mut names: Vec<&str> = names.split(", ").collect();
    names.sort_unstable();
    assert_eq!(names, ["only", "sum", "t:t/first@1.0.0#get", "t:t/second@1.0.0#get"], "{detail}");
    // The description's URLs lead to the functions.
    let described = server.get("/tasks/both").await.json();
    assert_eq!(described["kind"], "component");
    for function in described["functions"].as_array().unwrap().iter().filter(|f| f["name"] != "sum") {
        let expected = if function["interface"] == "t:t/second@1.0.0" { "2" } else { "1" };
        assert_eq!(server.get(function["url"].as_str().unwrap()).await.ok(), expected, "{function:#}");
    }
}

/// Component text: a resource with a method, a function that takes one, and a function that does not.
const RESOURCE: &str = r#"(component
  (core module $m (func (export "f") (param i32) (result i32) i32.const 7) (func (export "g") (result i32) i32.const 7))
  (core instance $i (instantiate $m))
  (type $file' (resource (rep i32)))
  (export $file "file" (type $file'))
  (func $size (param "self" (borrow $file)) (result u32) (canon lift (core func $i "f")))
  (func $of (param "which" (borrow $file)) (result u32) (canon lift (core func $i "f")))
  (func $plain (result u32) (canon lift (core func $i "g")))
  (export "[method]file.size" (func $size))
  (export "size-of" (func $of))
  (export "plain" (func $plain)))"#;

#[tokio::test]
async fn a_function_that_uses_a_resource_is_hidden_with_the_reason() {
    let server = Gateway::new().wat("files", RESOURCE).start();
    assert_eq!(server.get("/tasks/files/plain").await.ok(), "7");
    let described = server.get("/tasks/files").await.json();
    assert_eq!(described["functions"].as_array().map(Vec::len), Some(1), "{described:#}");
    let hidden = described["hidden"].as_array().unwrap();
    for name in ["size-of", "[method]file.size"] {
        let entry =
            hidden.iter().find(|entry| entry["name"] == name).unwrap_or_else(|| panic!("{described:#}"));
        assert!(entry["reason"].as_str().unwrap().contains("resource"), "{entry}");
    }
    let problem = server.get("/tasks/files/size-of").await.problem(404, "unknown-function");
    assert!(problem["detail"].as_str().unwrap().contains("resource"), "{problem:#}");
}

/// `lone` takes and gives bytes alone, `first` bytes beside a number, `read` reads the body itself.
fn bytes_task() -> Vec<u8> {
    let wit = "package t:t; world w {
  export lone: func(bytes: list<u8>) -> list<u8>;
  export count: func(bytes: list<u8>) -> u64;
  export first: func(size: u32, picture: list<u8>) -> list<u8>;
}";
    let core = format!(
        r#"(module {MEMORY}
  (func $pair (param i32 i32) (result i32)
    (i32.store (i32.const 0) (local.get 0)) (i32.store (i32.const 4) (local.get 1)) (i32.const 0))
  (func (export "lone") (param i32 i32) (result i32) (call $pair (local.get 0) (local.get 1)))
  (func (export "count") (param i32 i32) (result i64) (i64.extend_i32_u (local.get 1)))
  (func (export "first") (param $size i32) (param i32 i32) (result i32)
    (call $pair (local.get 1) (local.get $size))))"#
    );
    typed(wit, &core)
}

#[tokio::test]
async fn wave_crosses_both_ways_unchanged() {
    let core = format!(r#"(module {MEMORY} (func (export "same") (param i32) (result i32) local.get 0))"#);
    let server =
        Gateway::new().file("types.wasm", typed(EVERYTHING, &core)).file("raw.wasm", bytes_task()).start();
    let post = |path: &str| client().post(server.url(path));
    let sent = json!({ "value": everything() }).to_string();
    let asked = post("/tasks/types/same").header("content-type", "application/json").body(sent);
    let reply = server.send(asked.header("accept", "text/x-wave")).await;
    assert_eq!(reply.header("content-type"), Some("text/x-wave; charset=utf-8"));
    let wave = reply.ok().to_owned();
    assert!(wave.contains("colour: dark-green, ") && wave.contains("twice: some(none)"), "{wave}");
    let sent = |body: String| post("/tasks/types/same").header("content-type", "text/x-wave").body(body);
    for body in [format!("{{value: {wave}}}"), format!("({wave}) // by position")] {
        assert_eq!(server.send(sent(body)).await.json(), everything());
    }
    for (body, pointer, told) in [
        ("{value: {a-bool: 1}}", "/value/a-bool", "expected bool, found `1` at line 1, column 18"),
        ("{valu: 1}", "/valu", "did you mean \"value\"?"),
        ("1", "", "expected a record {value: "),
    ] {
        let problem = server.send(sent(body.to_owned())).await.json();
        assert_eq!((&problem["status"], &problem["pointer"]), (&json!(400), &json!(pointer)), "{problem:#}");
        assert!(problem["detail"].as_str().unwrap().contains(told), "{problem:#}");
    }
    let bomb = server.send(sent("(".repeat(8 << 20))).await.json();
    assert_eq!(bomb["type"], json!("/problems/bad-arguments"), "{bomb:#}");
    // Bytes are a list of numbers, also those that cross as they are.
    let lone = post("/tasks/raw/lone").header("accept", "text/x-wave").body("hi");
    assert_eq!(server.send(lone).await.ok(), "[104, 105]");
}

#[tokio::test]
async fn a_lone_byte_list_is_the_raw_body_both_ways() {
    let server = Gateway::new().file("raw.wasm", bytes_task()).start();
    let picture: Vec<u8> = (0..4_u32 << 20).map(|n| (n.wrapping_mul(2_654_435_761) >> 24) as u8).collect();
    let post = |path: &str| client().post(server.url(path));
    let reply =
        server.send(post("/tasks/raw/lone").header("content-type", "image/png").body(picture.clone())).await;
    assert_eq!((reply.status, reply.header("content-type")), (200, Some("application/octet-stream")));
    assert!(reply.body == picture, "4 MiB come back as they were");
    // JSON is nothing but bytes here, and no body is no bytes.
    assert_eq!(server.post("/tasks/raw/lone", "{\"a\": 1}").await.ok(), "{\"a\": 1}");
    assert_eq!(server.get("/tasks/raw/lone").await.ok(), "");
    // A result that a typed call does not know goes the other way, to the same effect.
    assert_eq!(server.send(post("/tasks/raw/count").body(picture[..70_000].to_vec())).await.ok(), "70000");
    let asked = post("/tasks/raw/lone").header("accept", "application/json").body("\u{0}\u{1}");
    assert_eq!(server.send(asked).await.json(), json!("AAE="));
}

#[tokio::test]
async fn one_byte_list_among_other_parameters_is_the_body_and_the_others_come_from_the_query() {
    let server = Gateway::new().file("raw.wasm", bytes_task()).start();
    let post = |path: &str| client().post(server.url(path));
    assert_eq!(server.send(post("/tasks/raw/first?size=3").body("abcdef")).await.ok(), "abc");
    let json = server.post("/tasks/raw/first", r#"{"size": 2, "picture": "YWJj"}"#).await;
    assert_eq!(json.ok(), "ab");
    let form = reqwest::multipart::Form::new()
        .text("size", "1")
        .part("file", reqwest::multipart::Part::bytes(b"xyz".to_vec()).file_name("a.bin"));
    assert_eq!(server.send(post("/tasks/raw/first").multipart(form)).await.ok(), "x");
    let problem = server.send(post("/tasks/raw/first").body("abc")).await.problem(400, "bad-arguments");
    assert_eq!((&problem["pointer"], &problem["expected"]), (&json!("/size"), &json!("u32")), "{problem:#}");
}

#[tokio::test]
async fn a_task_that_imports_the_body_reads_and_writes_it_raw() {
    let wit = "package t:t; world w { import unblock:task/body@0.1.0; export shout: func(mark: u8) -> result<_, string>; }";
    let core = format!(
        r#"(module
  (import "unblock:task/body@0.1.0" "read-all" (func $read (param i32)))
  (import "unblock:task/body@0.1.0" "size" (func $size (result i64)))
  (import "unblock:task/body@0.1.0" "content-type" (func $type (param i32)))
  (import "unblock:task/body@0.1.0" "set-content-type" (func $set (param i32 i32)))
  (import "unblock:task/body@0.1.0" "write" (func $write (param i32 i32)))
  {MEMORY}
  (data (i32.const 64) "nothing to do")
  (func (export "shout") (param $mark i32) (result i32)
    (if (i64.eqz (call $size))
      (then (i32.store (i32.const 0) (i32.const 1)) (i32.store (i32.const 4) (i32.const 64))
            (i32.store (i32.const 8) (i32.const 13)) (return (i32.const 0))))
    (call $type (i32.const 16)) ;; some?, then pointer and length
    (if (i32.load8_u (i32.const 16)) (then (call $set (i32.load (i32.const 20)) (i32.load (i32.const 24)))))
    (call $read (i32.const 32))
    (call $write (i32.load (i32.const 32)) (i32.load (i32.const 36)))
    (i32.store8 (i32.const 48) (local.get $mark))
    (call $write (i32.const 48) (i32.const 1))
    (i32.store (i32.const 0) (i32.const 0))
    (i32.const 0)))"#
    );
    let server = Gateway::new().file("shout.wasm", typed(wit, &core)).start();
    let post = |path: &str| client().post(server.url(path));
    let reply =
        server.send(post("/tasks/shout?mark=33").header("content-type", "text/x-shout").body("hey")).await;
    assert_eq!((reply.ok().as_str(), reply.header("content-type")), ("hey!", Some("text/x-shout")));
    let reply = server.send(post("/tasks/shout?mark=63").body("hey")).await;
    assert_eq!(
        (reply.ok().as_str(), reply.header("content-type")),
        ("hey?", Some("application/octet-stream"))
    );
    let form = reqwest::multipart::Form::new()
        .text("mark", "33")
        .part("any", reqwest::multipart::Part::text("ho").mime_str("text/x-ho").unwrap());
    let reply = server.send(post("/tasks/shout").multipart(form)).await;
    assert_eq!((reply.ok().as_str(), reply.header("content-type")), ("ho!", Some("text/x-ho")));
    // What was written is dropped for an error.
    let problem = server.send(post("/tasks/shout?mark=1")).await.problem(422, "task-error");
    assert_eq!(problem["detail"], "nothing to do");
    let problem = server.send(post("/tasks/shout").body("hey")).await.problem(400, "bad-arguments");
    assert_eq!(problem["pointer"], "/mark");
    assert!(problem["detail"].as_str().unwrap().contains("query"), "{problem:#}");
}

/// A core module of preview 1 with component types: writes to both streams, then fails if asked to.
fn chatty() -> Vec<u8> {
    let core = format!(
        r#"(module
  (import "wasi_snapshot_preview1" "fd_write" (func $write (param i32 i32 i32 i32) (result i32)))
  {MEMORY}
  (data (i32.const 64) "to the log\n")
  (data (i32.const 80) "to nobody\n")
  (func $say (param $fd i32) (param $text i32) (param $length i32)
    (i32.store (i32.const 0) (local.get $text)) (i32.store (i32.const 4) (local.get $length))
    (if (call $write (local.get $fd) (i32.const 0) (i32.const 1) (i32.const 8)) (then unreachable)))
  (func (export "say") (param $fail i32)
    (call $say (i32.const 1) (i32.const 80) (i32.const 10))
    (call $say (i32.const 2) (i32.const 64) (i32.const 11))
    (if (local.get $fail) (then unreachable))))"#
    );
    typed("package t:t; world w { export say: func(fail: bool); }", &core)
}

#[tokio::test]
async fn a_preview_1_module_with_component_types_is_made_a_component_and_its_stderr_goes_into_the_problem() {
    let server = Gateway::new().file("chatty.wasm", chatty()).start();
    let described = server.get("/tasks/chatty").await.json();
    assert_eq!(described["kind"], "component", "{described:#}");
    assert_eq!(described["functions"][0]["signature"], "func(fail: bool)");
    let quiet = server.get("/tasks/chatty/say?fail=false").await;
    assert_eq!((quiet.status, quiet.body.len()), (204, 0));
    let problem = server.get("/tasks/chatty/say?fail=true").await.problem(500, "trap");
    assert_eq!(problem["stderr"], "to the log", "{problem:#}");
    assert!(!problem.to_string().contains("to nobody"), "{problem:#}");
    assert!(!problem["backtrace"].as_array().unwrap().is_empty(), "{problem:#}");
}

#[tokio::test]
async fn doc_comments_reach_the_description() {
    let docs = r#"\01{\"worlds\":{\"root\":{\"docs\":\"Numbers.\",\"func_exports\":{\"one\":{\"docs\":\"Gives one.\"}},\"interface_exports\":{\"api\":{\"funcs\":{\"two\":{\"docs\":\"Gives two.\"}}}}}}}"#;
    let text = format!(
        r#"(component
  (core module $m (func (export "one") (result i32) i32.const 1) (@custom "package-docs" "{docs}"))
  (core instance $i (instantiate $m))
  (func $one (result u32) (canon lift (core func $i "one")))
  (instance $api (export "two" (func $one)))
  (export "one" (func $one))
  (export "t:t/api@1.0.0" (instance $api)))"#
    );
    let server = Gateway::new().wat("documented", &text).start();
    let described = server.get("/tasks/documented").await.json();
    assert_eq!(described["description"], "Numbers.", "{described:#}");
    let description = |name: &str| {
        let functions = described["functions"].as_array().unwrap();
        functions.iter().find(|f| f["name"] == name).unwrap()["description"].clone()
    };
    assert_eq!((description("one"), description("two")), (json!("Gives one."), json!("Gives two.")));
    let listed = server.get("/tasks").await.json();
    assert_eq!(listed["tasks"][0]["description"], "Numbers.");
}

#[tokio::test]
async fn each_call_has_a_fresh_instance() {
    let core = r#"(module (global $n (mut i32) (i32.const 0))
  (func (export "next") (result i32)
    (global.set $n (i32.add (global.get $n) (i32.const 1))) (global.get $n)))"#;
    let wit = "package t:t; world w { export next: func() -> u32; }";
    let server = Gateway::new().file("counter.wasm", typed(wit, core)).start();
    for _ in 0..3 {
        assert_eq!(server.post("/tasks/counter", "").await.ok(), "1");
    }
}
