//! Where callers come in, what they need and what they may: addresses, tokens, certificates, bounds.
//!
//! Files are read to see whether they can be, and again by whoever uses them. How connections are served
//! is not known here.

use super::flags::Flags;
use super::reader::Reader;
use crate::access::Tokens;
use crate::{http, tls};
use std::net::{SocketAddr, ToSocketAddrs as _};
use std::path::PathBuf;

/// Open files that connections leave to everything else: modules, listeners, the guests' own.
const DESCRIPTORS_KEPT: u64 = 64;

/// Connections at most, whatever the system allows.
const CONNECTIONS_MAX: usize = 1 << 20;

/// Connections where nobody says how many, at most.
const CONNECTIONS_DEFAULT_MAX: u64 = 65_536;

pub(super) fn address(text: &str) -> Result<SocketAddr, String> {
    let expected =
        || format!("found {text:?}, expected an address and a port, such as 127.0.0.1:8888 or [::1]:8888");
    text.to_socket_addrs().map_err(|_| expected())?.next().ok_or_else(expected)
}

/// Refuses an address that others reach while everybody may call.
pub(super) fn check_public(listen: SocketAddr, flags: &Flags) -> Result<(), String> {
    let public = !listen.ip().to_canonical().is_loopback();
    if !public || flags.tokens.is_some() || flags.allow_anonymous {
        return Ok(());
    }
    Err(format!(
        "found {listen}, which others may reach, and nothing that says who may call; name a file of tokens with \
         --tokens (unblock token create makes one), or say --allow-anonymous if whoever reaches it may call every task"
    ))
}

/// The file of tokens, if it can be read.
pub(super) fn tokens(flags: &Flags, reader: &mut Reader) -> Option<PathBuf> {
    let path = flags.tokens.as_deref().map(PathBuf::from)?;
    reader.read("tokens", (), Tokens::read(&path).map(drop));
    Some(path)
}

/// Certificate and key, if they can be read.
pub(super) fn tls_files(flags: &Flags, reader: &mut Reader) -> Option<tls::Files> {
    let (chain, key) = match (&flags.tls_cert, &flags.tls_key) {
        (None, None) => return None,
        (Some(chain), Some(key)) => (PathBuf::from(chain), PathBuf::from(key)),
        _ => {
            reader
                .mistakes
                .push("--tls-cert, --tls-key: found one of them, expected both or none".to_owned());
            return None;
        }
    };
    let files = tls::Files { chain, key };
    reader.read("tls-cert", (), files.read().map(drop));
    Some(files)
}

pub(super) fn http_settings(flags: &Flags, reader: &mut Reader) -> http::Settings {
    let rate = match &flags.rate_limit {
        None => {
            if flags.rate_burst.is_some() {
                reader
                    .mistakes
                    .push("--rate-burst: found no --rate-limit beside it, expected both".to_owned());
            }
            None
        }
        Some(text) => {
            let burst =
                flags.rate_burst.as_deref().map(|text| reader.count("rate-burst", text, 1..=1_000_000));
            let rate = http::Rate::parse(text).map(|rate| rate.with_burst(burst));
            reader.read("rate-limit", None, rate.map(Some))
        }
    };
    http::Settings {
        header_timeout: reader.time("header-timeout", &flags.header_timeout),
        body_timeout: reader.time("body-timeout", &flags.body_timeout),
        write_timeout: reader.time("write-timeout", &flags.write_timeout),
        connections_max: match &flags.max_connections {
            None => connections_default(),
            Some(text) => reader.count("max-connections", text, 1..=CONNECTIONS_MAX),
        },
        rate,
        proxies: proxies(flags, reader),
        cors: flags
            .cors_origin
            .as_deref()
            .and_then(|text| reader.read("cors-origin", None, http::Cors::parse(text).map(Some))),
        ..http::Settings::default()
    }
}

/// The proxies whose word is taken, and where they write it.
fn proxies(flags: &Flags, reader: &mut Reader) -> Option<http::Proxies> {
    let Some(networks) = &flags.trusted_proxy else {
        if flags.proxy_header.is_some() {
            reader
                .mistakes
                .push("--proxy-header: found no --trusted-proxy beside it, expected both".to_owned());
        }
        return None;
    };
    let proxies = reader.read("trusted-proxy", None, http::Proxies::parse(networks).map(Some))?;
    match &flags.proxy_header {
        None => Some(proxies),
        Some(field) => reader.read("proxy-header", None, proxies.with_field(field).map(Some)),
    }
}

/// Three quarters of the open files that the process may have, without those that it keeps: each
/// connection is one, and some make a guest open another.
fn connections_default() -> usize {
    let files = rustix::process::getrlimit(rustix::process::Resource::Nofile).current.unwrap_or(u64::MAX);
    let most = (files.saturating_sub(DESCRIPTORS_KEPT) / 4 * 3).clamp(1, CONNECTIONS_DEFAULT_MAX);
    usize::try_from(most).unwrap_or(1)
}
