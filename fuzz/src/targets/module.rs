//! A module's bytes → load → call, with small limits: served or refused with a reason; calls end in a result or in an
//! error that is not ours.
//!
//! The first byte decides: 0 to 127, the rest is the module, binary or text; above, wasm-smith makes a valid module of the
//! rest, or a component. Functions are called with example arguments.

use super::config;
use arbitrary::{Arbitrary as _, Unstructured};
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
        let tokio =
            tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().expect("a thread");
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
    let Some((first, rest)) = input.split_first() else { return };
    let made = if *first < 128 { Some(rest.to_vec()) } else { smith(rest, *first % 2 == 1) };
    let Some(bytes) = made else { return };
    let (bench, settings) = &*BENCH;
    let path = bench.folder.path().join(if bytes.starts_with(b"\0asm") { "fuzzed.wasm" } else { "fuzzed.wat" });
    std::fs::write(&path, &bytes).expect("a module");
    match registry::load_file(&path, settings, &bench.loader) {
        Ok(task) => bench.tokio.block_on(call(&bench.core, &task)),
        Err(error) => assert!(!error.reason.is_empty() && !error.remedies.is_empty(), "{error:?}"),
    }
    let stats = bench.core.pool.stats();
    assert_eq!(stats.panicked, 0, "{stats:?}");
}

fn smith(bytes: &[u8], component: bool) -> Option<Vec<u8>> {
    let mut bytes = Unstructured::new(bytes);
    if component {
        return wasm_smith::Component::arbitrary(&mut bytes).ok().map(|component| component.to_bytes());
    }
    let config = wasm_smith::Config {
        max_imports: 0,
        min_exports: 1,
        export_everything: true,
        max_memory32_bytes: 4 << 20,
        max_memory64_bytes: 4 << 20,
        max_table_elements: 1_000,
        ..wasm_smith::Config::default()
    };
    wasm_smith::Module::new(config, &mut bytes).ok().map(|module| module.to_bytes())
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
        let call = Call { task, function: index, arguments, format, wait: None, observed };
        if let Err(error) = core.invoker.call(call).await.result {
            check(&error);
        }
    }
}

async fn visit(core: &Core, task: &Arc<Task>, exchange: Exchange) {
    let (task, observed) = (Arc::clone(task), Observed::default());
    let visit = Visit { task, exchange, bodiless: false, wait: None, observed };
    match core.invoker.exchange(visit, Arc::new(check)).await.result {
        // How much there is, and how it ends, is the guest's business.
        Ok(response) => drop(Limited::new(response.into_body(), ANSWER_BYTES_MAX).collect().await),
        Err(error) => check(&error),
    }
}

fn check(error: &Error) {
    assert!(error.kind != Kind::Internal, "{}: {:?}", error.detail, error.cause);
}
