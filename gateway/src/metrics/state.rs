//! What is counted for the whole gateway: the pool, memory, loading, HTTP.
//!
//! Every series is there from the start, so that an alert sees the first of anything. Knows where each
//! number comes from, and nothing of how it came about.

use super::Sources;
use super::families::Families;
use crate::error::Kind;
use crate::observe::Answered;
use crate::registry::Loads;
use crate::runtime::Compiled;
use prometheus_client::collector::Collector;
use prometheus_client::encoding::DescriptorEncoder;
use prometheus_client::registry::Unit;
use std::fmt;
use unblock_pool::{Stats, Stop};

/// The numbers of a moment.
#[derive(Debug)]
pub struct State {
    pool: Stats,
    memory_bytes: (u64, u64),
    loads: Loads,
    compiled: Compiled,
    /// Tasks that serve, that are being compiled for the first time, and files that cannot be served.
    tasks: [usize; 3],
    ready: bool,
    draining: bool,
    answered: Answered,
    connections_max: usize,
}

impl State {
    /// Takes what there is.
    pub fn read(sources: Sources<'_>) -> Self {
        let snapshot = sources.snapshot;
        Self {
            pool: sources.pool,
            memory_bytes: sources.memory_bytes,
            loads: sources.loads,
            compiled: sources.compiled,
            tasks: [snapshot.tasks.len(), snapshot.loading.len(), snapshot.failures.len()],
            ready: sources.ready,
            draining: sources.draining,
            answered: sources.answered,
            connections_max: sources.connections_max,
        }
    }

    fn gateway(&self, to: &mut Families<'_>) -> fmt::Result {
        to.infos(("build", None, "What runs: always 1."), [[("version", env!("CARGO_PKG_VERSION"))]])?;
        to.gauge(
            ("ready", None, "1 once the first scan of the tasks folder is over."),
            u32::from(self.ready),
        )?;
        to.gauge(("draining", None, "1 while the gateway shuts down."), u32::from(self.draining))?;
        let (held, budget) = self.memory_bytes;
        let help = "Memory that calls hold together: guests, bodies and results.";
        to.gauge(("memory_held", Some(Unit::Bytes), help), held)?;
        let help = "Memory that calls may hold together.";
        to.gauge(("memory_budget", Some(Unit::Bytes), help), budget)
    }

    fn runs(&self, to: &mut Families<'_>) -> fmt::Result {
        let pool = &self.pool;
        to.gauge(("workers", None, "Threads that run guests."), pool.workers)?;
        to.gauge(("workers_idle", None, "Those of them without work."), pool.idle_workers)?;
        let queued: usize = pool.queued.iter().sum();
        let states = [
            ("running", pool.running),
            ("queued", queued),
            ("parked", pool.parked),
            ("stopping", pool.urgent),
        ];
        let runs = states.map(|(state, count)| ([("state", state)], count));
        let help =
            "Runs on a worker, waiting for one, waiting for something outside, stopped and not yet gone.";
        to.gauges(("runs", None, help), runs)?;
        let levels: Vec<String> = (0..pool.queued.len()).map(|level| level.to_string()).collect();
        let queued =
            levels.iter().zip(&pool.queued).map(|(level, count)| ([("level", level.as_str())], *count));
        to.gauges(("runs_queued", None, "Runs that wait for a worker, by level; 0 comes first."), queued)?;
        to.gauge(("runs_admitted", None, "Slots that are taken."), pool.permits)?;
        to.gauge(("runs_limit", None, "Slots that there are."), pool.runs_max)?;
        to.gauge(("calls_waiting", None, "Calls that wait for a slot."), pool.admission_waiting)?;
        to.counter(("calls_admitted", None, "Calls that got a slot."), pool.admitted)?;
        let help =
            "Calls that were turned away at once, because as many wait as may, or because of a shutdown.";
        to.counter(("calls_turned_away", None, help), pool.refused)?;
        to.counter(("runs_started", None, "Runs that were handed to the workers."), pool.submitted)?;
        let stopped = Stop::ALL.into_iter().zip(pool.stopped).map(|(stop, count)| (reason(stop), count));
        let ended = [("completed", pool.completed), ("panicked", pool.panicked)].into_iter().chain(stopped);
        let ended = ended.map(|(end, count)| ([("end", end)], count));
        to.counters(("runs_ended", None, "Runs that have ended, by how or why they were stopped."), ended)
    }

