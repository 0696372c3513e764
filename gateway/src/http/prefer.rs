//! `Prefer: wait=N` (RFC 7240): how many seconds the caller is willing to wait for one call.
//!
//! A preference may be ignored, so what is malformed is ignored. What a wait does to a call is not
//! known here.

use axum::http::{HeaderMap, HeaderName, HeaderValue};
use std::time::Duration;

const PREFER: HeaderName = HeaderName::from_static("prefer");

/// Tells the caller that its preference was honoured.
pub const PREFERENCE_APPLIED: HeaderName = HeaderName::from_static("preference-applied");

/// The wait the caller prefers. Zero is ignored: no call could be answered in it.
pub fn wait(headers: &HeaderMap) -> Option<Duration> {
    let seconds = headers
        .get_all(PREFER)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .filter_map(|preference| preference.split(';').next()?.split_once('='))
        .find(|(name, _)| name.trim().eq_ignore_ascii_case("wait"))
        .and_then(|(_, value)| value.trim().trim_matches('"').parse::<u32>().ok())?;
    (seconds > 0).then(|| Duration::from_secs(u64::from(seconds)))
}

/// `wait=N`
pub fn applied(wait: Duration) -> Option<HeaderValue> {
    HeaderValue::from_str(&format!("wait={}", wait.as_secs())).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_sane_wait_counts() {
        let asked = |text: &str| {
            let mut headers = HeaderMap::new();
            headers.insert(PREFER, HeaderValue::from_str(text).expect("a header value"));
            wait(&headers).map(|wait| wait.as_secs())
        };
        for (text, seconds) in [
            ("wait=5", Some(5)),
            ("respond-async, Wait = \"7\"; x=y", Some(7)),
            ("wait=1, wait=2", Some(1)),
            ("wait=0", None),
            ("wait=-1", None),
            ("wait=1.5", None),
            ("wait=99999999999", None),
            ("wait", None),
            ("handling=lenient", None),
        ] {
            assert_eq!(asked(text), seconds, "{text}");
        }
        assert_eq!(applied(Duration::from_secs(5)).expect("a header"), "wait=5");
    }
}
