//! The log's lines about calls: one for each that ends, and what its guest printed.
//!
//! A gateway may end 50,000 calls a second, and guests print what they like: so many lines a second are
//! written, the rest is counted and told a little later. Lines stand under the targets `call` and `guest`;
//! their fields are in `docs/logging.md`. Knows not where lines go.

use super::record::{Outcome, Record};
use crate::error::{Blame, Error};
use crate::runtime::Printed;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

/// Lines about failed calls a second, where not all are asked for.
const FAILURES_PER_SECOND: u32 = 100;

/// Lines of all guests a second.
const PRINTED_PER_SECOND: u32 = 100;

/// Lines of each of a call's output streams.
const PRINTED_LINES_MAX: usize = 20;

/// Characters of a line that a guest printed.
const PRINTED_CHARS_MAX: usize = 500;

/// How long what is left out is counted before it is told.
const TELL_AFTER: Duration = Duration::from_secs(5);

/// Which calls are logged.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LogCalls {
    /// Every one.
    All,
    /// Those that failed, up to 100 a second, and so many others a second.
    Failures(u32),
    /// None, but what the gateway itself got wrong.
    Off,
}

impl Default for LogCalls {
    fn default() -> Self {
        Self::Failures(10)
    }
}

/// Whose call a line is about.
pub struct About<'a> {
    /// The task's name.
    pub task: &'a str,
    /// What is known of the call.
    pub record: &'a Record,
    /// What its caller was told, if that was a problem.
    pub error: Option<&'a Error>,
    /// The trace it belongs to.
    pub trace: Option<String>,
}

/// See the file's page.
#[derive(Debug)]
pub struct Lines {
    which: LogCalls,
    good: Rate,
    failed: Rate,
    printed: Rate,
    telling: AtomicBool,
}

impl Lines {
    /// None written yet.
    #[must_use]
    pub fn new(which: LogCalls) -> Self {
        let (good, failed) = match which {
            LogCalls::All => (u32::MAX, u32::MAX),
            LogCalls::Failures(good) => (good, FAILURES_PER_SECOND),
            LogCalls::Off => (0, 0),
        };
        Self {
            which,
            good: Rate::new(good),
            failed: Rate::new(failed),
            printed: Rate::new(PRINTED_PER_SECOND),
            telling: AtomicBool::new(false),
        }
    }

    /// Whether a call gets a line; `now` is the moment of its end.
    pub fn takes(&self, outcome: Outcome, now: Instant) -> bool {
        let level = level(outcome);
        if level == Level::Error {
            return true;
        }
        // Nobody would see it.
        let seen = match level {
            Level::Debug => tracing::enabled!(target: "call", tracing::Level::DEBUG),
            Level::Info => tracing::enabled!(target: "call", tracing::Level::INFO),
            Level::Warn | Level::Error => true,
        };
        if !seen || self.which == LogCalls::Off {
            return false;
        }
        let rate = if outcome == Outcome::Ok { &self.good } else { &self.failed };
        rate.take(now)
    }

