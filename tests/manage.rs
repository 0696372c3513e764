//! `PUT` and `DELETE /tasks/{task}`: whole or not at all, checked before, told to auditors after.

use crate::access::Tokens;
use crate::support::process::Program;
use crate::support::{Gateway, Reply, Server, client, eventually, guest, until};

const ONE: &str = "(module (func (export \"f\") (result i32) i32.const 1))";
const TWO: &str = "(module (func (export \"f\") (result i32) i32.const 2))";
const BROKEN: &str = "(module (func (export \"f\") (result i32) i64.const 2))";

const WAT: &str = "text/wat";
const WASM: &str = "application/wasm";
const TOML: &str = "application/toml";

/// A gateway and the token of its manager.
struct Managed {
    server: Server,
    token: String,
    _tokens: Tokens,
}

impl Managed {
    fn start(gateway: Gateway) -> Self {
        let tokens = Tokens::new();
        let token = tokens.with(&["manage"]);
        Self { server: tokens.guard(gateway).start(), token, _tokens: tokens }
    }

    fn request(&self, method: &str, name: &str) -> reqwest::RequestBuilder {
        client()
            .request(method.parse().unwrap(), self.server.url(&format!("/tasks/{name}")))
            .bearer_auth(&self.token)
    }

    async fn put(&self, name: &str, content_type: &str, body: impl Into<reqwest::Body>) -> Reply {
        self.server.send(self.request("PUT", name).header("content-type", content_type).body(body)).await
    }

    async fn delete(&self, name: &str) -> Reply {
        self.server.send(self.request("DELETE", name)).await
    }

    async fn get(&self, path: &str) -> Reply {
        self.server.send(client().get(self.server.url(path)).bearer_auth(&self.token)).await
    }

    fn files(&self) -> Vec<String> {
        let mut names: Vec<String> = std::fs::read_dir(self.server.folder())
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect();
        names.sort();
        names
    }
}

#[tokio::test]
async fn a_task_is_put_replaced_and_deleted_and_serves_when_the_answer_comes() {
    let managed = Managed::start(Gateway::new());
    let made = managed.put("one", WAT, ONE).await;
    assert_eq!((made.status, made.header("location")), (201, Some("/tasks/one")), "{}", made.text());
    let tag = made.header("etag").unwrap().to_owned();
    assert_eq!(made.json()["functions"][0]["name"], "f");
    assert_eq!(managed.get("/tasks/one/f").await.ok(), "1");
    assert_eq!(managed.get("/tasks/one").await.header("etag"), Some(tag.as_str()));

    let replaced = managed.put("one", "text/wat; charset=utf-8", TWO).await;
    assert_eq!(replaced.status, 200, "{}", replaced.text());
    assert_ne!(replaced.header("etag"), Some(tag.as_str()));
    assert_eq!(managed.get("/tasks/one/f").await.ok(), "2");

    // The other form of a module takes the first one's place, and the manifest stays.
    assert_eq!(managed.put("one", TOML, "description = \"d\"").await.status, 200);
    let binary = managed.put("one", WASM, guest("numbers")).await;
    assert_eq!(binary.json()["description"], "d");
    assert_eq!(managed.files(), ["one.toml", "one.wasm"]);

    assert_eq!(managed.delete("one").await.status, 204);
    managed.get("/tasks/one/f").await.problem(404, "unknown-task");
    assert!(managed.files().is_empty());
    managed.delete("one").await.problem(404, "unknown-task");
}

#[tokio::test]
async fn what_cannot_be_served_is_refused_and_changes_nothing() {
    let route = "[[route]]\nmethod = \"GET\"\npath = \"/taken\"\nfunction = \"f\"\n";
    let managed = Managed::start(Gateway::new().wat("one", ONE).wat("rival", ONE).manifest("rival", route));
    let before = managed.files();
    for (content_type, body, word) in [
        (WAT, BROKEN.to_owned(), "type mismatch"),
        (WAT, "(module".to_owned(), "expected"),
        (WASM, "\0asm\u{1}\0\0\0junk".to_owned(), "expected"),
        (WAT, "(module (import \"env\" \"x\" (func)) (func (export \"f\")))".to_owned(), "env"),
        (WAT, "(module (memory (export \"m\") 3000) (func (export \"f\")))".to_owned(), "memory"),
        (TOML, "[limit]\nwall = \"1s\"".to_owned(), "limits"),
        (
            TOML,
            "[[route]]\nmethod = \"GET\"\npath = \"/g\"\nfunction = \"g\"\n".to_owned(),
            "expected one of: f",
        ),
        (TOML, "[grants]\ndirs = [{ host = \"none\", guest = \"/d\" }]".to_owned(), "none"),
        (TOML, route.to_owned(), "already that of rival"),
        (TOML, "#".repeat(70_000), "64KiB"),
    ] {
        let refused = managed.put("one", content_type, body.clone()).await;
        let problem = refused.problem(422, "refused-module");
        let told = problem.to_string();
        assert!(told.contains(word), "{word}: {problem:#}");
        assert!(problem["hints"].as_array().is_some_and(|hints| !hints.is_empty()), "{problem:#}");
    }
    assert_eq!(managed.files(), before);
    assert_eq!(managed.get("/tasks/one/f").await.ok(), "1");
    let tasks = managed.get("/tasks").await.json();
    assert_eq!(tasks["failures"], serde_json::json!([]), "nothing was tried in the folder");

    let lonely = managed.put("new", TOML, "description = \"d\"").await.problem(422, "refused-module");
    assert!(lonely["detail"].as_str().unwrap().contains("no module yet"), "{lonely:#}");
    managed.put("one", WASM, ONE).await.problem(415, "unsupported-media-type");
    managed.put("one", "image/png", "x").await.problem(415, "unsupported-media-type");
    managed.put("one", WAT, "").await.problem(422, "refused-module");
    managed.server.send(managed.request("PUT", "one")).await.problem(400, "bad-arguments");
    for odd in ["One", "a.b", "..%2Fone", "a%00b", "-a", &"a".repeat(101), "a%2Fb", ".one"] {
        managed.put(odd, WAT, ONE).await.problem(400, "bad-arguments");
        managed.delete(odd).await.problem(400, "bad-arguments");
    }
    assert_eq!(managed.files(), before);
}

