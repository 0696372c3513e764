//! Ceilings of one call, and how the three sources of them merge.
//!
//! A task runs under the gateway's defaults, its manifest may ask for other values, and the
//! operator's ceilings cap what a manifest asks for. This file owns the numbers, their units and
//! the merge; it does not know where they are read from (`registry/manifest.rs`, `config`) nor
//! who enforces them (`runtime/`, the pool, `http/`).

use std::fmt;
use std::time::Duration;

/// One kibibyte, in bytes.
pub const KIB: u64 = 1 << 10;
/// One mebibyte, in bytes.
pub const MIB: u64 = 1 << 20;

/// The greatest [`Limits::weight`].
pub const WEIGHT_MAX: usize = 100;

/// The limits one call runs under, after merging.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Limits {
    /// From the first slice to the last output, host waits included; then 504 `deadline-exceeded`.
    pub wall: Duration,
    /// CPU time of the worker threads, summed over the run's slices; then 504 `cpu-exceeded`.
    pub cpu: Duration,
    /// Bytes of all linear memories and tables of the instance together.
    pub memory: u64,
    /// Bytes of the request body.
    pub input: u64,
    /// Bytes of the response body.
    pub output: u64,
    /// Bytes of a body that flows, in either direction: requests and responses of `wasi:http` guests
    /// and commands, which `input` and `output` don't bound. `None` is any number.
    pub stream: Option<u64>,
    /// Runs of this task in flight at once; more wait in the task's queue.
    pub concurrency: usize,
    /// Calls of this task that may wait for a slot; one more gets 503 `queue-full`.
    pub queue: usize,
    /// How long a call may wait before its first slice; then 503 `queue-full`.
    pub queue_wait: Duration,
    /// Processor time of this task beside that of others while all want more than there is, 1 to
    /// [`WEIGHT_MAX`]: one of weight 3 gets three times what one of weight 1 gets.
    pub weight: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            wall: Duration::from_secs(30),
            cpu: Duration::from_secs(10),
            memory: 128 * MIB,
            input: 16 * MIB,
            output: 16 * MIB,
            stream: None,
            concurrency: 256,
            queue: 1024,
            queue_wait: Duration::from_secs(5),
            weight: 1,
        }
    }
}

/// What a manifest asks for: every field optional, `None` means the default.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Wanted {
    /// See [`Limits::wall`].
    pub wall: Option<Duration>,
    /// See [`Limits::cpu`].
    pub cpu: Option<Duration>,
    /// See [`Limits::memory`].
    pub memory: Option<u64>,
    /// See [`Limits::input`].
    pub input: Option<u64>,
    /// See [`Limits::output`].
    pub output: Option<u64>,
    /// See [`Limits::stream`].
    pub stream: Option<u64>,
    /// See [`Limits::concurrency`].
    pub concurrency: Option<usize>,
    /// See [`Limits::queue`].
    pub queue: Option<usize>,
    /// See [`Limits::queue_wait`].
    pub queue_wait: Option<Duration>,
    /// See [`Limits::weight`].
    pub weight: Option<usize>,
}

/// The operator's ceilings: no manifest gets more than this.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ceilings(pub Limits);

impl Default for Ceilings {
    fn default() -> Self {
        Self(Limits {
            wall: Duration::from_secs(3600),
            cpu: Duration::from_secs(300),
            memory: 1024 * MIB,
            input: 64 * MIB,
            output: 64 * MIB,
            stream: None,
            concurrency: 100_000,
            queue: 100_000,
            queue_wait: Duration::from_secs(60),
            weight: WEIGHT_MAX,
        })
    }
}

/// A wish that the operator's ceiling cut, to be told to the task's author.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Capped {
    /// The limit's name, as in the manifest.
    pub limit: &'static str,
    /// What the manifest asked for.
    pub wanted: String,
    /// What it got.
    pub granted: String,
}

impl fmt::Display for Capped {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "limit {}: the manifest asks for {}, the server allows {}; raise --max-{} to grant more",
            self.limit,
            self.wanted,
            self.granted,
            self.limit.replace('_', "-")
        )
    }
}

impl Limits {
    /// The limits of a task: `wanted` over these defaults, cut at `ceilings`.
    ///
    /// Returns what was cut beside them, so that a cap is never silent. A default above a
    /// ceiling is cut silently: nobody asked for it.
    #[must_use]
    pub fn merge(&self, wanted: &Wanted, ceilings: &Ceilings) -> (Limits, Vec<Capped>) {
        let mut capped = Vec::new();
        let top = &ceilings.0;
        let limits = Limits {
            wall: cap("wall", wanted.wall, self.wall, top.wall, duration, &mut capped),
            cpu: cap("cpu", wanted.cpu, self.cpu, top.cpu, duration, &mut capped),
            memory: cap("memory", wanted.memory, self.memory, top.memory, bytes, &mut capped),
            input: cap("input", wanted.input, self.input, top.input, bytes, &mut capped),
            output: cap("output", wanted.output, self.output, top.output, bytes, &mut capped),
            stream: match (wanted.stream.or(self.stream), top.stream) {
                (Some(asked), Some(top)) => {
                    let wish = wanted.stream.map(|_| asked);
                    Some(cap("stream", wish, asked, top, bytes, &mut capped))
                }
                (asked, top) => asked.or(top),
            },
            concurrency: cap(
                "concurrency",
                wanted.concurrency,
                self.concurrency,
                top.concurrency,
                |n| n.to_string(),
                &mut capped,
            ),
            queue: cap("queue", wanted.queue, self.queue, top.queue, |n| n.to_string(), &mut capped),
            queue_wait: cap(
                "queue_wait",
                wanted.queue_wait,
                self.queue_wait,
                top.queue_wait,
                duration,
                &mut capped,
            ),
            weight: cap("weight", wanted.weight, self.weight, top.weight, |n| n.to_string(), &mut capped),
        };
        (limits, capped)
    }
}

