//! The `Server-Timing` header: where a call's time went, phase by phase, in milliseconds.
//!
//! Written on every response of a call, so by hand and in one allocation. It only knows
//! [`Timing`].

use crate::task::Timing;
use axum::http::{HeaderName, HeaderValue};
use std::time::Duration;

/// The header's name.
pub const SERVER_TIMING: HeaderName = HeaderName::from_static("server-timing");

/// Room for five entries with nine digits each, so that the buffer never grows in practice.
const HEADER_BYTES: usize = 128;

/// `queue;dur=0.012, instantiate;dur=0.030, run;dur=1.204, encode;dur=0.001, cpu;dur=1.190`
pub fn header(timing: &Timing) -> Option<HeaderValue> {
    let mut text = Vec::with_capacity(HEADER_BYTES);
    entry(&mut text, "queue;dur=", timing.queue);
    entry(&mut text, ", instantiate;dur=", timing.instantiate);
    entry(&mut text, ", run;dur=", timing.run);
    entry(&mut text, ", encode;dur=", timing.encode);
    entry(&mut text, ", cpu;dur=", timing.cpu);
    HeaderValue::from_maybe_shared(bytes::Bytes::from(text)).ok()
}

/// Milliseconds with three decimals.
fn entry(text: &mut Vec<u8>, name: &str, value: Duration) {
    text.extend_from_slice(name.as_bytes());
    let micros = u64::try_from(value.as_micros()).unwrap_or(u64::MAX);
    let start = text.len();
    let mut rest = micros;
    let mut digits = 0;
    // From the last digit on; at least "0.000".
    while rest > 0 || digits < 4 {
        if digits == 3 {
            text.push(b'.');
        }
        text.push(b'0' + (rest % 10) as u8);
        rest /= 10;
        digits += 1;
    }
    if let Some(number) = text.get_mut(start..) {
        number.reverse();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn milliseconds_have_three_decimals() {
        let timing = Timing {
            queue: Duration::from_nanos(999),
            instantiate: Duration::from_micros(12),
            run: Duration::from_micros(10_001_230),
            encode: Duration::from_millis(1),
            cpu: Duration::from_micros(999_999),
        };
        assert_eq!(
            header(&timing).expect("a header"),
            "queue;dur=0.000, instantiate;dur=0.012, run;dur=10001.230, encode;dur=1.000, cpu;dur=999.999"
        );
        let text = header(&Timing { cpu: Duration::MAX, ..timing }).expect("a header");
        assert!(text.to_str().expect("ASCII").ends_with("cpu;dur=18446744073709551.615"));
    }
}
