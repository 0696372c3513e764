//! The harness: a real server on a port of its own, a folder of tasks, and an HTTP client.
//!
//! [`Gateway::new`] collects tasks, manifests and settings; `start` runs the whole gateway inside
//! the test's process, so that guests can be given host functions of the test's own. Everything is
//! gone when the [`Server`] is dropped. Waiting is by condition with a bound, never by sleeping.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "tests fail by panicking"
)]

pub mod collector;
pub mod crowd;

pub mod guests;
pub mod process;
pub mod upstream;

use clap::Parser as _;
use gateway::config::{Config, Flags};
use gateway::runtime::ExtraImports;
use gateway::runtime::engine::Runs;
use serde_json::Value;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// Runs in flight at most in a test's server: each reserves 4 GiB of address space, and many
/// servers share the test process.
const RUNS: usize = 1_100;

/// How long a test waits for something that should happen at once.
pub const PATIENCE: Duration = Duration::from_secs(20);

/// How long the tasks of a test may take to compile on a machine that is busy with other things.
pub const LOADING: Duration = Duration::from_secs(120);

/// A change of the settings.
type Change = Box<dyn FnOnce(&mut Config)>;

/// A gateway to be started.
#[must_use]
pub struct Gateway {
    folder: tempfile::TempDir,
    settings: Vec<Change>,
    extra: Option<ExtraImports>,
}

/// Flags without a program around them.
#[derive(clap::Parser)]
struct Bare {
    #[command(flatten)]
    flags: Flags,
}

impl Gateway {
    /// A gateway without tasks.
    pub fn new() -> Self {
        Self { folder: tempfile::tempdir().unwrap(), settings: Vec::new(), extra: None }
    }

    /// Puts a file into the tasks folder.
    pub fn file(self, name: &str, content: impl AsRef<[u8]>) -> Self {
        std::fs::write(self.folder.path().join(name), content).unwrap();
        self
    }

    /// Makes a folder below the tasks folder, for a manifest to grant.
    pub fn folder(self, name: &str) -> Self {
        std::fs::create_dir_all(self.folder.path().join(name)).unwrap();
        self
    }

    /// A task in WebAssembly text.
    pub fn wat(self, name: &str, text: &str) -> Self {
        self.file(&format!("{name}.wat"), text)
    }

    /// A manifest.
    pub fn manifest(self, name: &str, text: &str) -> Self {
        self.file(&format!("{name}.toml"), text)
    }

    /// One of the sample tasks, as `just build-tasks` left it, with its manifest.
    pub fn sample(self, name: &str) -> Self {
        let tasks = repository().join("tasks");
        let copy = |file: String| {
            let from = tasks.join(&file);
            std::fs::copy(&from, self.folder.path().join(file))
                .map_err(|error| format!("{}: {error}; run `just build-tasks`", from.display()))
        };
        let module = if tasks.join(format!("{name}.wat")).exists() { "wat" } else { "wasm" };
        copy(format!("{name}.{module}")).unwrap();
        copy(format!("{name}.toml")).unwrap();
        self
    }

    /// Changes a setting.
    pub fn set(mut self, change: impl FnOnce(&mut Config) + 'static) -> Self {
        self.settings.push(Box::new(change));
        self
    }

    /// Gives core modules host functions of the test's own.
    pub fn imports(mut self, extra: ExtraImports) -> Self {
        self.extra = Some(extra);
        self
    }

    /// Starts it and waits until every task is loaded or refused.
    pub fn start(self) -> Server {
        let bare = Bare::parse_from(["test"]);
        let mut flags = bare.flags;
        flags.tasks = self.folder.path().to_str().unwrap().to_owned();
        flags.listen = "127.0.0.1:0".to_owned();
        flags.cache = Some("off".to_owned());
        let mut config = Config::read(&flags).unwrap();
        config.engine.runs = Runs { count: RUNS, ..config.engine.runs };
        config.registry.settle = Duration::from_millis(20);
        config.registry.poll = Duration::from_millis(100);
        for change in self.settings {
            change(&mut config);
        }
        let extra = self.extra;
        // Its own thread: a tokio runtime cannot be started from inside another.
        let server = std::thread::spawn(move || gateway::app::start(&config, extra).unwrap()).join().unwrap();
        let server = Server { inner: Some(server), folder: self.folder };
        // Compiling threads give way to everything else on the machine.
        within(LOADING, "the first scan", || server.app().registry().ready());
        server
    }
}

