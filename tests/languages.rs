//! The samples in other languages than Rust, as `tasks/build.sh all` leaves them, through the whole gateway.
//!
//! Their toolchains are not on every machine: a sample whose module is missing is skipped with a line that says
//! so, unless `UNBLOCK_TEST_ALL_TASKS=1`, as CI sets it, makes that a failure.

use crate::support::{Gateway, Reply, Server, client, repository};
use serde_json::{Value, json};

/// A gateway with the sample; `None` if it was not built and need not be.
fn serve(name: &str) -> Option<Server> {
    let module = repository().join("tasks").join(format!("{name}.wasm"));
    if !module.exists() {
        let all = std::env::var_os("UNBLOCK_TEST_ALL_TASKS").is_some_and(|value| value == "1");
        assert!(!all, "{} is missing: run `just build-tasks all`", module.display());
        eprintln!("skipped: {} is not built; `just build-tasks all` does", module.display());
        return None;
    }
    let cache = std::path::Path::new(env!("CARGO_TARGET_TMPDIR")).join("compiled-samples");
    let gateway = Gateway::new().sample(name).folder("data");
    Some(gateway.set(|config| config.engine.cache = Some(cache)).start())
}

async fn send(server: &Server, path: &str, body: &str) -> Reply {
    server.send(client().post(server.url(path)).body(body.to_owned())).await
}

#[tokio::test]
async fn markdown_becomes_html_that_is_safe_to_show() {
    let Some(server) = serve("markdown") else { return };
    let call = async |function: &str, arguments: Value| {
        server.post(&format!("/tasks/markdown/{function}"), &arguments.to_string()).await
    };
    let text = "# Hi *you*\n\n<script>x</script>\n\n[a](javascript:b) ~~cut~~\n\n# Hi you\n\n|a|\n|-|\n|1|\n";
    let html = call("html", json!({ "markdown": text })).await.ok();
    for part in
        ["<h1 id=\"hi-you\">Hi <em>you</em></h1>", "<h1 id=\"hi-you-2\">", "<del>cut</del>", "<table>"]
    {
        assert!(html.contains(part), "{part}: {html}");
    }
    assert!(!html.contains("<script>") && !html.contains("=\"javascript:"), "{html}");
    let outline = call("outline", json!({ "markdown": text })).await.json();
    assert_eq!(outline[1], json!({"level": 1, "text": "Hi you", "id": "hi-you-2"}));
    let counted =
        call("statistics", json!({"markdown": "# Well\n\nWell, *this* is. Well done?"})).await.json();
    assert_eq!((&counted["words"], &counted["sentences"]), (&json!(6), &json!(3)), "{counted}");
    assert_eq!(counted["top"][0], json!({"word": "well", "count": 3}));
    let problem = call("statistics", json!({"markdown": "", "top": 101})).await.problem(422, "task-error");
    assert_eq!(problem["value"], "top: found 101, expected at most 100");
    let described = server.get("/tasks/markdown").await.json().to_string();
    assert!(described.contains("Renders Markdown as HTML"), "{described}");
}

#[tokio::test]
async fn json_is_transformed_and_mistakes_say_whose_they_are() {
    let Some(server) = serve("jsonata") else { return };
    let query = async |expression: &str, data: &str| {
        let url = url::Url::parse_with_params(&server.url("/tasks/jsonata"), [("expression", expression)]);
        let request = client().post(url.unwrap().as_str()).header("content-type", "application/json");
        server.send(request.body(data.to_owned())).await
    };
    let order = r#"{"items": [{"name": "pen", "price": 2, "n": 3}, {"name": "desk", "price": 90, "n": 1}]}"#;
    let reply = query("$sum(items.(price * n))", order).await;
    assert_eq!(reply.header("content-type"), Some("application/json"));
    assert_eq!(reply.json(), json!(96));
    assert_eq!(query("items[price > 10].name", order).await.json(), json!("desk"));
    assert_eq!(query("nothing", order).await.json(), Value::Null);
    let problem = query("items[", order).await.problem(422, "task-error");
    assert_eq!(problem["value"]["what"], "expression", "{problem:#}");
    let problem = query("a", "{\n  \"a\": }").await.problem(422, "task-error");
    assert_eq!(problem["value"]["what"], "data", "{problem:#}");
    assert_eq!(problem["value"]["position"], 9, "{problem:#}");
    let problem = query("$number('x')", order).await.problem(422, "task-error");
    assert_eq!(
        (&problem["value"]["what"], &problem["value"]["code"]),
        (&json!("evaluation"), &json!("D3030"))
    );
}

