//! The description of the API: what is in the document, that it is true, and the page that shows it.
//!
//! Requests generated from the document are the business of `tests/openapi/run`, the page in a real
//! browser that of `tests/browser/run`.

use crate::support::{Gateway, Server, client, guest, repository, until};
use serde_json::{Value, json};
use std::collections::HashSet;

/// A task with every type, and routes.
fn types() -> Server {
    let file =
        |name: &str| std::fs::read_to_string(repository().join("tests/openapi/tasks").join(name)).unwrap();
    Gateway::new().wat("types", &file("types.wat")).manifest("types", &file("types.toml")).start()
}

async fn document(server: &Server) -> Value {
    serde_json::from_str(&server.get("/openapi.json").await.ok()).unwrap()
}

fn operation<'d>(document: &'d Value, method: &str, path: &str) -> &'d Value {
    document["paths"][path].get(method).unwrap_or_else(|| panic!("no {method} {path}"))
}

fn operations(document: &Value) -> Vec<(&str, &str, &Value)> {
    let paths = document["paths"].as_object().unwrap();
    paths
        .iter()
        .flat_map(|(path, item)| {
            item.as_object()
                .unwrap()
                .iter()
                .map(move |(method, operation)| (path.as_str(), method.as_str(), operation))
        })
        .collect()
}

#[tokio::test]
async fn each_function_and_route_is_an_operation_with_an_id_of_its_own() {
    let document = document(&types()).await;
    let operations = operations(&document);
    let ids: HashSet<&str> =
        operations.iter().map(|(.., operation)| operation["operationId"].as_str().unwrap()).collect();
    assert_eq!(ids.len(), operations.len());
    for path in
        ["/tasks/types/a-bool", "/tasks/types/bytes", "/tasks/types/nothing", "/tasks/types/an-outcome"]
    {
        operation(&document, "get", path);
        assert_eq!(operation(&document, "post", path)["tags"], json!(["types"]));
    }
    operation(&document, "delete", "/types/rights/{value}");
    operation(&document, "put", "/types/bytes");
    assert!(document["tags"].as_array().unwrap().iter().any(|tag| tag["name"] == "types"));
    let seconds = operation(&document, "get", "/types/texts/{value}")["parameters"][0].clone();
    assert_eq!((&seconds["in"], &seconds["required"]), (&json!("path"), &json!(true)));
    assert_eq!(seconds["schema"], json!({"type": "string", "minLength": 1}));
}

#[tokio::test]
async fn results_and_errors_are_described_by_status_and_media_type() {
    let document = document(&types()).await;
    let keys = |value: &Value| value.as_object().unwrap().keys().cloned().collect::<Vec<_>>();
    let text = operation(&document, "post", "/tasks/types/a-text");
    assert_eq!(keys(&text["responses"]["200"]["content"]), ["text/plain", "application/json", "text/x-wave"]);
    let bytes = operation(&document, "post", "/tasks/types/bytes");
    assert_eq!(
        keys(&bytes["responses"]["200"]["content"]),
        ["application/octet-stream", "application/json", "text/x-wave"]
    );
    assert_eq!(keys(&bytes["requestBody"]["content"]), ["application/octet-stream", "multipart/form-data"]);
    let nothing = operation(&document, "post", "/tasks/types/nothing");
    assert!(nothing["responses"].get("204").is_some() && nothing["responses"].get("200").is_none());
    for status in ["400", "404", "405", "406", "408", "413", "415", "431", "500", "502", "503", "504"] {
        let response = &nothing["responses"][status]["$ref"];
        let target = response.as_str().unwrap().trim_start_matches('#');
        let content = &document.pointer(target).unwrap()["content"];
        assert!(content.get("application/problem+json").is_some(), "{status}");
    }
    assert!(nothing["responses"].get("422").is_none(), "it returns no error");
    let outcome = operation(&document, "post", "/tasks/types/an-outcome");
    let problem = &outcome["responses"]["422"]["content"]["application/problem+json"]["schema"]["allOf"][1];
    assert_eq!(problem["properties"]["value"], json!({"type": "string"}));
}