impl Limits {
    /// A line for each of these defaults that is over its ceiling.
    #[must_use]
    pub fn over(&self, ceilings: &Ceilings) -> Vec<String> {
        let wanted = Wanted {
            wall: Some(self.wall),
            cpu: Some(self.cpu),
            memory: Some(self.memory),
            input: Some(self.input),
            output: Some(self.output),
            stream: self.stream,
            concurrency: Some(self.concurrency),
            queue: Some(self.queue),
            queue_wait: Some(self.queue_wait),
            weight: Some(self.weight),
        };
        let (_, capped) = self.merge(&wanted, ceilings);
        let line = |Capped { limit, wanted, granted }| {
            let flag = str::replace(limit, "_", "-");
            format!(
                "--{flag}: found {wanted}, expected at most --max-{flag}, which is {granted}; lower one or raise the other"
            )
        };
        capped.into_iter().map(line).collect()
    }
}

fn cap<T: Ord + Copy>(
    limit: &'static str,
    wanted: Option<T>,
    default: T,
    ceiling: T,
    show: impl Fn(T) -> String,
    capped: &mut Vec<Capped>,
) -> T {
    match wanted {
        Some(wanted) if wanted > ceiling => {
            capped.push(Capped { limit, wanted: show(wanted), granted: show(ceiling) });
            ceiling
        }
        Some(wanted) => wanted,
        None => default.min(ceiling),
    }
}

/// A duration as people write it: `30s`, `1h 5m`, `250ms`.
#[must_use]
pub fn duration(value: Duration) -> String {
    humantime::format_duration(value).to_string()
}

/// A size as people write it, exact where it can be: `128MiB`, `1500B`.
#[must_use]
pub fn bytes(value: u64) -> String {
    for (unit, name) in [(1 << 30, "GiB"), (MIB, "MiB"), (KIB, "KiB")] {
        if value >= unit && value.is_multiple_of(unit) {
            return format!("{}{name}", value / unit);
        }
    }
    format!("{value}B")
}

/// Reads a duration such as `30s`, `500ms`, `1h`.
///
/// # Errors
/// A text that says what was found and how to write it.
pub fn parse_duration(text: &str) -> Result<Duration, String> {
    humantime::parse_duration(text).map_err(|_| {
        format!("found {text:?}, expected a duration with its unit, such as \"30s\", \"500ms\" or \"1h\"")
    })
}

/// Reads a size such as `128MiB`, `64KiB`, `1GiB`, `1500B` (also decimal: `1MB`).
///
/// # Errors
/// A text that says what was found and how to write it.
pub fn parse_bytes(text: &str) -> Result<u64, String> {
    let expected = || {
        format!("found {text:?}, expected a size with its unit, such as \"128MiB\", \"64KiB\" or \"1GiB\"")
    };
    let trimmed = text.trim();
    let split = trimmed.find(|c: char| !c.is_ascii_digit()).ok_or_else(expected)?;
    let (digits, unit) = trimmed.split_at(split);
    let factor = match unit.trim() {
        "B" => 1,
        "KiB" => KIB,
        "MiB" => MIB,
        "GiB" => 1 << 30,
        "kB" | "KB" => 1_000,
        "MB" => 1_000_000,
        "GB" => 1_000_000_000,
        _ => return Err(expected()),
    };
    digits.parse::<u64>().ok().and_then(|n| n.checked_mul(factor)).ok_or_else(expected)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wish_above_the_ceiling_is_cut_and_told() {
        let wanted =
            Wanted { memory: Some(4096 * MIB), wall: Some(Duration::from_secs(60)), ..Wanted::default() };
        let (limits, capped) = Limits::default().merge(&wanted, &Ceilings::default());
        assert_eq!(limits.memory, 1024 * MIB);
        assert_eq!(limits.wall, Duration::from_secs(60));
        assert_eq!(capped.len(), 1);
        assert_eq!(
            capped.first().map(ToString::to_string).as_deref(),
            Some(
                "limit memory: the manifest asks for 4GiB, the server allows 1GiB; raise --max-memory to grant more"
            )
        );
    }

    #[test]
    fn a_default_above_the_ceiling_is_cut_silently() {
        let ceilings = Ceilings(Limits { wall: Duration::from_secs(1), ..Ceilings::default().0 });
        let (limits, capped) = Limits::default().merge(&Wanted::default(), &ceilings);
        assert_eq!(limits.wall, Duration::from_secs(1));
        assert!(capped.is_empty());
    }

    #[test]
    fn sizes_need_their_unit() {
        assert_eq!(parse_bytes("128MiB"), Ok(128 * MIB));
        assert_eq!(parse_bytes("1 GiB"), Ok(1024 * MIB));
        for bad in ["128", "", "MiB", "-1MiB", "1.5MiB", "99999999999GiB", "1 mib"] {
            let message = parse_bytes(bad).expect_err(bad);
            assert!(message.contains("expected a size"), "{message}");
        }
        assert_eq!(bytes(parse_bytes("1500B").unwrap_or(0)), "1500B");
    }
}
