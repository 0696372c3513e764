//! Sleeping calls without HTTP: how fast thousands are started and ended, and what each costs.
//!
//! Uses the library as the command line does: the core, one loaded file, the invoker. Memory and
//! threads are read while all calls are parked, against the same process after a few warm-up calls.

use super::gateway;
use crate::proc::Process;
use ::gateway::app::{self, Core, TaskLoader};
use ::gateway::invoke::Call;
use ::gateway::registry::{Task, load_file};
use ::gateway::runtime::Observed;
use ::gateway::task::{Arguments, Format, Output};
use anyhow::{Context as _, bail};
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// Calls that are made first, so that what is made once is not counted.
const WARM_UP: usize = 64;

/// Makes the calls, prints what they took.
pub fn run(folder: &Path, count: usize, seconds: u64) -> anyhow::Result<()> {
    let config = gateway::config(folder, &[])?;
    let cores = config.http_threads.get();
    let tokio = tokio::runtime::Builder::new_multi_thread().worker_threads(cores).enable_all().build()?;
    let core = app::core(&config, tokio.handle().clone(), None)?;
    let loader = TaskLoader::new(Arc::clone(&core.runtime), Arc::clone(&core.pool));
    let file = config.registry.tasks.join("sleep.wasm");
    let task = load_file(&file, &config.registry, &loader).map_err(|error| anyhow::anyhow!("{error:?}"))?;
    tokio.block_on(all(&core, &task, WARM_UP, 0))?;
    let own = Process::own();
    let (memory_before, threads_before) = (own.memory_kib()?, own.threads()?);

    let start = Instant::now();
    let pool = Arc::clone(&core.pool);
    let watch = std::thread::spawn(move || -> anyhow::Result<_> {
        let deadline = Instant::now() + Duration::from_secs(seconds);
        while pool.stats().parked < count {
            if Instant::now() > deadline {
                bail!("only {} of {count} calls were asleep at once", pool.stats().parked);
            }
            std::thread::sleep(Duration::from_millis(5));
        }
        let parked_after = start.elapsed();
        // Without this thread.
        Ok((parked_after, Process::own().memory_kib()?, Process::own().threads()? - 1))
    });
    tokio.block_on(all(&core, &task, count, seconds))?;
    let took = start.elapsed();
    let Ok(watched) = watch.join() else { bail!("the watching thread panicked") };
    let (parked_after, memory, threads) = watched?;
    super::say(
        &serde_json::json!({
            "seconds_over": took.as_secs_f64() - seconds as f64,
            "seconds_asleep": parked_after.as_secs_f64(),
            "kib_each": memory.saturating_sub(memory_before) as f64 / count as f64,
            "threads_before": threads_before,
            "threads": threads,
        })
        .to_string(),
    )
}

async fn all(core: &Core, task: &Arc<Task>, count: usize, seconds: u64) -> anyhow::Result<()> {
    let function = task.prepared.find(Some("sleep")).map_err(|error| anyhow::anyhow!("{error}"))?;
    let mut calls = tokio::task::JoinSet::new();
    for _ in 0..count {
        let call = Call {
            task: Arc::clone(task),
            function,
            arguments: Arguments {
                pairs: vec![("seconds".to_owned(), seconds.to_string())],
                ..Arguments::default()
            },
            format: Format::Natural,
            wait: None,
            observed: Observed::default(),
            profiled: None,
        };
        let invoker = Arc::clone(&core.invoker);
        calls.spawn(async move { invoker.call(call).await.result });
    }
    while let Some(ended) = calls.join_next().await {
        match ended.context("a call panicked")? {
            Ok(Output::Text(text)) if text.starts_with("Awake! ") => {}
            Ok(other) => bail!("a sleeping call answered {other:?}"),
            Err(error) => bail!("a sleeping call failed: {error}"),
        }
    }
    Ok(())
}