#[tokio::test]
async fn a_guest_that_takes_any_method_is_described_with_every_one() {
    let server =
        Gateway::new().file("guest.wasm", guest("http-p3")).file("command.wasm", guest("command-p3")).start();
    let document = document(&server).await;
    let methods = |path: &str| -> HashSet<String> {
        document["paths"][path].as_object().unwrap_or_else(|| panic!("no {path}")).keys().cloned().collect()
    };
    let all = ["get", "post", "put", "patch", "delete", "options", "trace"].map(str::to_owned);
    for path in ["/tasks/guest/{path}", "/tasks/command/{argument}", "/tasks/command"] {
        assert_eq!(methods(path), HashSet::from(all.clone()), "{path}");
    }
    for name in all {
        let method = reqwest::Method::from_bytes(name.to_uppercase().as_bytes()).unwrap();
        for (path, answer) in [("/tasks/guest/hello", "hello\n"), ("/tasks/command/args/a", "args\na\n")] {
            let reply = server.send(client().request(method.clone(), server.url(path))).await;
            assert_eq!((reply.status, reply.text().as_str()), (200, answer), "{name} {path}");
        }
    }
}

#[tokio::test]
async fn what_the_gateway_says_of_tasks_is_what_the_document_says() {
    let grants = "[grants]\nenv = { A = \"b\" }\nhttp = [\"example.com\"]\n";
    let broken = "(module (func (export \"f\") i32.bad))";
    let server = Gateway::new().sample("sleep").manifest("sleep", grants).wat("broken", broken).start();
    let document = document(&server).await;
    for (path, schema) in [("/tasks", "Tasks"), ("/tasks/sleep", "Task")] {
        let reply = server.get(path).await.json();
        let schema = jsonschema::draft202012::new(&document["components"]["schemas"][schema]).unwrap();
        let mistakes: Vec<String> = schema.iter_errors(&reply).map(|error| error.to_string()).collect();
        assert!(mistakes.is_empty(), "{path}: {mistakes:?}: {reply:#}");
    }
}

#[tokio::test]
async fn every_example_can_be_sent() {
    let server = types();
    let document = document(&server).await;
    let mut sent = 0;
    for (path, method, operation) in operations(&document) {
        let Some(examples) = operation["requestBody"]["content"]["application/json"]["examples"].as_object()
        else {
            continue;
        };
        let mut path = path.to_owned();
        for parameter in operation["parameters"].as_array().unwrap() {
            let Some(name) = parameter["name"].as_str().filter(|_| parameter["in"] == "path") else {
                continue;
            };
            let value = match parameter.get("example") {
                Some(Value::String(text)) => text.clone(),
                Some(other) => other.to_string(),
                None => "null".to_owned(),
            };
            path = path.replace(&format!("{{{name}}}"), &value);
        }
        let method = reqwest::Method::from_bytes(method.to_uppercase().as_bytes()).unwrap();
        for (name, example) in examples {
            let request = client().request(method.clone(), server.url(&path));
            let request =
                request.header("content-type", "application/json").body(example["value"].to_string());
            let reply = server.send(request).await;
            // `an-outcome` finds odd numbers wrong; that is its answer, not a mistake of the request.
            assert!(matches!(reply.status, 200 | 204 | 422), "{method} {path} {name}: {}", reply.text());
            sent += 1;
        }
    }
    assert!(sent > 50, "{sent}");
}

