//! One call without HTTP and without queue: instantiate, call, drop, one after the other on a worker.
//!
//! Twice in one process, in turns: with the gateway's engine, and with the one that the work on this
//! began with (64 KiB kept resident, no `pagemap_scan`, a guest whose heap grows, exports looked up by
//! name). The store's data is the gateway's own in both.

use ::gateway::app;
use ::gateway::runtime::engine::{self, Settings};
use anyhow::{Context as _, bail};
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};
use unblock_host::{Grants, Host, Limiter, Memory, Progress, Request};
use unblock_pool::{Budget, Run, ShareLimits};
use wasmtime::component::{Component, ComponentExportIndex, InstancePre, Val};
use wasmtime::{Config, Engine, InstanceAllocationStrategy, PoolingAllocationConfig, Store};

/// Calls of one turn.
const CALLS: u32 = 2_000;

/// Epochs that a call may take: nobody interrupts it here.
const EPOCHS: u64 = 1 << 40;

/// Bytes of guest memory and of values that a run may have.
const BYTES_MAX: u64 = 128 << 20;

/// Kept resident before.
const KEPT_BYTES: usize = 64 << 10;

/// How a call finds its function.
enum Lookup {
    /// By an index that was made when the task was loaded.
    Index(ComponentExportIndex),
    /// By the names of interface and function.
    Names,
}

struct Side {
    engine: Engine,
    pre: InstancePre<Host>,
    lookup: Lookup,
}

const INTERFACE: &str = "api";
const FUNCTION: &str = "add";

impl Side {
    fn new(engine: Engine, module: &Path, indexed: bool) -> anyhow::Result<Self> {
        let bytes = std::fs::read(module)
            .with_context(|| format!("{} is not built; run bench/build.sh", module.display()))?;
        let component = Component::new(&engine, bytes)?;
        let lookup = if indexed {
            let interface = component.get_export_index(None, INTERFACE);
            let function = component.get_export_index(interface.as_ref(), FUNCTION);
            Lookup::Index(function.context("the guest has no function add")?)
        } else {
            Lookup::Names
        };
        let pre = unblock_host::linker(&engine)?.instantiate_pre(&component)?;
        Ok(Self { engine, pre, lookup })
    }

    /// One call.
    async fn call(&self, run: &Run, grants: &Arc<Grants>) -> anyhow::Result<()> {
        let (request, progress) = (Request::default(), Progress::default());
        let charge = Memory::new(u64::MAX).charge(0).context("an empty budget")?;
        let limiter = Limiter::new(BYTES_MAX, charge, 0, progress.clone());
        let host = Host::new(run.clone(), limiter, BYTES_MAX, request, progress, Arc::clone(grants));
        let mut store = Store::new(&self.engine, host);
        store.limiter(|host| &mut host.limiter);
        store.set_epoch_deadline(EPOCHS);
        let instance = self.pre.instantiate_async(&mut store).await?;
        let function = match &self.lookup {
            Lookup::Index(index) => instance.get_func(&mut store, index),
            Lookup::Names => {
                let interface = instance.get_export_index(&mut store, None, INTERFACE);
                let function = instance.get_export_index(&mut store, interface.as_ref(), FUNCTION);
                function.and_then(|index| instance.get_func(&mut store, index))
            }
        };
        let mut sum = [Val::Bool(false)];
        let function = function.context("the guest has no function add")?;
        function.call_async(&mut store, &[Val::U32(1), Val::U32(2)], &mut sum).await?;
        match sum {
            [Val::U32(3)] => Ok(()),
            other => bail!("1 + 2 is {other:?}"),
        }
    }

    /// Microseconds a call, over many.
    async fn turn(&self, run: &Run, grants: &Arc<Grants>) -> anyhow::Result<f64> {
        let start = Instant::now();
        for _ in 0..CALLS {
            self.call(run, grants).await?;
        }
        Ok(start.elapsed().as_secs_f64() * 1e6 / f64::from(CALLS))
    }
}

/// The engine that the work began with.
fn before() -> anyhow::Result<Engine> {
    let mut pooling = PoolingAllocationConfig::new();
    pooling.linear_memory_keep_resident(KEPT_BYTES).table_keep_resident(KEPT_BYTES);
    let mut config = Config::new();
    config.epoch_interruption(true);
    config.allocation_strategy(InstanceAllocationStrategy::Pooling(pooling));
    Ok(Engine::new(&config)?)
}

/// Makes the calls, prints the turns of both sides.
pub fn run(after: &Path, before_module: &Path, rounds: usize) -> anyhow::Result<()> {
    let sides = [
        Side::new(before()?, before_module, false)?,
        Side::new(engine::engine(&Settings::default())?, after, true)?,
    ];
    let tokio = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build()?;
    let mut flags = super::gateway::config(Path::new("."), &[])?;
    flags.engine.runs = flags.engine.runs.with_count(16).map_err(anyhow::Error::msg)?;
    let core = app::core(&flags, tokio.handle().clone(), None)?;
    let share = core.pool.share(ShareLimits { concurrency: 1, queue: 1, weight: 1 });
    let measured = tokio.block_on(async {
        let permit = share.enter().await.map_err(|refused| anyhow::anyhow!("{refused:?}"))?;
        let budget = Budget { queue_until: None, wall: Duration::MAX, cpu: Duration::MAX };
        let ticket = core.pool.submit(permit, budget, move |run| async move {
            let grants = Arc::default();
            let mut turns: [Vec<f64>; 2] = Default::default();
            // The first turn warms up.
            for round in 0..=rounds {
                for (side, turns) in sides.iter().zip(&mut turns) {
                    let cost = side.turn(&run, &grants).await?;
                    if round > 0 {
                        turns.push(cost);
                    }
                }
            }
            anyhow::Ok(turns)
        });
        let (turns, _) = ticket.await.map_err(|(ended, _)| anyhow::anyhow!("{ended:?}"))?;
        turns
    })?;
    super::say(&serde_json::json!(measured).to_string())
}
