//! The last two minutes: a sample twice a second, made of what is counted anyway.
//!
//! Pure: it is given the figures of the tasks, the pool's numbers and, while somebody watches, a look at
//! the calls in flight; it computes rates, percentiles and what has changed. The clock is its caller's.
//! A task without calls costs two loads a sample. Knows not who asks, nor how it is told.

use super::figures::Figures;
use super::histogram::Histogram;
use super::live::Live;
use super::sight::Sight;
use crate::task::{Kind, TaskName};
use std::collections::VecDeque;
use std::collections::btree_map::{BTreeMap, Entry};
use std::sync::Arc;
use std::time::{Duration, Instant};
use unblock_pool::Stats;

/// Time between two samples.
pub const INTERVAL: Duration = Duration::from_millis(500);

/// Samples that are kept: two minutes.
pub const SAMPLES: usize = 240;

/// Samples over which the percentiles of all calls are taken: ten seconds.
const LATENCY_SAMPLES: usize = 20;

/// Time over which a task's part of the workers is taken: as long as that of the percentiles.
const SHARE_TIME: Duration = Duration::from_secs(10);

/// Samples over which the rate of a task is taken: five seconds, so that one call in a second stands still.
const RATE_SAMPLES: usize = 10;

/// Samples after which the numbers of tasks begin anew: their percentiles and errors are those of the last
/// one to two minutes.
const TURN_SAMPLES: u64 = 120;

/// What is there at one moment.
pub struct Look<'a, I: Iterator<Item = (&'a Arc<Figures>, Kind)>> {
    /// When.
    pub at: Instant,
    /// Milliseconds since 1970.
    pub at_ms: u64,
    /// The tasks that are served.
    pub tasks: I,
    /// The pool.
    pub pool: Stats,
    /// The calls in flight, if somebody wants to see them.
    pub live: Option<&'a Live>,
}

/// Things that happen, per second.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Rates {
    /// Calls that came.
    pub calls: f64,
    /// Calls that failed.
    pub errors: f64,
    /// Calls whose callers went away.
    pub cancelled: f64,
    /// Slices that workers were handed.
    pub slices: f64,
    /// Slices that gave way to something better.
    pub preemptions: f64,
    /// Falls to a lower level.
    pub demotions: f64,
}

/// How long calls took.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Latency {
    /// Half of them took no longer.
    pub p50: Duration,
    /// Nine in ten took no longer.
    pub p90: Duration,
    /// All but one in a hundred took no longer.
    pub p99: Duration,
}

impl Latency {
    fn of(histogram: &Histogram) -> Option<Self> {
        let at = |part| histogram.quantile(part);
        Some(Self { p50: at(0.5)?, p90: at(0.9)?, p99: at(0.99)? })
    }
}

/// One sample of all calls.
#[derive(Clone, Debug, Default)]
pub struct Point {
    /// Milliseconds since 1970.
    pub at_ms: u64,
    /// Since the sample before.
    pub rates: Rates,
    /// Of the calls that ended within the last ten seconds.
    pub latency: Option<Latency>,
    /// The calls that ended since the sample before.
    pub ended: Histogram,
}

impl Point {
    /// The buckets that have something, and how much.
    pub fn heat(&self) -> impl Iterator<Item = (usize, u64)> {
        self.ended.counts().iter().copied().enumerate().filter(|(_, count)| *count > 0)
    }
}

/// What one sample says of a task.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Row {
    /// What it is.
    pub kind: Kind,
    /// Calls that have come, ever.
    pub calls: u64,
    /// Of these, those that failed.
    pub errors: u64,
    /// Of these, those whose callers went away.
    pub cancelled: u64,
    /// Calls in flight.
    pub running: u64,
    /// Calls per second, over the last five seconds.
    pub rate: f64,
    /// The part of the calls that failed, of those that ended within the last minutes.
    pub error_rate: f64,
    /// Half of these calls took no longer.
    pub p50: Option<Duration>,
    /// All but one in a hundred of them took no longer.
    pub p99: Option<Duration>,
    /// The part of all workers' time that it took within the last ten seconds.
    pub cpu_share: f64,
    /// CPU time as a part of the time from slot to end, of the calls that ended within the last minutes:
    /// what is missing to one they waited. `None` if none has ended.
    pub cpu_part: Option<f64>,
    /// The most bytes of memories and tables that a run held at once.
    pub memory_bytes_max: u64,
}

