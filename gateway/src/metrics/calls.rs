//! What is counted by task, and the phases of all calls.
//!
//! A task that was never called has one line, which says that it is there. Histograms are what costs
//! lines: each task has one, of whole calls; phases have one for all tasks together, and a sum by task.

use super::families::Families;
use crate::observe::{Histogram, Observer, Outcome, Phases, Tally};
use crate::registry::Snapshot;
use crate::task::TaskName;
use prometheus_client::collector::Collector;
use prometheus_client::encoding::DescriptorEncoder;
use prometheus_client::registry::Unit;
use std::fmt;
use std::sync::Arc;

/// The numbers of a moment.
#[derive(Debug)]
pub struct Calls {
    tasks: Vec<Task>,
    called: Vec<Called>,
    phases: Option<Phases<Histogram>>,
}

#[derive(Debug)]
struct Task {
    name: TaskName,
    kind: &'static str,
    digest: Arc<str>,
}

/// A task that was called.
#[derive(Debug)]
struct Called {
    name: TaskName,
    running: u64,
    tally: Tally,
}

/// A part of them: each is written in one go.
#[derive(Debug)]
pub struct Part {
    calls: Arc<Calls>,
    which: Which,
}

#[derive(Clone, Copy, Debug)]
enum Which {
    Counts,
    Histograms,
    Sums,
}

impl Calls {
    /// Reads the figures of all tasks.
    pub fn read(snapshot: &Snapshot, observer: &Observer) -> Self {
        let tasks = snapshot.tasks.values().map(|task| Task {
            name: task.name.clone(),
            kind: task.prepared.kind.as_str(),
            digest: Arc::clone(&task.prepared.digest),
        });
        let figures = snapshot.tasks.values().map(|task| &task.figures).filter(|figures| figures.calls() > 0);
        let called = figures.map(|figures| Called {
            name: figures.name().clone(),
            running: figures.running(),
            tally: figures.tally(),
        });
        let phases = observer.settings().histograms.then(|| observer.phases());
        Self { tasks: tasks.collect(), called: called.collect(), phases }
    }

    /// In parts, each of some milliseconds with a thousand tasks.
    pub fn split(self) -> [Part; 3] {
        let calls = Arc::new(self);
        [Which::Counts, Which::Histograms, Which::Sums].map(|which| Part { calls: Arc::clone(&calls), which })
    }

    fn counts(&self, to: &mut Families<'_>) -> fmt::Result {
        let infos = self
            .tasks
            .iter()
            .map(|task| [("task", task.name.as_str()), ("kind", task.kind), ("digest", &*task.digest)]);
        to.infos(("task", None, "A task that serves: its kind, and the digest of its module."), infos)?;
        let outcomes: Vec<&str> = Outcome::all().map(Outcome::as_str).collect();
        let calls = self.called.iter().flat_map(|task| {
            let outcomes = &outcomes;
            task.tally.functions.iter().flat_map(move |function| {
                let counts = outcomes.iter().zip(function.outcomes);
                // Those that went well are there from the first call on, so that a share can be taken of them.
                let seen = counts.filter(|(outcome, count)| *count > 0 || **outcome == Outcome::Ok.as_str());
                seen.map(move |(outcome, count)| {
                    let labels =
                        [("task", task.name.as_str()), ("function", &*function.name), ("outcome", *outcome)];
                    (labels, count)
                })
            })
        });
        to.counters(("calls", None, "Calls that have ended, by how: ok, or the problem."), calls)?;
        let help = "Calls that have come and not ended, those that wait included.";
        to.gauges(("calls_in_flight", None, help), self.each(|task| task.running))
    }

    fn histograms(&self, to: &mut Families<'_>) -> fmt::Result {
        let totals = self.called.iter().map(|task| ([("task", task.name.as_str())], &task.tally.total));
        let help = "Time from the arrival to the end of calls that have ended, however they did.";
        to.histograms(("call_duration", Some(Unit::Seconds), help), totals)?;
        let Some(phases) = &self.phases else { return Ok(()) };
        let help = "Time that calls of all tasks took in each phase.";
        let named = phases.named().into_iter().filter(|(name, _)| *name != CPU);
        let series = named.map(|(name, histogram)| ([("phase", name)], histogram));
        to.histograms(("phase_duration", Some(Unit::Seconds), help), series)?;
        let help = "CPU time of workers that calls of all tasks took.";
        to.histogram(("cpu_duration", Some(Unit::Seconds), help), &phases.cpu)
    }

    fn sums(&self, to: &mut Families<'_>) -> fmt::Result {
        let phases = self.called.iter().flat_map(|task| {
            let named = task.tally.phases.named().into_iter().filter(|(name, _)| *name != CPU);
            named.map(move |(name, sum)| ([("task", task.name.as_str()), ("phase", name)], sum.as_secs_f64()))
        });
        let help = "Time that calls took in each phase, all together.";
        to.counters(("call_phase", Some(Unit::Seconds), help), phases)?;
        let cpu = |task: &Called| task.tally.phases.cpu.as_secs_f64();
        let help = "CPU time of workers that calls took, all together.";
        to.counters(("call_cpu", Some(Unit::Seconds), help), self.each(cpu))?;
        let help = "Bytes of requests: bodies and parameters.";
        let received = |task: &Called| task.tally.received_bytes;
        to.counters(("call_received", Some(Unit::Bytes), help), self.each(received))?;
        let sent = |task: &Called| task.tally.sent_bytes;
        to.counters(("call_sent", Some(Unit::Bytes), "Bytes of results."), self.each(sent))?;
        let help = "Stretches of calls on a worker.";
        to.counters(("call_slices", None, help), self.each(|task| task.tally.slices))?;
        let help = "How often calls gave way to something better.";
        to.counters(("call_preemptions", None, help), self.each(|task| task.tally.preemptions))?;
        let help = "The most bytes of memories and tables that a call held at once.";
        let most = |task: &Called| task.tally.memory_bytes_max;
        to.gauges(("call_memory_max", Some(Unit::Bytes), help), self.each(most))
    }

    /// A value for each task that was called.
    fn each<V>(&self, value: impl Fn(&Called) -> V) -> impl Iterator<Item = ([(&'static str, &str); 1], V)> {
        self.called.iter().map(move |task| ([("task", task.name.as_str())], value(task)))
    }
}

/// The name of what is no phase: it is spent in the others.
const CPU: &str = "cpu";

impl Collector for Part {
    fn encode(&self, encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let mut to = Families(encoder);
        match self.which {
            Which::Counts => self.calls.counts(&mut to),
            Which::Histograms => self.calls.histograms(&mut to),
            Which::Sums => self.calls.sums(&mut to),
        }
    }
}