#[tokio::test]
async fn csv_becomes_json_and_mistakes_are_told_with_their_line() {
    let Some(server) = serve("csv") else { return };
    let reply = send(&server, "/tasks/csv?arg=-infer", "name,price\n\"a, \"\"b\"\"\",1.5\nc,\n").await;
    assert_eq!(reply.header("content-type"), Some("application/json"));
    assert_eq!(reply.json(), json!([{"name": "a, \"b\"", "price": 1.5}, {"name": "c", "price": null}]));
    let reply = send(&server, "/tasks/csv?arg=-delimiter=%3B&arg=-header=false", "1;2\n").await;
    assert_eq!(reply.json(), json!([["1", "2"]]));
    let problem = send(&server, "/tasks/csv", "a,b\n1,2\n3\n").await.problem(422, "task-error");
    assert!(problem.to_string().contains("line 3: found 1 cells, expected 2"), "{problem:#}");
    let problem = send(&server, "/tasks/csv?arg=-nonsense", "a\n").await.problem(422, "task-error");
    assert!(problem.to_string().contains("-nonsense"), "{problem:#}");
    // More than any buffer on the way, and a heap that grows many times.
    let big = format!("n\n{}", "0123456789abcdef\n".repeat(200_000));
    assert_eq!(send(&server, "/tasks/csv", &big).await.json().as_array().unwrap().len(), 200_000);
}

#[tokio::test]
async fn sql_runs_over_a_file_that_lasts() {
    let Some(server) = serve("sqlite") else { return };
    let reply =
        send(&server, "/tasks/sqlite", "SELECT 1 AS one, 'x' AS text, x'00ff' AS blob, NULL AS n").await;
    assert_eq!(reply.header("content-type"), Some("application/json"));
    assert_eq!(reply.json(), json!([{"one": 1, "text": "x", "blob": "AP8=", "n": null}]));
    let create = "CREATE TABLE item(id INTEGER PRIMARY KEY, name TEXT, price REAL)";
    assert_eq!(send(&server, "/tasks/sqlite/shop.db", create).await.json(), json!([]));
    let insert = "INSERT INTO item(name, price) VALUES (?1, ?2) RETURNING *";
    let reply = send(&server, "/tasks/sqlite/shop.db?arg=pen%27s&arg=1.5", insert).await;
    assert_eq!(reply.json(), json!([{"id": 1, "name": "pen's", "price": 1.5}]));
    let reply = send(&server, "/tasks/sqlite/shop.db", "SELECT count(*) AS n FROM item").await;
    assert_eq!(reply.json(), json!([{"n": 1}]), "the call before wrote to the file");
    let problem =
        send(&server, "/tasks/sqlite/shop.db", "SELECT 1;\nSELEC 2").await.problem(422, "task-error");
    assert!(
        problem.to_string().contains("near \\\"SELEC\\\": syntax error (line 2, column 1)"),
        "{problem:#}"
    );
    let problem = send(&server, "/tasks/sqlite/..%2fshop.db", "SELECT 1").await.problem(422, "task-error");
    assert!(problem.to_string().contains("unable to open database file"), "{problem:#}");
    // Writers at once: the manifest lets one in at a time, so that nobody is turned away and nothing is lost.
    let many = (0..20).map(|_| send(&server, "/tasks/sqlite/shop.db?arg=x&arg=2", insert));
    for reply in futures_util::future::join_all(many).await {
        reply.ok();
    }
    let reply =
        send(&server, "/tasks/sqlite/shop.db", "SELECT count(*) AS n FROM item; PRAGMA integrity_check")
            .await;
    assert_eq!(reply.json(), json!([{"n": 21}, {"integrity_check": "ok"}]));
}