    fn slices(&self, to: &mut Families<'_>) -> fmt::Result {
        let pool = &self.pool;
        for (name, help, count) in [
            ("pool_slices", "Stretches of runs on a worker.", pool.slices),
            ("pool_preemptions", "Slices that gave way to something better.", pool.preemptions),
            ("pool_demotions", "Falls of runs to a lower level.", pool.demotions),
            ("pool_aged_slices", "Slices that a level got for having waited.", pool.aged_slices),
            ("pool_visits", "Slices that went to a worker of another queue.", pool.visits),
            ("pool_interrupts", "How often all running guests were made to look up.", pool.interrupts),
            ("pool_worker_wakes", "How often a sleeping worker was woken.", pool.worker_wakes),
        ] {
            to.counter((name, None, help), count)?;
        }
        Ok(())
    }

    fn loading(&self, to: &mut Families<'_>) -> fmt::Result {
        let states = ["serving", "loading", "failed"].into_iter().zip(self.tasks);
        let tasks = states.map(|(state, count)| ([("state", state)], count));
        let help = "Tasks that serve, that are compiled for the first time, and files that cannot be served.";
        to.gauges(("tasks", None, help), tasks)?;
        let Loads { loaded, replaced, removed, failed, prepared } = &self.loads;
        let results = [("loaded", loaded), ("replaced", replaced), ("removed", removed), ("failed", failed)];
        let loads = results.map(|(result, count)| ([("result", result)], *count));
        to.counters(("loads", None, "What became of files in the tasks folder."), loads)?;
        let help = "Time to read, compile or take from the cache, and link a module, served or not.";
        to.histogram(("load_duration", Some(Unit::Seconds), help), prepared)?;
        let compiled = &self.compiled;
        to.counter(("compilations", None, "Modules that were compiled."), compiled.compilations)?;
        let help = "Time that compiling took, all together.";
        to.counter(("compile", Some(Unit::Seconds), help), compiled.took.as_secs_f64())?;
        let help = "Modules whose compiled code was in the cache.";
        to.counter(("code_cache_hits", None, help), compiled.hits)?;
        let help = "Modules whose compiled code was not in the cache, or could not be used.";
        to.counter(("code_cache_misses", None, help), compiled.misses)
    }

    fn http(&self, to: &mut Families<'_>) -> fmt::Result {
        let answered = &self.answered;
        to.gauge(("http_connections", None, "Connections that are open."), answered.connections)?;
        to.gauge(("http_connections_limit", None, "Connections that may be open."), self.connections_max)?;
        let help = "Connections that were accepted.";
        to.counter(("http_connections_accepted", None, help), answered.accepted)?;
        let classes = ["1xx", "2xx", "3xx", "4xx", "5xx"].into_iter().zip(answered.classes);
        let classes = classes.map(|(class, count)| ([("class", class)], count));
        to.counters(("http_responses", None, "Responses by the class of their status."), classes)?;
        let problems = Kind::ALL.into_iter().zip(&answered.problems);
        let problems = problems.map(|(kind, count)| ([("problem", kind.slug())], *count));
        let help = "Problems that were answered, those that reached no task among them.";
        to.counters(("problems", None, help), problems)
    }
}

impl Collector for State {
    fn encode(&self, encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let mut to = Families(encoder);
        self.gateway(&mut to)?;
        self.runs(&mut to)?;
        self.slices(&mut to)?;
        self.loading(&mut to)?;
        self.http(&mut to)
    }
}

/// A word for each reason to stop a run.
fn reason(stop: Stop) -> &'static str {
    match stop {
        Stop::QueueWait => "queue-wait",
        Stop::Wall => "wall",
        Stop::Cpu => "cpu",
        Stop::Cancelled => "cancelled",
        Stop::Shutdown => "shutdown",
    }
}
