//! Who may do what: tokens and scopes, what guests get to see of them, and the addresses that need them.

use crate::support::process::{self, Ended, Program, run, unblock};
use crate::support::{Gateway, Reply, Server, client, eventually, guest, until};
use gateway::access::{Scope, Store};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

const ADD: &str =
    "(module (func (export \"add\") (param i32 i32) (result i32) local.get 0 local.get 1 i32.add))";

const ADD_ROUTE: &str = "[[route]]\nmethod = \"GET\"\npath = \"/plus/{0}/{1}\"\nfunction = \"add\"\n";

/// A file of tokens in a folder of its own.
pub struct Tokens {
    _folder: tempfile::TempDir,
    pub path: PathBuf,
}

impl Tokens {
    /// Without a token.
    pub fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("tokens");
        let tokens = Self { _folder: folder, path };
        let id = tokens.make(None, &["read"], None).0;
        tokens.revoke(&id);
        tokens
    }

    /// Makes a token: its id and its text.
    pub fn make(&self, name: Option<&str>, scopes: &[&str], lifetime: Option<Duration>) -> (String, String) {
        let scopes: Vec<Scope> = scopes.iter().map(|scope| Scope::parse(scope).unwrap()).collect();
        Store::open(&self.path).unwrap().create(name, &scopes, lifetime).unwrap()
    }

    /// A token with these scopes.
    pub fn with(&self, scopes: &[&str]) -> String {
        self.make(None, scopes, None).1
    }

    pub fn revoke(&self, which: &str) {
        Store::open(&self.path).unwrap().revoke(which).unwrap();
    }

    /// A gateway that asks for them.
    pub fn guard(&self, gateway: Gateway) -> Gateway {
        let path = self.path.clone();
        gateway.set(move |config| config.tokens = Some(path))
    }
}

async fn ask(server: &Server, method: &str, path: &str, token: Option<&str>) -> Reply {
    let mut request = client().request(method.parse().unwrap(), server.url(path));
    if let Some(token) = token {
        request = request.bearer_auth(token);
    }
    server.send(request).await
}

fn guarded(tokens: &Tokens) -> Server {
    let gateway = Gateway::new().wat("add", ADD).manifest("add", ADD_ROUTE).wat("other", ADD);
    tokens.guard(gateway).start()
}

#[tokio::test]
async fn whoever_has_no_token_gets_the_open_pages_and_nothing_else() {
    let tokens = Tokens::new();
    let server = guarded(&tokens);
    for path in ["/", "/livez", "/readyz", "/docs", "/docs/start.js", "/problems", "/problems/unauthorized"] {
        assert_eq!(ask(&server, "GET", path, None).await.status, 200, "{path}");
    }
    for (method, path) in [
        ("GET", "/tasks"),
        ("GET", "/openapi.json"),
        ("GET", "/tasks/add"),
        ("GET", "/tasks/none"),
        ("GET", "/tasks/add/add?0=1&1=2"),
        ("POST", "/tasks/add/add"),
        ("OPTIONS", "/tasks/add"),
        ("PUT", "/tasks/add"),
        ("DELETE", "/tasks/add"),
        ("GET", "/plus/1/2"),
        ("GET", "/nothing"),
        ("GET", "/calls"),
        ("GET", "/metrics"),
        ("GET", "/calls/x"),
        ("GET", "/tasks/add/-/calls"),
        ("GET", "/docs/a/b"),
    ] {
        let reply = ask(&server, method, path, None).await;
        // What lies below /docs is open, and there is nothing.
        if path == "/docs/a/b" {
            reply.problem(404, "unknown-path");
            continue;
        }
        reply.problem(401, "unauthorized");
        assert_eq!(reply.header("www-authenticate"), Some("Bearer realm=\"unblock\""), "{method} {path}");
        for wrong in ["ub_0123456789ab_AAAA", "secret", ""] {
            let reply = ask(&server, method, path, Some(wrong)).await;
            reply.problem(401, "unauthorized");
            assert!(reply.header("www-authenticate").unwrap().contains("error=\"invalid_token\""), "{wrong}");
        }
    }
}