#[tokio::test]
async fn a_document_that_the_client_has_is_not_sent_again() {
    let server = types();
    let first = server.get("/openapi.json").await;
    assert_eq!(first.header("content-type"), Some("application/json"));
    assert_eq!(first.header("cache-control"), Some("no-cache"));
    let tag = first.header("etag").unwrap().to_owned();
    let again = async |server: &Server, tag: &str| {
        server.send(client().get(server.url("/openapi.json")).header("if-none-match", tag)).await
    };
    let reply = again(&server, &tag).await;
    assert_eq!((reply.status, reply.body.len(), reply.header("etag")), (304, 0, Some(tag.as_str())));
    let head = server.send(client().head(server.url("/openapi.json"))).await;
    assert_eq!((head.status, head.body.len(), head.header("etag")), (200, 0, Some(tag.as_str())));
    let options = server.send(client().request(reqwest::Method::OPTIONS, server.url("/openapi.json"))).await;
    assert_eq!((options.status, options.header("allow")), (204, Some("GET,HEAD")));
    server.post("/openapi.json", "").await.problem(405, "method-not-allowed");

    // Another task: another document.
    std::fs::write(server.folder().join("add.wat"), "(module (func (export \"add\")))").unwrap();
    until("the new task", async || server.get("/tasks/add").await.status == 200).await;
    let reply = again(&server, &tag).await;
    assert_eq!(reply.status, 200);
    assert!(reply.json()["paths"].get("/tasks/add/add").is_some());
}

#[tokio::test]
async fn routes_that_differ_in_a_parameters_name_only_are_one_path() {
    let task = "(module (func (export \"f\") (param i32)))";
    let manifest = |method: &str, name: &str| {
        format!(
            "[functions.f]\nparams = [\"{name}\"]\n[[route]]\nmethod = \"{method}\"\npath = \"/x/{{{name}}}\"\nfunction = \"f\"\n"
        )
    };
    let server = Gateway::new()
        .wat("a", task)
        .manifest("a", &manifest("GET", "first"))
        .wat("b", task)
        .manifest("b", &manifest("PUT", "second"))
        .start();
    let document = document(&server).await;
    assert!(document["paths"].get("/x/{second}").is_none());
    assert_eq!(operation(&document, "get", "/x/{first}")["parameters"][0]["name"], "first");
    assert_eq!(operation(&document, "put", "/x/{first}")["parameters"][0]["name"], "first");
}

#[tokio::test]
async fn functions_of_one_name_are_described_under_their_full_names_and_odd_names_are_encoded() {
    let odd = "(module (func (export \"a/b {c}\")) (func (export \"a/b_{c}\")))";
    let document = document(&Gateway::new().wat("odd", odd).start()).await;
    let first = operation(&document, "post", "/tasks/odd/a%2Fb%20%7Bc%7D");
    let second = operation(&document, "post", "/tasks/odd/a%2Fb_%7Bc%7D");
    assert_ne!(first["operationId"], second["operationId"]);
}

#[tokio::test]
async fn hundreds_of_tasks_make_one_document() {
    let tasks = 200;
    let gateway = (0..tasks).fold(Gateway::new(), |gateway, n| {
        gateway
            .wat(&format!("t{n}"), "(module (func (export \"f\") (param i32 f64) (result i64) i64.const 1))")
    });
    let server = gateway.start();
    let document = document(&server).await;
    let described = |n: usize| document["paths"].get(format!("/tasks/t{n}/f")).is_some();
    assert!((0..tasks).all(described));
}

#[tokio::test]
async fn the_page_asks_nobody_but_this_server() {
    let server = Gateway::new().start();
    let page = server.get("/docs").await;
    assert_eq!(page.header("content-type"), Some("text/html; charset=utf-8"));
    let policy = page.header("content-security-policy").unwrap();
    assert!(policy.contains("default-src 'none'") && policy.contains("connect-src 'self'"), "{policy}");
    assert!(!policy.contains("http"), "{policy}");
    let html = page.ok();
    assert!(!html.contains("//"), "{html}");
    for file in html.split(['"']).filter_map(|part| part.strip_prefix("docs/")) {
        let reply = server.get(&format!("/docs/{file}")).await;
        assert!(reply.status == 200 && reply.body.len() > 100, "{file}: {}", reply.status);
        let tag = reply.header("etag").unwrap();
        let request = client().get(server.url(&format!("/docs/{file}"))).header("if-none-match", tag);
        assert_eq!(server.send(request).await.status, 304, "{file}");
    }
    server.get("/docs/../Cargo.toml").await.problem(404, "unknown-path");
    server.get("/docs/nothing.js").await.problem(404, "unknown-path");
    server.post("/docs", "").await.problem(405, "method-not-allowed");
}