    /// Writes the line of a call that [`Lines::takes`].
    pub fn call(about: &About<'_>) {
        let About { task, record, error, trace } = about;
        let (id, outcome, timing) = (&*record.id, record.outcome.as_str(), &record.timing);
        let function = Some(&*record.function).filter(|name| !name.is_empty());
        let problem = error.map(|error| error.kind.slug());
        let phase = error.and_then(|error| error.phase).map(|phase| phase.as_str());
        let limit = error.and_then(|error| error.limit.as_ref()).map(|(name, _)| *name);
        // It may repeat what a caller or a guest sent, unless it is about the gateway.
        let detail =
            error.filter(|error| error.kind.blame() == Blame::Gateway).map(|error| error.detail.as_str());
        let cause = error.and_then(|error| error.cause.as_ref()).map(|cause| format!("{cause:#}"));
        let total_ms = ms(record.total);
        macro_rules! line {
            ($level:ident) => {
                tracing::$level!(
                    target: "call",
                    { call.id = id,
                    task.name = task,
                    task.function = function,
                    task.digest = &*record.digest,
                    outcome,
                    total_ms,
                    queue_ms = ms(timing.queue),
                    instantiate_ms = ms(timing.instantiate),
                    run_ms = ms(timing.run),
                    encode_ms = ms(timing.encode),
                    cpu_ms = ms(timing.cpu),
                    memory_bytes = record.memory_bytes,
                    received_bytes = record.received_bytes,
                    sent_bytes = record.sent_bytes,
                    slices = record.slices,
                    preemptions = record.preemptions,
                    trace.id = trace.as_deref(),
                    problem,
                    phase,
                    limit,
                    detail,
                    cause },
                    "call {id} of {task}: {outcome} after {total_ms} ms"
                )
            };
        }
        match level(record.outcome) {
            Level::Debug => line!(debug),
            Level::Info => line!(info),
            Level::Warn => line!(warn),
            Level::Error => line!(error),
        }
    }

    /// Whether what guests print is looked at.
    #[must_use]
    pub fn printing(&self) -> bool {
        tracing::enabled!(target: "guest", tracing::Level::INFO)
    }

    /// Writes what a guest printed, the last lines of each stream.
    pub fn guest(&self, about: &About<'_>, printed: &Printed, now: Instant) {
        let id = &*about.record.id;
        let function = Some(&*about.record.function).filter(|name| !name.is_empty());
        for (stream, text, before) in [
            ("stdout", &printed.stdout, printed.stdout_before_bytes),
            ("stderr", &printed.stderr, printed.stderr_before_bytes),
        ] {
            let Some(text) = text else { continue };
            let lines: Vec<&str> = text.lines().collect();
            let (early, lines) = lines.split_at(lines.len().saturating_sub(PRINTED_LINES_MAX));
            let early: usize = early.iter().map(|line| line.len() + 1).sum();
            let left_out_bytes = before + early as u64;
            let mut first = Some(left_out_bytes).filter(|bytes| *bytes > 0);
            for line in lines {
                if !self.printed.take(now) {
                    continue;
                }
                tracing::info!(
                    target: "guest",
                    { call.id = id,
                    task.name = about.task,
                    task.function = function,
                    stream,
                    // Before the first line that is written.
                    left_out_bytes = first.take() },
                    "{}", shown(line)
                );
            }
        }
    }

    /// Sees to it that what was left out is told, soon.
    pub fn tell_soon(self: &Arc<Self>) {
        if self.telling.load(Ordering::Relaxed)
            || [&self.good, &self.failed, &self.printed].iter().all(|rate| rate.left_out() == 0)
        {
            return;
        }
        // Without a runtime the end of the gateway tells.
        let Ok(runtime) = tokio::runtime::Handle::try_current() else { return };
        if self.telling.swap(true, Ordering::Relaxed) {
            return;
        }
        let lines = Arc::clone(self);
        runtime.spawn(async move {
            tokio::time::sleep(TELL_AFTER).await;
            lines.telling.store(false, Ordering::Relaxed);
            lines.tell();
        });
    }

