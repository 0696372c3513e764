//! Sample task: sleeps the plain, blocking way, and holds up nobody.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// Sleeps for so many seconds, then answers `Awake! <unix seconds>`.
///
/// `seconds` may have a fraction. A negative number, or one that is no number, is an error.
/// A sleeping call uses no processor time and holds up no thread: thousands may sleep at once.
#[unblock::task]
fn sleep(seconds: f64) -> Result<String, String> {
    std::thread::sleep(duration(seconds)?);
    Ok(greeting(SystemTime::now()))
}

fn duration(seconds: f64) -> Result<Duration, String> {
    Duration::try_from_secs_f64(seconds)
        .map_err(|error| format!("cannot sleep for {seconds} seconds: {error}"))
}

fn greeting(now: SystemTime) -> String {
    // A clock before 1970 is a broken clock; the answer then says so by its 0.
    let now = now.duration_since(UNIX_EPOCH).unwrap_or_default();
    format!("Awake! {}", now.as_secs())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fractions_of_a_second_count() {
        assert_eq!(duration(0.25), Ok(Duration::from_millis(250)));
        assert_eq!(duration(-0.0), Ok(Duration::ZERO));
    }

    #[test]
    fn what_is_no_time_to_sleep_is_refused() {
        for seconds in [-1.0, f64::NAN, f64::INFINITY, 1e300] {
            let error = duration(seconds).err().unwrap_or_default();
            assert!(error.starts_with("cannot sleep for "), "{seconds}: {error}");
        }
    }

    #[test]
    fn the_greeting_carries_whole_unix_seconds() {
        let now = UNIX_EPOCH + Duration::from_millis(1_700_000_000_999);
        assert_eq!(greeting(now), "Awake! 1700000000");
    }
}