/// A task in the window.
#[derive(Debug)]
pub struct Seen {
    /// What the last sample says.
    pub row: Row,
    /// Whether that differs from the sample before.
    pub changed: bool,
    /// Calls that came in each sample, the last one at the end; shorter if it had none before.
    pub history: VecDeque<u32>,
    figures: Arc<Figures>,
    /// The sample it was seen in last.
    sample: u64,
    new: bool,
    /// What the sample before says; `None` if there was none.
    before: Option<Row>,
    /// What has ended at the last sample, and at the two turns before.
    ended: Ended,
    turns: [Ended; 2],
    /// Processor time of all its calls at samples of the last [`SHARE_TIME`], the newest last: those at which
    /// it was known, since nothing was in flight or somebody watched.
    marks: VecDeque<(Instant, Duration)>,
}

/// What has ended up to one moment.
#[derive(Clone, Debug, Default)]
struct Ended {
    total: Histogram,
    count: u64,
    errors: u64,
    queue: Duration,
    cpu: Duration,
}

/// What happened in one task since the sample before.
#[derive(Default)]
struct Step {
    calls: u64,
    errors: u64,
    cancelled: u64,
}

/// See the file's page.
#[derive(Debug)]
pub struct Window {
    workers: usize,
    sample: u64,
    at: Instant,
    points: VecDeque<Point>,
    tasks: BTreeMap<TaskName, Seen>,
    gone: Vec<TaskName>,
    pool: Stats,
    sight: Option<Sight>,
}

impl Window {
    /// A window that has seen nothing, before a pool of so many workers.
    #[must_use]
    pub fn new(workers: usize, at: Instant) -> Self {
        Self {
            workers,
            sample: 0,
            at,
            points: VecDeque::new(),
            tasks: BTreeMap::new(),
            gone: Vec::new(),
            pool: Stats::default(),
            sight: None,
        }
    }

    /// How many samples were taken.
    #[must_use]
    pub fn sample(&self) -> u64 {
        self.sample
    }

    /// The samples that are kept, the newest last.
    #[must_use]
    pub fn points(&self) -> &VecDeque<Point> {
        &self.points
    }

    /// The tasks, by name.
    #[must_use]
    pub fn tasks(&self) -> &BTreeMap<TaskName, Seen> {
        &self.tasks
    }

    /// The tasks of the sample before that are not served any more.
    #[must_use]
    pub fn gone(&self) -> &[TaskName] {
        &self.gone
    }

    /// The pool's numbers.
    #[must_use]
    pub fn pool(&self) -> &Stats {
        &self.pool
    }

    /// The calls in flight, if somebody watches.
    #[must_use]
    pub fn sight(&self) -> Option<&Sight> {
        self.sight.as_ref()
    }

    /// A look at the present, between two samples.
    pub fn see(&mut self, pool: Stats, sight: Sight) {
        // The counts go on from those of the sample: the next one's rates are since then.
        let Stats { slices, preemptions, demotions, .. } = self.pool;
        self.pool = Stats { slices, preemptions, demotions, ..pool };
        self.sight = Some(sight);
    }

    /// Takes a sample.
    pub fn take<'a, I: Iterator<Item = (&'a Arc<Figures>, Kind)>>(&mut self, look: Look<'a, I>) {
        let seconds = look.at.saturating_duration_since(self.at).as_secs_f64();
        let first = self.sample == 0;
        self.sample += 1;
        let turn = self.sample.is_multiple_of(TURN_SAMPLES);
        let (mut sum, mut ended) = (Step::default(), Histogram::default());
        for (figures, kind) in look.tasks {
            let seen = match self.tasks.entry(figures.name().clone()) {
                Entry::Occupied(known) => known.into_mut(),
                Entry::Vacant(new) => new.insert(Seen::new(Arc::clone(figures), kind)),
            };
            if !Arc::ptr_eq(&seen.figures, figures) {
                *seen = Seen::new(Arc::clone(figures), kind);
            }
            seen.sample = self.sample;
            let step = seen.step(kind, turn, &mut ended);
            sum.calls += step.calls;
            sum.errors += step.errors;
            sum.cancelled += step.cancelled;
        }
        // After the tasks: a call that ends in between is missing in both, and comes with the next sample.
        // The other way round it would be there twice.
        self.sight = look.live.map(|live| Sight::of(live, self.workers));
        self.gone.clear();
        let (sample, gone, sight, workers) = (self.sample, &mut self.gone, &self.sight, self.workers);
        self.tasks.retain(|name, seen| {
            let stays = seen.sample == sample;
            if stays {
                seen.share(sight.as_ref().map(|sight| sight.cpu(name)), look.at, workers);
                seen.changed = seen.before != Some(seen.row);
            } else {
                gone.push(name.clone());
            }
            stays
        });
        // What came before the first sample came at no rate.
        let per_second = |count: u64| if first || seconds <= 0.0 { 0.0 } else { count as f64 / seconds };
        let since = |now: u64, before: u64| per_second(now.saturating_sub(before));
        let rates = Rates {
            calls: per_second(sum.calls),
            errors: per_second(sum.errors),
            cancelled: per_second(sum.cancelled),
            slices: since(look.pool.slices, self.pool.slices),
            preemptions: since(look.pool.preemptions, self.pool.preemptions),
            demotions: since(look.pool.demotions, self.pool.demotions),
        };
        if self.points.len() >= SAMPLES {
            self.points.pop_front();
        }
        let mut recent = ended.clone();
        let before = self.points.iter().rev().take(LATENCY_SAMPLES - 1);
        before.for_each(|point| recent.add(&point.ended));
        self.points.push_back(Point { at_ms: look.at_ms, rates, latency: Latency::of(&recent), ended });
        self.at = look.at;
        self.pool = look.pool;
    }
}

