//! Text that came inside a URL: path segments and the query's pairs, percent-decoded.
//!
//! Decoding is strict about UTF-8, since a replacement character in an argument is a silent change
//! of what the caller said. It knows nothing of what the names mean.

use crate::error::{Error, Kind};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, percent_decode_str, utf8_percent_encode};
use std::borrow::Cow;
use std::str::Utf8Error;

/// What stands as it is in a path segment (RFC 3986, `unreserved`).
const SEGMENT: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

/// A path segment as text.
///
/// # Errors
/// If it is not UTF-8.
pub fn segment(raw: &str) -> Result<Cow<'_, str>, Utf8Error> {
    percent_decode_str(raw).decode_utf8()
}

/// Text as a path segment.
pub fn encode(text: &str) -> String {
    utf8_percent_encode(text, SEGMENT).to_string()
}

/// The pairs of a query, in order, added to `pairs`. A name without `=` has the empty value.
///
/// # Errors
/// `bad-arguments` if a pair is not UTF-8.
pub fn pairs(query: Option<&str>, pairs: &mut Vec<(String, String)>) -> Result<(), Error> {
    for pair in query.unwrap_or_default().split('&').filter(|pair| !pair.is_empty()) {
        let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
        pairs.push((form(name)?, form(value)?));
    }
    Ok(())
}

/// One name or value; `+` is a space there.
fn form(raw: &str) -> Result<String, Error> {
    let spaced = if raw.contains('+') { Cow::Owned(raw.replace('+', " ")) } else { Cow::Borrowed(raw) };
    percent_decode_str(&spaced).decode_utf8().map(Cow::into_owned).map_err(|_| {
        Error::new(Kind::BadArguments, format!("found {raw:?} in the query, expected percent-encoded UTF-8"))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pairs_are_decoded_in_order() {
        let mut found = Vec::new();
        pairs(Some("a=1&b=x+y%20z&&c&a=%C3%A4=&%zz=%"), &mut found).expect("UTF-8");
        let found: Vec<(&str, &str)> = found.iter().map(|(a, b)| (a.as_str(), b.as_str())).collect();
        assert_eq!(found, [("a", "1"), ("b", "x y z"), ("c", ""), ("a", "ä="), ("%zz", "%")]);
    }

    #[test]
    fn what_is_not_utf_8_is_refused() {
        let error = pairs(Some("a=%ff"), &mut Vec::new()).expect_err("not UTF-8");
        assert_eq!(error.kind, Kind::BadArguments);
        assert!(segment("%ff").is_err());
    }

    #[test]
    fn a_full_name_survives_as_one_segment() {
        let name = "demo:app/api@1.0.0#run";
        assert_eq!(segment(&encode(name)).as_deref(), Ok(name));
        assert!(!encode(name).contains('/'));
    }
}
