//! The id of a request, which is the `call` id everywhere else: in problems, logs and metrics.
//!
//! A client's own `X-Request-Id` is kept when it is sane, so that one id runs through a whole
//! system; otherwise one is made. Ids need to be unique, not secret. Nothing here knows what an id
//! is used for.

use axum::http::{HeaderMap, HeaderName, HeaderValue};
use std::hash::{BuildHasher, RandomState};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// The header that carries the id, both ways.
pub const X_REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// Longest id taken from a client, in bytes: it goes into every log line of the call.
const ID_BYTES_MAX: usize = 128;

/// Hexadecimal digits of an id made here.
const ID_DIGITS: usize = 16;

/// The id of one request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CallId(pub Arc<str>);

impl CallId {
    /// The id as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The id as a header's value. Both sources of ids hold nothing but visible ASCII.
    pub fn header(&self) -> Option<HeaderValue> {
        HeaderValue::from_str(&self.0).ok()
    }
}

/// Makes ids: a counter, spread over all 64 bits from a start that differs per process.
#[derive(Debug)]
pub struct Ids {
    next: AtomicU64,
}

impl Ids {
    /// A source with a random start.
    pub fn new() -> Self {
        Self { next: AtomicU64::new(RandomState::new().hash_one(std::process::id())) }
    }

    /// The client's id if it is sane, else a new one.
    pub fn of(&self, headers: &HeaderMap) -> CallId {
        match headers.get(&X_REQUEST_ID).and_then(sane) {
            Some(id) => CallId(id.into()),
            None => self.make(),
        }
    }

    fn make(&self) -> CallId {
        let mut bits = mix(self.next.fetch_add(1, Ordering::Relaxed));
        let mut digits = [0u8; ID_DIGITS];
        for digit in digits.iter_mut().rev() {
            let nibble = (bits & 15) as u8;
            *digit = if nibble < 10 { b'0' + nibble } else { b'a' + nibble - 10 };
            bits >>= 4;
        }
        CallId(std::str::from_utf8(&digits).unwrap_or_default().into())
    }
}

/// The finalizer of splitmix64: a bijection, so two counts never share an id.
fn mix(count: u64) -> u64 {
    let mut z = count.wrapping_mul(0x9e37_79b9_7f4a_7c15);
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

fn sane(value: &HeaderValue) -> Option<&str> {
    let text = value.to_str().ok()?;
    let plain = |b: u8| b.is_ascii_alphanumeric() || b"._:/+=-".contains(&b);
    (!text.is_empty() && text.len() <= ID_BYTES_MAX && text.bytes().all(plain)).then_some(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn with(id: &str) -> HeaderMap {
        let mut headers = HeaderMap::new();
        headers.insert(X_REQUEST_ID, HeaderValue::from_str(id).expect("a header value"));
        headers
    }

    #[test]
    fn a_sane_id_is_kept() {
        let ids = Ids::new();
        for id in ["a", "01J-x.y:z/+=_"[..11].as_ref(), &"x".repeat(128)] {
            assert_eq!(ids.of(&with(id)).as_str(), id);
        }
    }

    #[test]
    fn an_odd_id_is_replaced() {
        let ids = Ids::new();
        for id in ["", "a b", "a\"b", "a\tb", &"x".repeat(129)] {
            assert_eq!(ids.of(&with(id)).as_str().len(), ID_DIGITS, "{id:?}");
        }
        assert_eq!(ids.of(&HeaderMap::new()).as_str().len(), ID_DIGITS);
    }

    #[test]
    fn made_ids_differ() {
        let ids = Ids::new();
        let made: std::collections::HashSet<_> = (0..10_000).map(|_| ids.make().0).collect();
        assert_eq!(made.len(), 10_000);
    }
}