impl Seen {
    fn new(figures: Arc<Figures>, kind: Kind) -> Self {
        let row = Row {
            kind,
            calls: 0,
            errors: 0,
            cancelled: 0,
            running: 0,
            rate: 0.0,
            error_rate: 0.0,
            p50: None,
            p99: None,
            cpu_share: 0.0,
            cpu_part: None,
            memory_bytes_max: 0,
        };
        Self {
            row,
            changed: true,
            history: VecDeque::new(),
            figures,
            sample: 0,
            new: true,
            before: None,
            ended: Ended::default(),
            turns: Default::default(),
            marks: VecDeque::new(),
        }
    }

    /// Compares with the sample before. `ended` gets what ended since.
    fn step(&mut self, kind: Kind, turn: bool, ended: &mut Histogram) -> Step {
        let (before, row) = (self.row, &mut self.row);
        self.before = Some(before).filter(|_| !std::mem::take(&mut self.new));
        (row.kind, row.calls, row.running) = (kind, self.figures.calls(), self.figures.running());
        let mut step = Step { calls: row.calls.saturating_sub(before.calls), ..Step::default() };
        // Otherwise nothing has ended, and nobody's lock is taken.
        let some_ended = row.calls.saturating_sub(row.running) != self.ended.count;
        if some_ended {
            let now = self.figures.with(|tally| {
                row.errors = tally.errors;
                row.cancelled = tally.cancelled;
                row.memory_bytes_max = tally.memory_bytes_max;
                Ended {
                    total: tally.total.clone(),
                    count: tally.total.count(),
                    errors: tally.errors,
                    queue: tally.phases.queue,
                    cpu: tally.phases.cpu,
                }
            });
            step.errors = row.errors.saturating_sub(before.errors);
            step.cancelled = row.cancelled.saturating_sub(before.cancelled);
            ended.add(&now.total.since(&self.ended.total));
            self.ended = now;
        }
        if turn {
            let [_, later] = std::mem::take(&mut self.turns);
            self.turns = [later, self.ended.clone()];
        }
        if some_ended || turn {
            let [base, _] = &self.turns;
            let window = self.ended.total.since(&base.total);
            let (count, errors) = (window.count(), self.ended.errors.saturating_sub(base.errors));
            row.error_rate = if count == 0 { 0.0 } else { errors as f64 / count as f64 };
            (row.p50, row.p99) = (window.quantile(0.5), window.quantile(0.99));
            let held = window.sum().saturating_sub(self.ended.queue.saturating_sub(base.queue));
            let cpu = self.ended.cpu.saturating_sub(base.cpu).as_secs_f64();
            row.cpu_part = (!held.is_zero()).then(|| (cpu / held.as_secs_f64()).min(1.0));
        }
        self.remember(step.calls);
        step
    }

    fn remember(&mut self, calls: u64) {
        self.history.push_back(u32::try_from(calls).unwrap_or(u32::MAX));
        if self.history.len() > SAMPLES {
            self.history.pop_front();
        }
        while self.history.front() == Some(&0) {
            self.history.pop_front();
        }
        let recent: u64 = self.history.iter().rev().take(RATE_SAMPLES).copied().map(u64::from).sum();
        self.row.rate = recent as f64 / (INTERVAL.as_secs_f64() * RATE_SAMPLES as f64);
    }