/// A guest of `tests/guests`, as `just build-tasks` left it.
pub fn guest(name: &str) -> Vec<u8> {
    let path = repository().join(format!("target/guests/{name}.wasm"));
    std::fs::read(&path).unwrap_or_else(|error| panic!("{}: {error}; run `just build-tasks`", path.display()))
}

/// A running gateway.
pub struct Server {
    inner: Option<gateway::app::Server>,
    folder: tempfile::TempDir,
}

/// What came back.
pub struct Reply {
    pub status: u16,
    pub headers: reqwest::header::HeaderMap,
    pub body: Vec<u8>,
}

impl Server {
    /// The gateway itself.
    pub fn app(&self) -> &gateway::app::Server {
        self.inner.as_ref().unwrap()
    }

    /// The numbers of its pool.
    pub fn pool(&self) -> unblock_pool::Stats {
        self.app().pool().stats()
    }

    /// The tasks folder.
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// The URL of a path.
    pub fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.app().address())
    }

    /// `GET` a path.
    pub async fn get(&self, path: &str) -> Reply {
        self.send(client().get(self.url(path))).await
    }

    /// What `GET /tasks/{task}` says.
    pub async fn json_of(&self, task: &str) -> Value {
        self.get(&format!("/tasks/{task}")).await.json()
    }

    /// `POST` a JSON document.
    pub async fn post(&self, path: &str, json: &str) -> Reply {
        let request =
            client().post(self.url(path)).header("content-type", "application/json").body(json.to_owned());
        self.send(request).await
    }

    /// Sends a request made with [`client`].
    pub async fn send(&self, request: reqwest::RequestBuilder) -> Reply {
        let response = request.send().await.unwrap();
        let (status, headers) = (response.status().as_u16(), response.headers().clone());
        Reply { status, headers, body: response.bytes().await.unwrap().to_vec() }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        if let Some(server) = self.inner.take() {
            std::thread::spawn(move || drop(server)).join().unwrap();
        }
    }
}

impl Reply {
    /// The body as text.
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    /// The body as JSON.
    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|error| panic!("{error}: {}", self.text()))
    }

    /// A header as text.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).map(|value| value.to_str().unwrap())
    }

    /// Checks that this is a problem of that kind and status, and gives its document.
    #[track_caller]
    pub fn problem(&self, status: u16, slug: &str) -> Value {
        assert_eq!(
            self.header("content-type"),
            Some("application/problem+json"),
            "{}: {}",
            self.status,
            self.text()
        );
        let document = self.json();
        assert_eq!(
            (self.status, document["type"].as_str()),
            (status, Some(format!("/problems/{slug}").as_str())),
            "{document:#}"
        );
        document
    }

    /// Checks that the call went well, and gives the body as text.
    #[track_caller]
    pub fn ok(&self) -> String {
        assert!((200..300).contains(&self.status), "{}: {}", self.status, self.text());
        self.text()
    }
}

/// An HTTP client with a connection pool of its own, so that tests share nothing.
pub fn client() -> reqwest::Client {
    reqwest::Client::builder().timeout(Duration::from_secs(60)).build().unwrap()
}

/// The root of the repository.
pub fn repository() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

/// Waits until `holds`, and fails the test by name if it never does.
#[track_caller]
pub fn eventually(what: &str, holds: impl FnMut() -> bool) {
    within(PATIENCE, what, holds);
}

#[track_caller]
fn within(time: Duration, what: &str, mut holds: impl FnMut() -> bool) {
    let deadline = Instant::now() + time;
    while !holds() {
        assert!(Instant::now() < deadline, "waited {time:?} for: {what}");
        std::thread::sleep(Duration::from_millis(2));
    }
}

/// As [`eventually`], for what is asked over HTTP.
pub async fn until(what: &str, holds: impl AsyncFnMut() -> bool) {
    until_within(PATIENCE, what, holds).await;
}

/// As [`until`], with a bound of its own.
pub async fn until_within(time: Duration, what: &str, mut holds: impl AsyncFnMut() -> bool) {
    let deadline = Instant::now() + time;
    while !holds().await {
        assert!(Instant::now() < deadline, "waited {time:?} for: {what}");
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
}
