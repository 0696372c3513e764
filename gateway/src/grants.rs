//! What a task may use beyond computing: environment, directories, HTTP hosts, sockets.
//!
//! Plain data, as a manifest or the command line grants it, with the texts a host can be written in.
//! Nothing is granted by default. It does not know where grants are read from (`registry/manifest/`,
//! `cli.rs`) nor who enforces them (`runtime/`, the crate `unblock_host`).

use std::collections::BTreeMap;
use std::fmt;
use std::net::IpAddr;
use std::path::PathBuf;

/// What a task may use.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Grants {
    /// Environment variables with their values, which are for the task alone: never shown.
    pub env: BTreeMap<String, String>,
    /// Directories.
    pub dirs: Vec<Dir>,
    /// Where outgoing HTTP requests may go.
    pub http: Vec<Target>,
    /// Where outgoing TCP and UDP may go.
    pub sockets: Vec<Target>,
}

/// A directory.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Dir {
    /// Where it is.
    pub host: PathBuf,
    /// Under which path the task sees it.
    pub guest: String,
    /// Whether the task may change it.
    pub write: bool,
}

/// A host, or several, on one port.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Target {
    /// Who.
    pub peer: Peer,
    /// On which port; `None` is the scheme's own, 80 or 443.
    pub port: Option<u16>,
}

/// See [`Target`]. Names are lower case, in ASCII, without a dot at the end.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Peer {
    /// `api.example.com`
    Name(String),
    /// `*.example.com`: every name below, not the name itself.
    Below(String),
    /// `*`: every name.
    AnyName,
    /// `10.0.0.5`, `[fd00::1]`: this address, whatever network it belongs to.
    Address(IpAddr),
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.peer {
            Peer::Name(name) => f.write_str(name)?,
            Peer::Below(name) => write!(f, "*.{name}")?,
            Peer::AnyName => f.write_str("*")?,
            Peer::Address(IpAddr::V4(address)) => write!(f, "{address}")?,
            Peer::Address(IpAddr::V6(address)) => write!(f, "[{address}]")?,
        }
        match self.port {
            Some(port) => write!(f, ":{port}"),
            None => Ok(()),
        }
    }
}

/// Reads where HTTP requests may go.
///
/// # Errors
/// A text that says what was found and what was expected.
pub fn http_target(text: &str) -> Result<Target, String> {
    const EXPECTED: &str = "expected a host such as \"api.example.com\", \"*.example.org:8443\" or \"10.0.0.5:9000\"; \
                            without a port 80 and 443 are meant";
    if text.contains("://") || text.contains('/') {
        return Err(format!("found the URL {text:?}, {EXPECTED}, without scheme and path"));
    }
    target(text).ok_or_else(|| format!("found {text:?}, {EXPECTED}"))
}

/// Reads where sockets may go.
///
/// # Errors
/// A text that says what was found and what was expected.
pub fn socket_target(text: &str) -> Result<Target, String> {
    const EXPECTED: &str =
        "expected a host with its port, such as \"10.0.0.5:5432\" or \"db.example.com:5432\"";
    match target(text) {
        Some(Target { port: None, .. }) => Err(format!("found {text:?} without a port, {EXPECTED}")),
        Some(target) => Ok(target),
        None => Err(format!("found {text:?}, {EXPECTED}")),
    }
}

fn target(text: &str) -> Option<Target> {
    // An IPv6 address without a port needs no brackets.
    if let Ok(address) = text.parse::<IpAddr>() {
        return Some(Target { peer: Peer::Address(address), port: None });
    }
    let (host, port) = match text.rsplit_once(':') {
        Some((host, port)) => (host, Some(port.parse::<u16>().ok().filter(|port| *port > 0)?)),
        None => (text, None),
    };
    Some(Target { peer: peer(host)?, port })
}

fn peer(host: &str) -> Option<Peer> {
    if host == "*" {
        return Some(Peer::AnyName);
    }
    if let Some(parent) = host.strip_prefix("*.") {
        return name(parent).map(Peer::Below);
    }
    if let Some(address) = host.strip_prefix('[').and_then(|host| host.strip_suffix(']')) {
        return address.parse().ok().map(Peer::Address);
    }
    match host.parse() {
        Ok(address) => Some(Peer::Address(address)),
        Err(_) => name(host).map(Peer::Name),
    }
}

/// A name as it goes into look-ups; `None` if it can be none, or is an address in disguise (`0x7f.1`).
fn name(host: &str) -> Option<String> {
    let host = host.strip_suffix('.').unwrap_or(host);
    match url::Host::parse(host).ok()? {
        url::Host::Domain(name) => {
            let label = |label: &str| {
                !label.is_empty()
                    && label.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_')
            };
            name.split('.').all(label).then_some(name)
        }
        url::Host::Ipv4(_) | url::Host::Ipv6(_) => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_host_is_read_and_written_the_same() {
        for (text, shown) in [
            ("api.example.com", "api.example.com"),
            ("API.Example.com.", "api.example.com"),
            ("*.example.org:8443", "*.example.org:8443"),
            ("*", "*"),
            ("*:8080", "*:8080"),
            ("10.0.0.5:9000", "10.0.0.5:9000"),
            ("::1", "[::1]"),
            ("[::1]:80", "[::1]:80"),
            ("localhost:3000", "localhost:3000"),
            ("bücher.example", "xn--bcher-kva.example"),
            ("my_service:80", "my_service:80"),
        ] {
            assert_eq!(http_target(text).map(|target| target.to_string()), Ok(shown.to_owned()), "{text}");
        }
    }

    #[test]
    fn what_is_no_host_is_told() {
        for text in [
            "",
            "a b",
            "a..b",
            "example.com:0",
            "example.com:99999",
            "example.com:",
            "user@example.com",
            "a.*.b",
            "*a.b",
            "0x7f.1",
            "2130706433",
            "127.1",
            "[::1",
            "example.com:80:80",
            "https://example.com",
            "example.com/x",
        ] {
            let message = http_target(text).expect_err(text);
            assert!(message.starts_with("found") && message.contains("expected a host such as"), "{message}");
        }
        assert!(socket_target("db.example.com").expect_err("no port").contains("without a port"));
        assert!(socket_target("db.example.com:5432").is_ok());
    }
}