    /// The part of the workers' time that it took. `live_cpu` is what its calls in flight have taken so far,
    /// if somebody looked at them.
    fn share(&mut self, live_cpu: Option<Duration>, at: Instant, workers: usize) {
        let live = live_cpu.or((self.row.running == 0).then_some(Duration::ZERO));
        if let Some(live) = live {
            // A call that ended between two looks is missing in both: nothing is taken back.
            let before = self.marks.back().map_or(Duration::ZERO, |(_, cpu)| *cpu);
            self.marks.push_back((at, (self.ended.cpu + live).max(before)));
        }
        while self.marks.front().is_some_and(|(then, _)| at.saturating_duration_since(*then) > SHARE_TIME) {
            self.marks.pop_front();
        }
        self.row.cpu_share = match (self.marks.front(), self.marks.back()) {
            (Some((first, before)), Some((last, now))) if last > first => {
                let worked = (*last - *first).as_secs_f64() * workers as f64;
                (now.saturating_sub(*before).as_secs_f64() / worked).min(1.0)
            }
            _ => 0.0,
        };
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::{Error, Kind as Problem};
    use crate::observe::{Begin, End, Observer, Settings};
    use crate::runtime::Observed;
    use crate::task::Timing;

    struct Scene {
        observer: Arc<Observer>,
        window: Window,
        at: Instant,
        slices: u64,
    }

    impl Scene {
        fn new() -> Self {
            let at = Instant::now();
            let observer = Observer::new(Settings::default());
            let mut scene = Self { observer, window: Window::new(2, at), at, slices: 0 };
            scene.sample(&[]);
            scene
        }

        fn call(&self, figures: &Arc<Figures>) -> crate::observe::Seen {
            let (function, digest) = (figures.function("f"), "d".into());
            let observed = Observed::of("id".into());
            self.observer.begin(Begin { figures: Arc::clone(figures), function, digest, observed })
        }

        /// Half a second later.
        fn sample(&mut self, tasks: &[&Arc<Figures>]) {
            self.at += INTERVAL;
            self.slices += 50;
            let pool = Stats { slices: self.slices, ..Stats::default() };
            let tasks = tasks.iter().map(|figures| (*figures, Kind::Component));
            let live = Some(self.observer.live());
            self.window.take(Look { at: self.at, at_ms: 7, tasks, pool, live });
        }

        fn seen(&self, name: &str) -> &Seen {
            self.window.tasks().get(name).expect("a task that is served")
        }

        fn last(&self) -> &Point {
            self.window.points().back().expect("a sample")
        }
    }

    fn figures(name: &str) -> Arc<Figures> {
        Figures::new(TaskName::new(name).expect("a name"))
    }

    fn end(seen: crate::observe::Seen, error: Option<&Error>) {
        let cpu = Duration::from_millis(250);
        seen.end(End { error, timing: Timing { cpu, ..Timing::default() }, level: 0 });
    }

    #[test]
    fn a_sample_says_what_happened_since_the_one_before() {
        let (mut scene, task) = (Scene::new(), figures("a"));
        scene.sample(&[&task]);
        let calls: Vec<_> = (0..4).map(|_| scene.call(&task)).collect();
        let error = Error::new(Problem::Trap, "oh");
        let mut calls = calls.into_iter();
        end(calls.next().expect("a call"), None);
        end(calls.next().expect("a call"), Some(&error));
        drop(calls.next());
        scene.sample(&[&task]);
        let rates = scene.last().rates;
        assert_eq!((rates.calls, rates.errors, rates.cancelled, rates.slices), (8.0, 2.0, 2.0, 100.0));
        assert_eq!(scene.last().heat().map(|(_, count)| count).sum::<u64>(), 3);
        assert!(scene.last().latency.is_some_and(|latency| latency.p99 < Duration::from_secs(5)));
        let row = scene.seen("a").row;
        assert_eq!((row.calls, row.running, row.errors, row.cancelled), (4, 1, 1, 1));
        // Two of half a second each had 250 ms.
        assert!((row.cpu_share - 0.5).abs() < 1e-9, "{row:?}");
        assert!((row.error_rate - 1.0 / 3.0).abs() < 1e-9 && row.p50.is_some(), "{row:?}");
        assert!((row.rate - 0.8).abs() < 1e-9, "{row:?}");
        assert_eq!(scene.window.sight().map(|sight| sight.in_flight), Some(1));
        // They ended at once, and say that they computed for longer.
        assert_eq!(row.cpu_part, Some(1.0));
        // What waits, waits: only the share falls, with the ten seconds that it is of.
        scene.sample(&[&task]);
        let row = scene.seen("a").row;
        assert!(scene.seen("a").changed && (row.cpu_share - 0.25).abs() < 1e-9, "{row:?}");
        assert_eq!(scene.last().rates.calls, 0.0);
        for _ in 0..18 {
            scene.sample(&[&task]);
        }
        let row = scene.seen("a").row;
        assert!((row.cpu_share - 0.025).abs() < 1e-9, "half a second of 2 × 10 s: {row:?}");
        scene.sample(&[&task]);
        assert_eq!(scene.seen("a").row.cpu_share, 0.0);
        scene.sample(&[&task]);
        assert!(!scene.seen("a").changed, "{:?}", scene.seen("a").row);
        end(calls.next().expect("a call"), None);
        scene.sample(&[&task]);
        assert_eq!((scene.seen("a").changed, scene.seen("a").row.running), (true, 0));
    }

    #[test]
    fn tasks_come_and_go_and_one_that_comes_back_begins_anew() {
        let (mut scene, first, other) = (Scene::new(), figures("a"), figures("b"));
        end(scene.call(&first), None);
        scene.sample(&[&first, &other]);
        assert!(scene.seen("b").changed && scene.window.gone().is_empty());
        scene.sample(&[&first, &other]);
        assert!(!scene.seen("b").changed, "a task without calls says nothing");
        scene.sample(&[&other]);
        assert_eq!(scene.window.gone().iter().map(TaskName::as_str).collect::<Vec<_>>(), ["a"]);
        scene.sample(&[&first, &other]);
        assert!(scene.window.gone().is_empty());
        let again = figures("a");
        scene.sample(&[&again, &other]);
        assert_eq!((scene.seen("a").row.calls, scene.seen("a").changed), (0, true));
        assert!(scene.seen("a").row.p50.is_none());
    }

    #[test]
    fn what_is_long_past_is_forgotten() {
        let (mut scene, task) = (Scene::new(), figures("a"));
        end(scene.call(&task), Some(&Error::new(Problem::Trap, "oh")));
        scene.sample(&[&task]);
        assert!(scene.last().latency.is_some() && scene.seen("a").row.rate > 0.0);
        (0..LATENCY_SAMPLES).for_each(|_| scene.sample(&[&task]));
        assert!(scene.last().latency.is_none() && scene.seen("a").row.rate == 0.0);
        assert!(scene.seen("a").row.p50.is_some(), "the table remembers longer");
        assert!(!scene.seen("a").changed);
        (0..SAMPLES + 2).for_each(|_| scene.sample(&[&task]));
        let seen = scene.seen("a");
        assert_eq!((seen.row.p50, seen.row.error_rate, seen.row.errors), (None, 0.0, 1));
        assert_eq!((seen.history.len(), scene.window.points().len()), (0, SAMPLES));
    }

    #[test]
    fn a_call_now_and_then_has_a_share_that_stands_still() {
        let (mut scene, task) = (Scene::new(), figures("a"));
        let mut seen = Vec::new();
        for sample in 0..80 {
            // 250 ms of CPU every second: a quarter of one of two workers.
            if sample % 2 == 0 {
                end(scene.call(&task), None);
            }
            scene.sample(&[&task]);
            seen.push(scene.seen("a").row.cpu_share);
        }
        let settled = seen.get(20..).expect("more than ten seconds");
        assert!(settled.iter().all(|share| (share - 0.125).abs() < 0.013), "{settled:?}");
    }

    #[test]
    fn what_is_in_flight_unseen_is_not_taken_for_work_of_the_moment() {
        let (mut scene, task) = (Scene::new(), figures("a"));
        let call = scene.call(&task);
        let unseen = |scene: &mut Scene| {
            scene.at += INTERVAL;
            let tasks = [(&task, Kind::Component)].into_iter();
            let look = Look { at: scene.at, at_ms: 0, tasks, pool: Stats::default(), live: None };
            scene.window.take(look);
            scene.seen("a").row.cpu_share
        };
        for _ in 0..30 {
            assert_eq!(unseen(&mut scene), 0.0, "nobody knows");
        }
        end(call, None);
        assert_eq!(unseen(&mut scene), 0.0, "its 250 ms may be long past");
        end(scene.call(&task), None);
        assert!((unseen(&mut scene) - 0.25).abs() < 1e-9, "all of it is of this half second");
    }

    #[test]
    fn nobody_who_watches_costs_no_look_at_the_calls() {
        let (mut scene, task) = (Scene::new(), figures("a"));
        let call = scene.call(&task);
        scene.at += INTERVAL;
        let tasks = [(&task, Kind::Component)].into_iter();
        scene.window.take(Look { at: scene.at, at_ms: 0, tasks, pool: Stats::default(), live: None });
        assert!(scene.window.sight().is_none());
        assert_eq!(scene.seen("a").row.running, 1);
        scene.window.see(Stats::default(), Sight::of(scene.observer.live(), 2));
        assert_eq!(scene.window.sight().map(|sight| sight.in_flight), Some(1));
        end(call, None);
    }
}