#[tokio::test]
async fn module_and_manifest_come_together_in_a_form() {
    let managed = Managed::start(Gateway::new());
    let form = |manifest: &str| {
        reqwest::multipart::Form::new()
            .part("module", reqwest::multipart::Part::text(ONE).file_name("one.wat"))
            .text("manifest", manifest.to_owned())
    };
    // Alone the module would be refused.
    let manifest = "[limits]\nmemory = \"8MiB\"\n[[route]]\nmethod = \"GET\"\npath = \"/f\"\n";
    let made = managed.server.send(managed.request("PUT", "one").multipart(form(manifest))).await;
    assert_eq!(made.status, 201, "{}", made.text());
    assert_eq!(made.json()["limits"]["memory"], "8MiB");
    assert_eq!(managed.get("/f").await.ok(), "1");
    let refused = managed.server.send(managed.request("PUT", "two").multipart(form("nonsense"))).await;
    refused.problem(422, "refused-module");
    let odd = reqwest::multipart::Form::new().text("modul", ONE);
    managed.server.send(managed.request("PUT", "two").multipart(odd)).await.problem(400, "bad-arguments");
    assert_eq!(managed.files(), ["one.toml", "one.wat"]);
}

#[tokio::test]
async fn a_condition_keeps_two_managers_from_overwriting_each_other() {
    let managed = Managed::start(Gateway::new().wat("one", ONE));
    let tag = managed.get("/tasks/one").await.header("etag").unwrap().to_owned();
    let put = async |name: &str, header: &str, value: &str, body: &'static str| {
        let request = managed.request("PUT", name).header("content-type", WAT).header(header, value);
        managed.server.send(request.body(body)).await
    };
    put("one", "if-none-match", "*", TWO).await.problem(412, "precondition-failed");
    put("none", "if-match", "*", TWO).await.problem(412, "precondition-failed");
    let problem = put("one", "if-match", "\"other\"", TWO).await.problem(412, "precondition-failed");
    assert!(problem["detail"].as_str().unwrap().contains(&tag), "{problem:#}");
    assert_eq!(managed.get("/tasks/one/f").await.ok(), "1");
    assert_eq!(put("one", "if-match", &format!("\"other\", {tag}"), TWO).await.status, 200);
    // It is another one now.
    put("one", "if-match", &tag, ONE).await.problem(412, "precondition-failed");
    assert_eq!(put("new", "if-none-match", "*", ONE).await.status, 201);
    let tag = managed.get("/tasks/one").await.header("etag").unwrap().to_owned();
    // So does a manifest alone change it.
    assert_eq!(managed.put("one", TOML, "description = \"d\"").await.status, 200);
    let delete =
        async |tag: &str| managed.server.send(managed.request("DELETE", "one").header("if-match", tag)).await;
    delete(&tag).await.problem(412, "precondition-failed");
    let tag = managed.get("/tasks/one").await.header("etag").unwrap().to_owned();
    assert_eq!(delete(&tag).await.status, 204);

    // Of many that want to be the first, one is.
    let all = (0..8).map(|_| put("race", "if-none-match", "*", ONE));
    let mut statuses: Vec<u16> =
        futures_util::future::join_all(all).await.into_iter().map(|reply| reply.status).collect();
    statuses.sort_unstable();
    assert_eq!(statuses[0], 201, "{statuses:?}");
    assert!(statuses[1..].iter().all(|status| matches!(status, 412 | 503)), "{statuses:?}");
}

#[tokio::test]
async fn a_module_over_the_largest_is_refused_before_it_is_held() {
    let gateway = Gateway::new().wat("one", ONE).set(|config| config.registry.module_bytes_max = 1_000);
    let managed = Managed::start(gateway);
    let large = format!("{ONE}{}", " ".repeat(1_000));
    managed.put("one", WAT, large).await.problem(422, "refused-module");
    let problem = managed.put("one", WAT, vec![b' '; 200_000]).await.problem(413, "input-too-large");
    assert!(problem["detail"].as_str().unwrap().contains("--max-module"), "{problem:#}");
    assert_eq!(managed.get("/tasks/one/f").await.ok(), "1");
}