    /// Tells what was left out.
    pub fn tell(&self) {
        let (good, failed) = (self.good.forget(), self.failed.forget());
        if good > 0 || failed > 0 {
            tracing::info!(
                target: "call",
                { left_out.ok = good, left_out.failed = failed },
                "left out the lines of {good} calls that went well and of {failed} others; --log-calls says how many are written"
            );
        }
        let printed = self.printed.forget();
        if printed > 0 {
            tracing::info!(
                target: "guest",
                { left_out.lines = printed },
                "left out {printed} lines that guests printed: over {PRINTED_PER_SECOND} a second"
            );
        }
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Level {
    Debug,
    Info,
    Warn,
    Error,
}

/// Who has to act, as a level.
fn level(outcome: Outcome) -> Level {
    let kind = match outcome {
        Outcome::Ok => return Level::Info,
        // Callers decide how many of these there are.
        Outcome::Cancelled => return Level::Debug,
        Outcome::Failed(kind) => kind,
    };
    match kind.blame() {
        Blame::Caller => Level::Debug,
        Blame::Gateway if kind.retry() => Level::Debug,
        Blame::Task => Level::Warn,
        Blame::Gateway => Level::Error,
    }
}

/// So many a second; what is over is counted.
#[derive(Debug)]
struct Rate {
    most: u32,
    begun: Instant,
    /// The second, counted from the begin, in the upper half; how many it had in the lower.
    window: AtomicU64,
    left_out: AtomicU64,
}

impl Rate {
    fn new(most: u32) -> Self {
        Self { most, begun: Instant::now(), window: AtomicU64::new(0), left_out: AtomicU64::new(0) }
    }

    fn take(&self, now: Instant) -> bool {
        if self.most == u32::MAX {
            return true;
        }
        let second = now.saturating_duration_since(self.begun).as_secs() & u64::from(u32::MAX);
        let next = |window: u64| match (window >> 32 == second, window & u64::from(u32::MAX)) {
            (true, had) if had < u64::from(self.most) => Some(window + 1),
            (false, _) if self.most > 0 => Some(second << 32 | 1),
            _ => None,
        };
        let taken = self.window.fetch_update(Ordering::Relaxed, Ordering::Relaxed, next).is_ok();
        if !taken {
            self.left_out.fetch_add(1, Ordering::Relaxed);
        }
        taken
    }

    fn left_out(&self) -> u64 {
        self.left_out.load(Ordering::Relaxed)
    }

    /// What was left out since the last time.
    fn forget(&self) -> u64 {
        self.left_out.swap(0, Ordering::Relaxed)
    }
}

/// Milliseconds, to the microsecond.
fn ms(duration: Duration) -> f64 {
    duration.as_micros() as f64 / 1000.0
}

/// A line as it cannot move a terminal's cursor, turn text around or pass for two.
fn shown(line: &str) -> String {
    let mut text = String::with_capacity(line.len());
    let mut characters = line.chars();
    for character in characters.by_ref().take(PRINTED_CHARS_MAX) {
        let formats = matches!(character,
            '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{feff}' | '\u{fff9}'..='\u{fffb}');
        if character.is_control() || formats {
            text.extend(character.escape_default());
        } else {
            text.push(character);
        }
    }
    let rest = characters.count();
    if rest > 0 {
        text.push_str(&format!("… ({rest} more characters)"));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn so_many_a_second_and_the_rest_is_counted() {
        let rate = Rate::new(3);
        let begun = rate.begun;
        for second in [0, 1, 7] {
            let now = begun + Duration::from_secs(second) + Duration::from_millis(500);
            assert_eq!((0..10).filter(|_| rate.take(now)).count(), 3, "second {second}");
        }
        assert_eq!((rate.forget(), rate.forget()), (21, 0));
        let none = Rate::new(0);
        assert!(!none.take(begun + Duration::from_secs(1)) && none.left_out() == 1);
        assert!(Rate::new(u32::MAX).take(begun));
    }

    #[test]
    fn a_printed_line_cannot_act_on_a_terminal() {
        assert_eq!(shown("plain ü 漢 \u{301}\\n"), "plain ü 漢 \u{301}\\n");
        assert_eq!(shown("\u{1b}[2J\u{7}\ta\u{202e}b\u{9b}"), "\\u{1b}[2J\\u{7}\\ta\\u{202e}b\\u{9b}");
        let long = shown(&"x".repeat(PRINTED_CHARS_MAX + 7));
        assert!(long.ends_with("x… (7 more characters)"), "{long}");
    }
}
