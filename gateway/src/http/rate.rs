//! How often each client may ask: a token bucket per client (`governor`), off unless configured.
//!
//! A client is the holder of a token, or else an address; of IPv6 the first 64 bits, which one customer
//! has whole. The number of clients that are remembered is bounded: those whose bucket is full again are
//! forgotten, and if there are still too many, the rest shares one. What is asked is not known here.

use super::client::Client;
use crate::access::Holder;
use crate::error::{Error, Kind};
use axum::body::Body;
use axum::http::{Extensions, HeaderName, HeaderValue, Response};
use governor::clock::{Clock as _, DefaultClock};
use governor::middleware::StateInformationMiddleware;
use governor::state::keyed::DashMapStateStore;
use governor::{Quota, RateLimiter};
use std::net::{IpAddr, Ipv6Addr};
use std::num::NonZeroU32;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

/// Clients that are remembered at most; each takes some 100 bytes.
const CLIENTS_MAX: usize = 100_000;

/// After how many requests the clients are counted.
const COUNT_EVERY: u64 = 4096;

/// Bits of an IPv6 address that one customer has at least.
const V6_BITS: u32 = 64;

/// What is left and when there is more (draft-ietf-httpapi-ratelimit-headers-10).
const RATELIMIT: HeaderName = HeaderName::from_static("ratelimit");
const RATELIMIT_POLICY: HeaderName = HeaderName::from_static("ratelimit-policy");

/// The limit: so many requests in so much time, and so many at once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rate {
    count: NonZeroU32,
    window: Duration,
    burst: NonZeroU32,
}

impl Rate {
    /// Reads `50/s`, `600/m` or `5000/h`; as many may come at once.
    ///
    /// # Errors
    /// What was found and what was expected.
    pub fn parse(text: &str) -> Result<Self, String> {
        let expected =
            || format!("found {text:?}, expected a number and s, m or h, such as \"50/s\" or \"600/m\"");
        let (count, unit) = text.split_once('/').ok_or_else(expected)?;
        let count = count.trim().parse::<NonZeroU32>().map_err(|_| expected())?;
        let seconds = match unit.trim() {
            "s" => 1,
            "m" => 60,
            "h" => 3600,
            _ => return Err(expected()),
        };
        let window = Duration::from_secs(seconds);
        // The bucket gets a drop each so often, which has to be a time.
        if (window / count.get()).is_zero() {
            return Err(format!("found {text:?}, expected a thousand million in a second at most"));
        }
        Ok(Self { count, window, burst: count })
    }

    /// The same with another number at once.
    #[must_use]
    pub fn with_burst(self, burst: Option<usize>) -> Self {
        let burst = burst.and_then(|burst| u32::try_from(burst).ok()).and_then(NonZeroU32::new);
        Self { burst: burst.unwrap_or(self.burst), ..self }
    }
}

/// What a client has left.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Left {
    /// So many requests at once.
    More(u32),
    /// None, for so long.
    Wait(Duration),
}

/// Who asks, as far as it is counted.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
enum Counted {
    Holder(Arc<str>),
    Address(IpAddr),
    /// All whom there is no room for.
    Others,
}

impl Counted {
    fn of(extensions: &Extensions) -> Self {
        if let Some(holder) = extensions.get::<Arc<Holder>>() {
            return Self::Holder(Arc::clone(&holder.id));
        }
        match extensions.get::<Client>().map(|client| client.address) {
            Some(IpAddr::V6(address)) => {
                let prefix = u128::from(address) >> (128 - V6_BITS) << (128 - V6_BITS);
                Self::Address(Ipv6Addr::from(prefix).into())
            }
            Some(address) => Self::Address(address),
            None => Self::Others,
        }
    }
}

type Buckets = RateLimiter<Counted, DashMapStateStore<Counted>, DefaultClock, StateInformationMiddleware>;

/// The buckets of all clients.
pub struct Rates {
    buckets: Buckets,
    clock: DefaultClock,
    policy: HeaderValue,
    seen: AtomicU64,
    crowded: AtomicBool,
    clients_max: usize,
}

impl Rates {
    /// Full buckets for everybody.
    pub fn new(rate: Rate) -> Self {
        Self::bounded(rate, CLIENTS_MAX)
    }

    fn bounded(rate: Rate, clients_max: usize) -> Self {
        let each = rate.window / rate.count.get();
        // A rate that was read has a time for each.
        let quota = Quota::with_period(each).unwrap_or(Quota::per_second(rate.count)).allow_burst(rate.burst);
        let (burst, window) = (rate.burst, (each * rate.burst.get()).as_secs().max(1));
        let policy = HeaderValue::from_str(&format!("\"client\";q={burst};w={window}"));
        Self {
            buckets: RateLimiter::dashmap(quota).with_middleware(),
            clock: DefaultClock::default(),
            policy: policy.unwrap_or(HeaderValue::from_static("\"client\"")),
            seen: AtomicU64::new(0),
            crowded: AtomicBool::new(false),
            clients_max,
        }
    }