#[tokio::test]
async fn calls_under_way_keep_their_version() {
    let managed = Managed::start(Gateway::new().sample("sleep"));
    let slow = tokio::spawn({
        let request = client().get(managed.server.url("/sleep/1.5")).bearer_auth(&managed.token);
        async move { request.send().await.unwrap().text().await.unwrap() }
    });
    until("the sleep's begin", async || managed.server.pool().permits == 1).await;
    assert_eq!(managed.delete("sleep").await.status, 204);
    assert!(slow.await.unwrap().starts_with("Awake!"));
}

#[tokio::test]
async fn without_tokens_nobody_manages_and_below_its_name_a_guest_has_every_method() {
    let server = Gateway::new().wat("one", ONE).file("guest.wasm", guest("http-p3")).start();
    for method in ["PUT", "DELETE"] {
        let request = client().request(method.parse().unwrap(), server.url("/tasks/one")).body(TWO);
        let problem = server.send(request.header("content-type", WAT)).await.problem(403, "forbidden");
        assert!(problem["detail"].as_str().unwrap().contains("--tokens"), "{problem:#}");
        let below = client().request(method.parse().unwrap(), server.url("/tasks/guest/hello"));
        assert_eq!(server.send(below).await.ok(), "hello\n");
    }
    assert_eq!(server.get("/tasks/one/f").await.ok(), "1");
}

#[tokio::test]
async fn every_change_leaves_a_line_for_auditors_also_a_refused_one() {
    let tokens = Tokens::new();
    let (id, token) = tokens.make(Some("deploy"), &["manage"], None);
    let reader = tokens.with(&["read"]);
    let folder = tempfile::tempdir().unwrap();
    let path = tokens.path.to_str().unwrap();
    // Whatever else is left out of the log.
    let program = Program::serve(
        folder.path(),
        &["--tokens", path, "--log", "warn,gateway::app=info", "--log-format", "json"],
    )
    .await;
    let send = async |method: &str, name: &str, token: &str, body: &'static str| {
        let request = client().request(method.parse().unwrap(), program.url(&format!("/tasks/{name}")));
        let request = request.bearer_auth(token).header("content-type", WAT).body(body);
        request.send().await.unwrap().status().as_u16()
    };
    assert_eq!(send("PUT", "one", &token, ONE).await, 201);
    assert_eq!(send("PUT", "one", &token, BROKEN).await, 422);
    assert_eq!(send("PUT", "one", &reader, ONE).await, 403);
    assert_eq!(send("PUT", "one", "ub_0123456789ab_x", ONE).await, 401);
    assert_eq!(send("DELETE", "a%0Ab", &token, "").await, 400);
    assert_eq!(send("DELETE", "one", &token, "").await, 204);
    let mut lines: Vec<serde_json::Value> = Vec::new();
    until("six lines", async || {
        let log = program.log();
        let read = log.lines().filter_map(|line| serde_json::from_str::<serde_json::Value>(line).ok());
        lines = read.filter(|line| line["target"] == "audit").collect();
        lines.len() >= 6
    })
    .await;
    let told: Vec<(&str, u64, &str)> = lines
        .iter()
        .map(|line| {
            (
                line["outcome"].as_str().unwrap(),
                line["status"].as_u64().unwrap(),
                line["token.id"].as_str().unwrap(),
            )
        })
        .collect();
    let id = id.as_str();
    assert_eq!(told[..2], [("served", 201, id), ("refused-module", 422, id)]);
    assert_eq!((told[2].0, told[2].1), ("forbidden", 403));
    assert_eq!(told[3], ("unauthorized", 401, "-"));
    assert_eq!(told[4..], [("bad-arguments", 400, id), ("deleted", 204, id)]);
    let first = &lines[0];
    assert_eq!((&first["token.name"], &first["task.name"]), (&"deploy".into(), &"one".into()));
    assert!(first["client.address"].as_str().unwrap().starts_with("127.0.0.1:"), "{first:#}");
    assert!(first["task.after"].is_string() && first["call.id"].is_string(), "{first:#}");
    assert!(!program.log().contains(&token) && !program.log().contains("i32.const"), "{}", program.log());
}

#[tokio::test]
async fn a_change_is_ended_and_told_though_its_caller_left() {
    let tokens = Tokens::new();
    let (id, token) = tokens.make(None, &["manage"], None);
    let folder = tempfile::tempdir().unwrap();
    let program = Program::serve(folder.path(), &["--tokens", tokens.path.to_str().unwrap()]).await;
    let request = client().put(program.url("/tasks/one")).bearer_auth(token).header("content-type", WAT);
    let asked = tokio::spawn(request.body(ONE).send());
    // The file is there, and does not lie still for long enough to serve.
    until("the file", async || folder.path().join("one.wat").exists()).await;
    asked.abort();
    drop(asked.await);
    let line = format!("put of task \"one\" by token {id} from 127.0.0.1:");
    eventually("the auditors' line", || program.log().contains(&line) && program.log().contains("served"));
}
