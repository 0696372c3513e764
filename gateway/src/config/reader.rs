//! Reads flags one by one and keeps every mistake, each with its flag and its variable.
//!
//! Times, sizes and numbers, as all layers have them. Knows no flag by name.

use crate::limits;
use std::num::NonZeroUsize;
use std::time::Duration;

/// Most threads of one sort: beyond it the number is a typing error.
pub(super) const THREADS_MAX: usize = 1024;

/// Reads flags one by one and keeps every mistake.
#[derive(Default)]
pub(super) struct Reader {
    pub(super) mistakes: Vec<String>,
}

impl Reader {
    pub(super) fn read<T>(&mut self, flag: &str, default: T, parsed: Result<T, String>) -> T {
        parsed.unwrap_or_else(|message| {
            let variable = format!("UNBLOCK_{}", flag.replace('-', "_").to_uppercase());
            self.mistakes.push(format!("--{flag} (or {variable}): {message}"));
            default
        })
    }

    pub(super) fn time(&mut self, flag: &str, text: &str) -> Duration {
        let parsed = limits::parse_duration(text).and_then(|time| {
            if time.is_zero() { Err(format!("found {text:?}, expected more than zero")) } else { Ok(time) }
        });
        self.read(flag, Duration::from_secs(1), parsed)
    }

    pub(super) fn size(&mut self, flag: &str, text: &str) -> u64 {
        self.read(flag, 1, limits::parse_bytes(text))
    }

    pub(super) fn count(&mut self, flag: &str, text: &str, range: std::ops::RangeInclusive<usize>) -> usize {
        let parsed = text.parse::<usize>().ok().filter(|count| range.contains(count)).ok_or_else(|| {
            format!("found {text:?}, expected a whole number from {} to {}", range.start(), range.end())
        });
        self.read(flag, *range.start(), parsed)
    }

    pub(super) fn threads(&mut self, flag: &str, text: Option<&str>) -> NonZeroUsize {
        let cores = std::thread::available_parallelism().unwrap_or(NonZeroUsize::MIN);
        let Some(text) = text else { return cores };
        NonZeroUsize::new(self.count(flag, text, 1..=THREADS_MAX)).unwrap_or(cores)
    }
}
