//! The outgoing requests of a traced call: what the host tells of them becomes spans.
//!
//! Between the trait that the store's side asks for and the call's trace, and nothing else. Knows no
//! grants and no collector.

use crate::traces::{Call, Request};
use http::request::Parts;
use unblock_host::{Watch, Watched};

/// Watches the requests of one call.
pub(super) struct Traced(pub(super) Call);

impl Watch for Traced {
    fn begins(&self, head: &mut Parts) -> Box<dyn Watched> {
        Box::new(Ongoing(self.0.request(head)))
    }
}

struct Ongoing(Request);

impl Watched for Ongoing {
    fn answered(&mut self, status: u16) {
        self.0.answered(status);
    }

    fn failed(&mut self, code: &str) {
        self.0.failed(code);
    }
}