#[tokio::test]
async fn a_token_allows_what_its_scopes_say() {
    let tokens = Tokens::new();
    let [call, every, read, manage] =
        [&["call:add"][..], &["call:*"], &["read"], &["manage"]].map(|scopes| tokens.with(scopes));
    let server = guarded(&tokens);
    for (method, path, allowed) in [
        ("GET", "/tasks/add/add?0=1&1=2", [true, true, false, true]),
        ("GET", "/tasks/%61dd/add?0=1&1=2", [true, true, false, true]),
        ("GET", "/plus/1/2", [true, true, false, true]),
        ("GET", "/tasks/other/add?0=1&1=2", [false, true, false, true]),
        ("GET", "/tasks/%6fther/add?0=1&1=2", [false, true, false, true]),
        ("GET", "/tasks/add", [true, true, true, true]),
        ("GET", "/tasks/other", [false, true, true, true]),
        ("GET", "/tasks", [false, false, true, true]),
        ("GET", "/openapi.json", [false, false, true, true]),
        ("HEAD", "/tasks", [false, false, true, true]),
        ("GET", "/calls", [false, false, true, true]),
        ("GET", "/metrics", [false, false, true, true]),
        ("GET", "/tasks/add/-/calls", [false, false, true, true]),
        ("GET", "/tasks/other/-/calls", [false, false, true, true]),
    ] {
        for (token, allowed) in [&call, &every, &read, &manage].into_iter().zip(allowed) {
            let reply = ask(&server, method, path, Some(token)).await;
            let status = if allowed { 200 } else { 403 };
            assert_eq!(reply.status, status, "{method} {path}: {}", reply.text());
        }
    }
    // Whether a task is there is none of the business of who may not call it.
    let refused = ask(&server, "POST", "/tasks/none/f", Some(&call)).await;
    let problem = refused.problem(403, "forbidden");
    assert!(problem["detail"].as_str().unwrap().contains("call:none"), "{problem:#}");
    assert_eq!(
        refused.header("www-authenticate"),
        Some("Bearer realm=\"unblock\", error=\"insufficient_scope\", scope=\"call:none\"")
    );
    for token in [&call, &every, &read] {
        ask(&server, "DELETE", "/tasks/add", Some(token)).await.problem(403, "forbidden");
    }
    // The document says that a token is needed, and how it is sent.
    let document = ask(&server, "GET", "/openapi.json", Some(&read)).await.json();
    assert_eq!(document["security"], serde_json::json!([{ "token": [] }]));
    assert_eq!(document["components"]["securitySchemes"]["token"]["scheme"], "bearer");
    ask(&server, "GET", "/nothing", Some(&call)).await.problem(404, "unknown-path");
}

#[tokio::test]
async fn tokens_come_go_and_expire_while_the_gateway_serves() {
    let tokens = Tokens::new();
    let server = guarded(&tokens);
    let (id, token) = tokens.make(Some("late"), &["read"], None);
    let status = async |token: &str| ask(&server, "GET", "/tasks", Some(token)).await.status;
    until("the new token", async || status(&token).await == 200).await;
    tokens.revoke(&id);
    until("the end of the revoked token", async || status(&token).await == 401).await;

    let (_, short) = tokens.make(None, &["read"], Some(Duration::from_secs(8)));
    until("the short-lived token", async || status(&short).await == 200).await;
    until("its end", async || status(&short).await == 401).await;
    let expired = ask(&server, "GET", "/tasks", Some(&short)).await.problem(401, "unauthorized");
    assert!(expired["detail"].as_str().unwrap().contains("expired"), "{expired:#}");

    // A file that is gone lets nobody in.
    let keeper = tokens.with(&["read"]);
    until("another token", async || status(&keeper).await == 200).await;
    let good = std::fs::read(&tokens.path).unwrap();
    std::fs::remove_file(&tokens.path).unwrap();
    until("nobody in", async || status(&keeper).await == 401).await;
    std::fs::write(&tokens.path, good).unwrap();
    std::fs::set_permissions(&tokens.path, PermissionsExt::from_mode(0o600)).unwrap();
    until("the file again", async || status(&keeper).await == 200).await;
}

