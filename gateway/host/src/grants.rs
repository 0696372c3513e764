//! What a run may reach beyond computing, and what it was refused.
//!
//! [`Grants`] is made once per version of a task and shared by its runs; [`Refused`] belongs to one
//! run and is filled by whoever says no, so that the caller of a failed run learns what to grant.
//! Nothing is granted by default. Knows no manifest and no texts for people.

use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};

/// Refusals that are kept of a run; a guest may try any number of times.
const REFUSALS_MAX: usize = 8;

/// What a task may use. The default grants nothing.
#[derive(Clone, Debug, Default)]
pub struct Grants {
    /// Environment variables, with their values.
    pub env: Vec<(String, String)>,
    /// Directories.
    pub dirs: Vec<Dir>,
    /// Where outgoing HTTP requests may go.
    pub http: Vec<Target>,
    /// Where outgoing TCP and UDP may go.
    pub sockets: Vec<Target>,
}

/// A directory that a task may use.
#[derive(Clone, Debug)]
pub struct Dir {
    /// Where it is.
    pub host: PathBuf,
    /// Under which path the guest sees it.
    pub guest: String,
    /// Whether the guest may change it.
    pub write: bool,
}

/// A peer that a task may talk to.
#[derive(Clone, Debug)]
pub struct Target {
    /// Who.
    pub peer: Peer,
    /// On which port; `None` means the scheme's own.
    pub port: Option<u16>,
}

/// See [`Target`]. Names are lower case, without a dot at the end.
#[derive(Clone, Debug)]
pub enum Peer {
    /// The host of that name.
    Name(String),
    /// Every host whose name ends with a dot and this.
    Below(String),
    /// Every host that has a name.
    AnyName,
    /// The host at that address, also if it is a private one.
    Address(IpAddr),
}

impl Target {
    /// Whether a host of this name on `port` is meant; `default_port` stands in where the target names none.
    #[must_use]
    pub fn covers_name(&self, name: &str, port: u16, default_port: u16) -> bool {
        self.port.unwrap_or(default_port) == port && self.peer.covers_name(name)
    }

    /// Whether this very address on `port` is meant.
    #[must_use]
    pub fn covers_address(&self, address: IpAddr, port: u16, default_port: u16) -> bool {
        let Peer::Address(granted) = &self.peer else { return false };
        self.port.unwrap_or(default_port) == port && granted.to_canonical() == address.to_canonical()
    }
}

impl Peer {
    fn covers_name(&self, name: &str) -> bool {
        match self {
            Peer::Name(granted) => granted == name,
            Peer::Below(parent) => name
                .strip_suffix(parent.as_str())
                .and_then(|rest| rest.strip_suffix('.'))
                .is_some_and(|labels| !labels.is_empty()),
            Peer::AnyName => true,
            Peer::Address(_) => false,
        }
    }
}

/// Something that a run asked for and did not get.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// An HTTP request to this host and port, which no grant covers.
    Http {
        /// The host, as the guest wrote it.
        host: String,
        /// The port.
        port: u16,
        /// Whether it is the port of the request's scheme.
        default_port: bool,
    },
    /// A connection to a granted name whose addresses are all private, of the machine itself or the like.
    PrivateAddress {
        /// The name.
        host: String,
        /// One of its addresses, with the port.
        address: SocketAddr,
        /// Whether it was an HTTP request.
        http: bool,
    },
    /// A socket to this address.
    Socket(SocketAddr),
    /// Sockets: it made one, and none are granted.
    NoSocket,
    /// Listening for connections, which cannot be granted.
    Listen,
    /// Looking up this name.
    Lookup(String),
    /// Directories: it asked which it has, and there are none.
    NoDirectory,
    /// Changing something in a directory that is granted for reading.
    ReadOnly(String),
    /// Opening something that is neither a file nor a directory.
    SpecialFile(String),
}

/// What one run was refused. Clones share it.
#[derive(Clone, Debug, Default)]
pub struct Refused(Arc<Mutex<Vec<Refusal>>>);

impl Refused {
    /// Keeps a refusal, unless it is known already or there are too many.
    pub(crate) fn note(&self, refusal: Refusal) {
        let mut kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if kept.len() < REFUSALS_MAX && !kept.contains(&refusal) {
            kept.push(refusal);
        }
    }

    /// All that was kept, in the order it happened.
    #[must_use]
    pub fn list(&self) -> Vec<Refusal> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn target(peer: Peer, port: Option<u16>) -> Target {
        Target { peer, port }
    }

    #[test]
    fn a_wildcard_covers_what_is_below_it_and_not_itself() {
        let below = target(Peer::Below("example.org".to_owned()), None);
        assert!(below.covers_name("a.example.org", 443, 443));
        assert!(below.covers_name("b.a.example.org", 443, 443));
        for other in
            ["example.org", ".example.org", "notexample.org", "example.org.evil.net", "a.example.com"]
        {
            assert!(!below.covers_name(other, 443, 443), "{other}");
        }
        assert!(!below.covers_name("a.example.org", 8443, 443), "another port");
        assert!(target(Peer::Below("example.org".to_owned()), Some(8443)).covers_name(
            "a.example.org",
            8443,
            443
        ));
    }

    #[test]
    fn an_address_is_granted_in_each_of_its_spellings_and_never_by_a_name() {
        let address = target(Peer::Address("10.0.0.5".parse().unwrap()), Some(9000));
        assert!(address.covers_address("10.0.0.5".parse().unwrap(), 9000, 80));
        assert!(address.covers_address("::ffff:10.0.0.5".parse().unwrap(), 9000, 80));
        assert!(!address.covers_address("10.0.0.5".parse().unwrap(), 80, 80));
        assert!(!address.covers_name("10.0.0.5", 9000, 80));
        assert!(!target(Peer::AnyName, Some(9000)).covers_address("10.0.0.5".parse().unwrap(), 9000, 80));
    }

    #[test]
    fn refusals_are_kept_once_and_not_without_end() {
        let refused = Refused::default();
        for round in 0..3 {
            for port in 0..100 {
                refused.note(Refusal::Lookup(format!("host{port}")));
            }
            assert_eq!(refused.list().len(), REFUSALS_MAX, "round {round}");
        }
    }
}
