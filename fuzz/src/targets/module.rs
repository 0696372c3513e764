//! A module's bytes → load → call, with small limits: served or refused with a reason; calls end in a result or in an
//! error that is not ours.
//!
//! Binary if it starts so, else text. Functions are called with example arguments, commands and `wasi:http` guests
//! with an empty request. `just fuzz module` adds valid modules made by wasm-smith to the seeds.

use super::config;
use gateway::app::{self, Core, TaskLoader};
use gateway::error::{Error, Kind};
use gateway::invoke::{Call, Visit};
use gateway::limits::Limits;
use gateway::registry::{self, Settings, Task};
use gateway::runtime::{Answer, Observed};
use gateway::task::{self, Arguments, Body, Format};
use gateway::{exchange::Exchange, exchange::StreamCall, local, values};
use http_body_util::{BodyExt as _, Limited};
use std::sync::{Arc, LazyLock};
use std::time::Duration;

/// Functions of a module that are called.
const FUNCTIONS_MAX: usize = 3;

/// How much of a streamed answer is read.
const ANSWER_BYTES_MAX: usize = 1 << 20;

/// The layers below HTTP, and a folder for files.
pub(super) struct Bench {
    tokio: tokio::runtime::Runtime,
    core: Core,
    pub(super) loader: TaskLoader,
    pub(super) folder: tempfile::TempDir,
}

impl Bench {
    pub(super) fn new() -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let tokio = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .enable_all()
            .build()
            .expect("a thread");
        let core = app::core(&config(folder.path()), tokio.handle().clone(), None).expect("an engine");
        let loader = TaskLoader::new(Arc::clone(&core.runtime), Arc::clone(&core.pool));
        Self { tokio, core, loader, folder }
    }
}

static BENCH: LazyLock<(Bench, Settings)> = LazyLock::new(|| {
    let bench = Bench::new();
    let mut settings = config(bench.folder.path()).registry;
    settings.defaults = Limits {
        wall: Duration::from_millis(300),
        cpu: Duration::from_millis(50),
        memory: 8 << 20,
        input: 64 << 10,
        output: 64 << 10,
        ..settings.defaults
    };
    (bench, settings)
});

pub(super) fn feed(input: &[u8]) {
    let (bench, settings) = &*BENCH;
    let path =
        bench.folder.path().join(if input.starts_with(b"\0asm") { "fuzzed.wasm" } else { "fuzzed.wat" });
    std::fs::write(&path, input).expect("a module");
    match registry::load_file(&path, settings, &bench.loader) {
        Ok(task) => bench.tokio.block_on(call(&bench.core, &task)),
        Err(error) => assert!(!error.reason.is_empty() && !error.remedies.is_empty(), "{error:?}"),
    }
    let stats = bench.core.pool.stats();
    assert_eq!(stats.panicked, 0, "{stats:?}");
}

async fn call(core: &Core, task: &Arc<Task>) {
    let prepared = &task.prepared;
    match prepared.kind {
        task::Kind::Command => return visit(core, task, local::command(task, &[], std::io::empty())).await,
        task::Kind::Http => {
            let request = local::request(&[], std::io::empty()).expect("GET /");
            return visit(core, task, request).await;
        }
        task::Kind::Component | task::Kind::CoreModule => {}
    }
    for (index, function) in prepared.functions.iter().enumerate().take(FUNCTIONS_MAX) {
        let Some(document) = values::example_args(&function.params, true) else { continue };
        let body = Body::Bytes {
            content_type: Some("application/json".to_owned()),
            bytes: document.to_string().into_bytes().into(),
        };
        let arguments = Arguments { pairs: Vec::new(), body };
        if function.answer == Answer::Stream {
            visit(core, task, Exchange::Call(StreamCall { function: index, arguments })).await;
            continue;
        }
        let (task, format, observed) = (Arc::clone(task), Format::Json, Observed::default());
        let call = Call { task, function: index, arguments, format, wait: None, observed, profiled: None };
        if let Err(error) = core.invoker.call(call).await.result {
            check(&error);
        }
    }
}

async fn visit(core: &Core, task: &Arc<Task>, exchange: Exchange) {
    let (task, observed) = (Arc::clone(task), Observed::default());
    let visit = Visit { task, exchange, bodiless: false, wait: None, observed, profiled: None };
    match core.invoker.exchange(visit, Arc::new(check)).await.result {
        // How much there is, and how it ends, is the guest's business.
        Ok(response) => drop(Limited::new(response.into_body(), ANSWER_BYTES_MAX).collect().await),
        Err(error) => check(&error),
    }
}

fn check(error: &Error) {
    assert!(error.kind != Kind::Internal, "{}: {:?}", error.detail, error.cause);
}