#[tokio::test]
async fn the_gateways_token_is_kept_from_guests_and_another_secret_reaches_them() {
    let tokens = Tokens::new();
    let token = tokens.with(&["call:*"]);
    let files = || {
        Gateway::new()
            .file("http.wasm", guest("http-p3"))
            .file("cgi.wasm", guest("command"))
            .manifest("cgi", "interface = \"cgi\"\n")
    };
    let server = tokens.guard(files()).start();
    let told = ask(&server, "GET", "/tasks/http/tell", Some(&token)).await.ok();
    assert!(told.contains("x-request-id") && !told.to_lowercase().contains("authorization"), "{told}");
    assert!(!told.contains("ub_"), "{told}");
    let told = server
        .send(client().get(server.url("/tasks/http/tell")).bearer_auth(&token).header("x-api-key", "mine"))
        .await;
    assert!(told.ok().contains("x-api-key"), "{}", told.text());
    // Without tokens the header is the guest's, as before any proxy.
    let open = files().start();
    let told = ask(&open, "GET", "/tasks/http/tell", Some("theirs")).await.ok();
    assert!(told.to_lowercase().contains("authorization"), "{told}");
}

#[tokio::test]
async fn no_log_line_and_no_problem_repeats_a_token() {
    let tokens = Tokens::new();
    let (_, token) = tokens.make(Some("ci"), &["call:add"], None);
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("add.wat"), ADD).unwrap();
    let path = tokens.path.to_str().unwrap();
    let program = Program::serve(folder.path(), &["--tokens", path, "--log", "trace"]).await;
    let mistyped = format!("{token}x");
    for (method, path, shown, status) in [
        ("GET", "/tasks/add/add?0=1&1=2", &token, 200),
        ("GET", "/tasks", &token, 403),
        ("PUT", "/tasks/add", &token, 403),
        ("PUT", "/tasks/add", &mistyped, 401),
        ("GET", "/tasks/add", &mistyped, 401),
    ] {
        let request = client().request(method.parse().unwrap(), program.url(path)).bearer_auth(shown);
        let response = request.send().await.unwrap();
        assert_eq!(response.status().as_u16(), status, "{method} {path}");
        assert!(!response.text().await.unwrap().contains("ub_"), "{method} {path}");
    }
    let secret = token.rsplit_once('_').unwrap().1.to_owned();
    eventually("the failures are logged", || {
        let log = program.log();
        log.contains("insufficient") || log.contains("forbidden")
    });
    let log = program.log();
    assert!(!log.contains(&token) && !log.contains(&secret), "{log}");
}

/// `unblock token` with a file.
fn token(file: &Path, arguments: &[&str]) -> Ended {
    process::ended(unblock().arg("token").args(arguments).env("UNBLOCK_TOKENS", file), b"")
}

#[test]
fn the_command_line_makes_lists_and_revokes_tokens() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("tokens");
    let missing = token(&file, &["list"]);
    assert!(missing.code == Some(1) && missing.stderr.contains("unblock token create"), "{}", missing.stderr);

    let made = token(
        &file,
        &["create", "--scope", "call:sleep", "--scope", "read", "--name", "ci", "--expires", "30d"],
    );
    assert_eq!(made.code, Some(0), "{}", made.stderr);
    let text = made.stdout.strip_suffix('\n').unwrap();
    assert!(text.starts_with("ub_") && !text.contains(char::is_whitespace), "{text}");
    assert!(!made.stderr.contains(text), "{}", made.stderr);
    let mode = std::fs::metadata(&file).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);

    let listed = token(&file, &["list"]).stdout;
    assert!(listed.contains("ci") && listed.contains("call:sleep read"), "{listed}");
    let json: serde_json::Value = serde_json::from_str(&token(&file, &["list", "--json"]).stdout).unwrap();
    assert_eq!(json[0]["scopes"], serde_json::json!(["call:sleep", "read"]));
    for shown in [&listed, &json.to_string(), &std::fs::read_to_string(&file).unwrap()] {
        assert!(!shown.contains(text.rsplit_once('_').unwrap().1), "{shown}");
    }
    let again = token(&file, &["create", "--scope", "read", "--name", "ci"]);
    assert!(
        again.code == Some(1) && again.stderr.contains("there is a token named \"ci\""),
        "{}",
        again.stderr
    );
    for (wrong, word) in [
        (&["create", "--scope", "write"][..], "call:TASK"),
        (&["create", "--scope", "read", "--expires", "soon"], "--expires"),
        (&["create"], "--scope"),
    ] {
        let wrong = token(&file, wrong);
        assert!(wrong.code == Some(2) && wrong.stderr.contains(word), "{}", wrong.stderr);
    }
    assert_eq!(token(&file, &["revoke", "ci"]).code, Some(0));
    assert_eq!(token(&file, &["revoke", "ci"]).code, Some(1));
    assert!(!token(&file, &["list"]).stdout.contains("ci"));
}