    /// Counts a request. Returns how many more its client may send now.
    ///
    /// # Errors
    /// `rate-limited`, with the time until the next one.
    pub fn admit(&self, extensions: &Extensions) -> Result<u32, Error> {
        if self.seen.fetch_add(1, Ordering::Relaxed) % COUNT_EVERY == COUNT_EVERY - 1 {
            self.forget();
        }
        let mut client = Counted::of(extensions);
        if self.crowded.load(Ordering::Relaxed) && matches!(client, Counted::Address(_)) {
            client = Counted::Others;
        }
        self.buckets.check_key(&client).map(|state| state.remaining_burst_capacity()).map_err(|not_until| {
            let wait = not_until.wait_time_from(self.clock.now());
            let mut error = Error::new(
                Kind::RateLimited,
                format!("found more requests than this client may send; the next one in {} s", seconds(wait)),
            );
            error.retry_after = Some(wait);
            error
        })
    }

    /// Forgets clients whose bucket is full, and finds out whether there are still too many.
    fn forget(&self) {
        self.buckets.retain_recent();
        self.buckets.shrink_to_fit();
        self.crowded.store(self.buckets.len() > self.clients_max, Ordering::Relaxed);
    }

    /// Tells a client what it has left.
    pub fn tell(&self, response: &mut Response<Body>, left: Left) {
        let text = match left {
            Left::More(count) => format!("\"client\";r={count}"),
            Left::Wait(wait) => format!("\"client\";r=0;t={}", seconds(wait)),
        };
        let headers = response.headers_mut();
        headers.insert(RATELIMIT_POLICY, self.policy.clone());
        if let Ok(value) = HeaderValue::from_str(&text) {
            headers.insert(RATELIMIT, value);
        }
    }
}

/// Whole seconds, at least one, as `Retry-After` has them.
fn seconds(wait: Duration) -> u64 {
    wait.as_secs().saturating_add(u64::from(wait.subsec_nanos() > 0)).max(1)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::SocketAddr;

    fn from(address: &str) -> Extensions {
        let address = SocketAddr::new(address.parse().expect("an address"), 1);
        let mut extensions = Extensions::new();
        extensions.insert(Client::direct(address, false));
        extensions
    }

    #[test]
    fn a_rate_is_a_number_in_a_time() {
        let rate = Rate::parse("600/m").expect("a rate");
        assert_eq!((rate.count.get(), rate.window, rate.burst.get()), (600, Duration::from_secs(60), 600));
        assert_eq!(rate.with_burst(Some(5)).burst.get(), 5);
        for wrong in ["", "50", "0/s", "-1/s", "50/d", "s/50", "1.5/s", "4294967296/s", "4000000000/s"] {
            assert!(Rate::parse(wrong).expect_err(wrong).contains("expected"), "{wrong}");
        }
    }

    #[test]
    fn each_client_has_a_bucket_of_its_own() {
        let rates = Rates::new(Rate::parse("2/h").expect("a rate"));
        assert_eq!(rates.admit(&from("192.0.2.1")).ok(), Some(1));
        assert_eq!(rates.admit(&from("::ffff:192.0.2.1")).ok(), Some(0));
        let refused = rates.admit(&from("192.0.2.1")).expect_err("too many");
        assert_eq!(refused.kind, Kind::RateLimited);
        assert!(refused.retry_after.is_some_and(|wait| wait > Duration::from_secs(1700)));
        assert!(rates.admit(&from("192.0.2.2")).is_ok());
        // One customer has a whole prefix.
        assert!(rates.admit(&from("2001:db8::1")).is_ok() && rates.admit(&from("2001:db8::2")).is_ok());
        assert!(rates.admit(&from("2001:db8::3")).is_err());
        assert!(rates.admit(&from("2001:db8:0:1::3")).is_ok());
        // A holder is counted as such, wherever it asks from.
        let mut known = from("192.0.2.1");
        known.insert(Arc::new(Holder { id: "a".into(), name: None, scopes: Vec::new() }));
        assert!(rates.admit(&known).is_ok());
    }

    #[test]
    fn no_more_clients_are_remembered_than_there_is_room_for() {
        let rates = Rates::bounded(Rate::parse("1/h").expect("a rate"), 1_000);
        let asked = 20 * COUNT_EVERY;
        let refused = (0..asked)
            .filter(|n| {
                let address = std::net::Ipv4Addr::from(u32::try_from(*n).expect("few") << 2);
                rates.admit(&from(&address.to_string())).is_err()
            })
            .count() as u64;
        // Strangers share one bucket once there are too many.
        assert!(refused > asked - 2 * COUNT_EVERY, "{refused}");
        assert!(rates.buckets.len() as u64 <= COUNT_EVERY + 1, "{}", rates.buckets.len());
        // Those who are known by a token are not among the strangers.
        let mut known = from("192.0.2.1");
        known.insert(Arc::new(Holder { id: "a".into(), name: None, scopes: Vec::new() }));
        assert!(rates.admit(&known).is_ok());
    }
}
