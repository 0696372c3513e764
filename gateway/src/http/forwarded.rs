//! What proxies write of clients, as text: lists such as `X-Forwarded-For`, and `Forwarded` (RFC 7239).
//!
//! Read in one pass, whatever a stranger put into it. Whose word counts is not known here (`client.rs`).

use axum::http::{HeaderMap, HeaderName};
use std::borrow::Cow;
use std::net::{IpAddr, Ipv6Addr};

/// What a proxy says of whom it got a request from. Without an address, nothing that it could be known by.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Hop {
    /// Its address, if that is told.
    pub(super) address: Option<IpAddr>,
    /// Whether it asked under TLS, if that is told.
    pub(super) tls: Option<bool>,
}

/// The elements of a list (RFC 9110, section 5.6.1, which has empty ones skipped), the last one first, over all
/// lines of the field.
pub(super) fn from_right(headers: &HeaderMap, name: HeaderName) -> impl Iterator<Item = &[u8]> {
    let lines = headers.get_all(name).iter().rev();
    let elements = lines.flat_map(|line| line.as_bytes().rsplit(|byte| *byte == b','));
    elements.map(<[u8]>::trim_ascii).filter(|element| !element.is_empty())
}

pub(super) fn text(bytes: &[u8]) -> Option<&str> {
    std::str::from_utf8(bytes).ok()
}

/// Whether a scheme is that of TLS.
pub(super) fn scheme(text: &str) -> Option<bool> {
    match text {
        _ if text.eq_ignore_ascii_case("https") => Some(true),
        _ if text.eq_ignore_ascii_case("http") => Some(false),
        _ => None,
    }
}

/// An address as `X-Forwarded-For` has it: alone, or as in `Forwarded`.
pub(super) fn address(text: &str) -> Option<IpAddr> {
    text.parse().ok().map(|address: IpAddr| address.to_canonical()).or_else(|| node(text))
}

/// A node with an address (RFC 7239, section 6): of IPv6 in brackets, with or without a port. `unknown` and names that
/// hide an address are none.
fn node(text: &str) -> Option<IpAddr> {
    let (address, port) = match text.strip_prefix('[').and_then(|text| text.split_once(']')) {
        Some((address, "")) => (address.parse::<Ipv6Addr>().ok()?.into(), None),
        Some((address, rest)) => (address.parse::<Ipv6Addr>().ok()?.into(), Some(rest.strip_prefix(':')?)),
        None => match text.split_once(':') {
            Some((address, port)) => (IpAddr::V4(address.parse().ok()?), Some(port)),
            None => (IpAddr::V4(text.parse().ok()?), None),
        },
    };
    port.is_none_or(is_port).then(|| address.to_canonical())
}

/// A number of up to five digits, or a name that hides one.
fn is_port(text: &str) -> bool {
    match text.strip_prefix('_') {
        Some(hidden) => {
            !hidden.is_empty()
                && hidden.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"._-".contains(&byte))
        }
        None => (1..=5).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_digit()),
    }
}

/// The elements of a line of `Forwarded` (RFC 7239, section 4), as they stand there. A line whose last quotation does
/// not end is one that is malformed, whoever began it.
pub(super) fn elements(line: &[u8]) -> Vec<Option<&str>> {
    let Some(elements) = text(line).and_then(|line| unquoted(line, ',')) else { return vec![None] };
    elements.into_iter().map(str::trim).filter(|element| !element.is_empty()).map(Some).collect()
}

/// What an element says: pairs such as `for=192.0.2.1;proto=https`, each of these two once. One that is malformed
/// says nothing.
pub(super) fn hop(element: &str) -> Option<Hop> {
    let (mut whom, mut proto) = (None, None);
    for pair in unquoted(element, ';')?.into_iter().map(str::trim).filter(|pair| !pair.is_empty()) {
        let (name, text) = pair.split_once('=')?;
        let text = value(text)?;
        let known = match name.to_ascii_lowercase().as_str() {
            "for" => &mut whom,
            "proto" => &mut proto,
            name if is_token(name) => continue,
            _ => return None,
        };
        if known.replace(text).is_some() {
            return None;
        }
    }
    Some(Hop { address: whom.as_deref().and_then(node), tls: proto.as_deref().and_then(scheme) })
}

/// The parts between separators that stand outside of quotations; nothing if a quotation does not end.
fn unquoted(text: &str, separator: char) -> Option<Vec<&str>> {
    let (mut quoted, mut escaped) = (false, false);
    let parts = text.split(|c: char| {
        match c {
            _ if escaped => escaped = false,
            '\\' if quoted => escaped = true,
            '"' => quoted = !quoted,
            _ => return c == separator && !quoted,
        }
        false
    });
    let parts = parts.collect();
    (!quoted).then_some(parts)
}

/// A token, or a quoted string without its quotation marks (RFC 9110, sections 5.6.2 and 5.6.4).
fn value(text: &str) -> Option<Cow<'_, str>> {
    let Some(rest) = text.strip_prefix('"') else { return is_token(text).then_some(text.into()) };
    let inner = rest.strip_suffix('"')?;
    if !inner.contains(['\\', '"']) {
        return Some(inner.into());
    }
    let (mut plain, mut characters) = (String::with_capacity(inner.len()), inner.chars());
    while let Some(character) = characters.next() {
        match character {
            '\\' => plain.push(characters.next()?),
            '"' => return None,
            other => plain.push(other),
        }
    }
    Some(plain.into())
}

fn is_token(text: &str) -> bool {
    !text.is_empty()
        && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte))
}