#[test]
fn tokens_made_at_once_are_all_kept() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("tokens");
    std::thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(|| {
                for _ in 0..5 {
                    Store::open(&file).unwrap().create(None, &[Scope::Read], None).unwrap();
                }
            });
        }
    });
    assert_eq!(Store::open(&file).unwrap().records().len(), 40);
}

#[tokio::test]
async fn a_public_address_needs_tokens_or_a_word() {
    let folder = tempfile::tempdir().unwrap();
    let tasks = folder.path().to_str().unwrap();
    for address in ["0.0.0.0:0", "[::]:0", "192.0.2.1:80"] {
        let refused = run(&["serve", "--tasks", tasks, "--listen", address], b"");
        assert_eq!(refused.code, Some(2), "{}", refused.stderr);
        for word in ["--listen", "--tokens", "--allow-anonymous", "unblock token create"] {
            assert!(refused.stderr.contains(word), "{word}: {}", refused.stderr);
        }
    }
    // A local command has no callers.
    std::fs::write(folder.path().join("add.wat"), ADD).unwrap();
    let file = folder.path().join("add.wat");
    let mut local = unblock();
    local.args(["run", file.to_str().unwrap(), "add", "1", "2"]).env("UNBLOCK_LISTEN", "0.0.0.0:80");
    assert_eq!(process::ended(local.env("UNBLOCK_CACHE", "off"), b"").stdout.trim(), "3");

    let tokens = Tokens::new();
    let token = tokens.with(&["read"]);
    let path = tokens.path.to_str().unwrap();
    let program = Program::serve(folder.path(), &["--listen", "0.0.0.0:0", "--tokens", path]).await;
    assert!(program.log().contains("tokens travel in clear"), "{}", program.log());
    let url = program.url("/tasks").replace("0.0.0.0", "127.0.0.1");
    assert_eq!(client().get(&url).send().await.unwrap().status(), 401);
    assert_eq!(client().get(&url).bearer_auth(token).send().await.unwrap().status(), 200);
    let program = Program::serve(folder.path(), &["--listen", "0.0.0.0:0", "--allow-anonymous"]).await;
    assert_eq!(client().get(program.url("/tasks")).send().await.unwrap().status(), 200);
}

#[test]
fn a_file_of_tokens_that_cannot_be_read_is_a_mistake_of_the_configuration() {
    let folder = tempfile::tempdir().unwrap();
    let (tasks, file) = (folder.path().to_str().unwrap(), folder.path().join("tokens"));
    let start = || run(&["serve", "--tasks", tasks, "--tokens", file.to_str().unwrap()], b"");
    let missing = start();
    assert!(missing.code == Some(2) && missing.stderr.contains("unblock token create"), "{}", missing.stderr);
    Store::open(&file).unwrap().create(None, &[Scope::Read], None).unwrap();
    std::fs::set_permissions(&file, PermissionsExt::from_mode(0o666)).unwrap();
    let open = start();
    assert!(open.code == Some(2) && open.stderr.contains("chmod 600"), "{}", open.stderr);
}
