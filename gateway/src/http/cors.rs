//! Pages of other origins: which of them a browser lets read answers (CORS, Fetch standard, section 3.3).
//!
//! One policy for every URL, the guests' too: what they say of it themselves is taken off while this is on.
//! Never with credentials, so browsers send neither cookies nor what they remember; a token comes in
//! `Authorization`, which a page has to have. Not tower-http's layer: that answers every `OPTIONS` itself,
//! preflight or not, tells every origin the same half of the policy, and leaves a guest's own where it has
//! nothing to say. It must not know what is asked.

use axum::body::Body;
use axum::http::header::{
    ACCESS_CONTROL_ALLOW_CREDENTIALS, ACCESS_CONTROL_ALLOW_HEADERS, ACCESS_CONTROL_ALLOW_METHODS,
    ACCESS_CONTROL_ALLOW_ORIGIN, ACCESS_CONTROL_EXPOSE_HEADERS, ACCESS_CONTROL_MAX_AGE,
    ACCESS_CONTROL_REQUEST_METHOD, ORIGIN, VARY,
};
use axum::http::{HeaderMap, HeaderName, HeaderValue, Method, Response};
use url::Url;

/// Everybody's pages.
const ANY: HeaderValue = HeaderValue::from_static("*");

/// Which fields a page may send: any, and the one that a wildcard does not cover.
const ALLOWED_FIELDS: HeaderValue = HeaderValue::from_static("authorization, *");

/// How long a browser may remember an answer to a preflight, in seconds. Chromium remembers none longer.
const MAX_AGE: HeaderValue = HeaderValue::from_static("7200");

/// What a guest may say of the same.
const TOLD: [HeaderName; 6] = [
    ACCESS_CONTROL_ALLOW_CREDENTIALS,
    ACCESS_CONTROL_ALLOW_HEADERS,
    ACCESS_CONTROL_ALLOW_METHODS,
    ACCESS_CONTROL_ALLOW_ORIGIN,
    ACCESS_CONTROL_EXPOSE_HEADERS,
    ACCESS_CONTROL_MAX_AGE,
];

/// The origins whose pages may read answers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Cors {
    /// All.
    Any,
    /// These, as browsers write them (RFC 6454, section 6.2).
    Listed(Vec<HeaderValue>),
}

impl Cors {
    /// Reads `*`, or origins such as `https://app.example.com,http://localhost:3000`.
    ///
    /// # Errors
    /// What was found, what was expected and what to do.
    pub fn parse(text: &str) -> Result<Self, String> {
        match text.trim() {
            "*" => Ok(Self::Any),
            text => {
                text.split(',').map(|text| origin(text.trim())).collect::<Result<_, _>>().map(Self::Listed)
            }
        }
    }

    /// What a request's origin is answered, if its pages may read answers.
    pub fn allowed(&self, headers: &HeaderMap) -> Option<HeaderValue> {
        let origin = headers.get(ORIGIN)?;
        match self {
            Self::Any => Some(ANY),
            Self::Listed(origins) => origins.contains(origin).then(|| origin.clone()),
        }
    }

    /// Writes on a response what the page may do with it.
    pub fn tell(&self, headers: &mut HeaderMap, allowed: Option<HeaderValue>) {
        for name in &TOLD {
            headers.remove(name);
        }
        self.admit(headers, allowed).then(|| headers.insert(ACCESS_CONTROL_EXPOSE_HEADERS, ANY));
    }

    /// The answer to a preflight: nothing is looked up and nothing is called.
    pub fn preflight(&self, allowed: Option<HeaderValue>) -> Response<Body> {
        let mut response = super::probes::no_content();
        let headers = response.headers_mut();
        if self.admit(headers, allowed) {
            headers.insert(ACCESS_CONTROL_ALLOW_METHODS, ANY);
            headers.insert(ACCESS_CONTROL_ALLOW_HEADERS, ALLOWED_FIELDS);
            headers.insert(ACCESS_CONTROL_MAX_AGE, MAX_AGE);
        }
        response
    }

    fn admit(&self, headers: &mut HeaderMap, allowed: Option<HeaderValue>) -> bool {
        if matches!(self, Self::Listed(_)) {
            // Also where nobody is let in: a cache must not give that answer to somebody else.
            headers.append(VARY, HeaderValue::from_static("origin"));
        }
        allowed.map(|origin| headers.insert(ACCESS_CONTROL_ALLOW_ORIGIN, origin)).is_some()
    }
}

/// Whether a browser asks what a page may ask. Another `OPTIONS` is a request like any.
pub fn is_preflight(method: &Method, headers: &HeaderMap) -> bool {
    *method == Method::OPTIONS
        && headers.contains_key(ORIGIN)
        && headers.contains_key(ACCESS_CONTROL_REQUEST_METHOD)
}

/// One origin, in the form that browsers send: nothing else would ever be equal to theirs.
fn origin(text: &str) -> Result<HeaderValue, String> {
    let expected = || {
        format!("found {text:?}, expected an origin such as https://app.example.com or http://localhost:3000")
    };
    match text {
        "*" => {
            return Err("found \"*\" beside other origins, expected it alone: it is all of them".to_owned());
        }
        "null" => {
            return Err(
                "found \"null\", expected an origin: every sandboxed page has that one; say \"*\" if all may"
                    .to_owned(),
            );
        }
        _ => {}
    }
    let url = Url::parse(text).map_err(|_| expected())?;
    let host = url.host_str().filter(|host| !host.is_empty()).ok_or_else(expected)?;
    if host.contains('*') {
        return Err(format!("found {text:?}, expected each origin by itself, or \"*\" alone for all"));
    }
    let port = url.port().map(|port| format!(":{port}")).unwrap_or_default();
    let meant = format!("{}://{host}{port}", url.scheme());
    if text != meant {
        return Err(format!(
            "found {text:?}, expected an origin without anything else, as browsers write it: {meant}"
        ));
    }
    HeaderValue::from_str(text).map_err(|_| expected())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(lines: &[(&'static str, &'static str)]) -> HeaderMap {
        lines
            .iter()
            .map(|(name, value)| (HeaderName::from_static(name), HeaderValue::from_static(value)))
            .collect()
    }

    #[test]
    fn origins_are_written_as_browsers_do() {
        assert_eq!(Cors::parse(" * "), Ok(Cors::Any));
        for good in [
            "https://app.example.com",
            "http://localhost:3000, https://a.example",
            "http://[::1]:8080",
            "chrome-extension://abcdefghijklmnop",
            "https://xn--bcher-kva.example",
        ] {
            assert!(Cors::parse(good).is_ok(), "{good}: {:?}", Cors::parse(good));
        }
        for (wrong, word) in [
            ("", "found \"\", expected an origin such as"),
            ("app.example.com", "such as https://app.example.com"),
            ("localhost:3000", "such as https://app.example.com"),
            ("https://", "such as"),
            ("file:///a", "such as"),
            ("https://a.example/", "as browsers write it: https://a.example"),
            ("https://a.example/app?x", "as browsers write it: https://a.example"),
            ("https://a.example:443", "as browsers write it: https://a.example"),
            ("HTTPS://A.example", "as browsers write it: https://a.example"),
            ("https://bücher.example", "as browsers write it: https://xn--bcher-kva.example"),
            ("https://me@a.example", "as browsers write it: https://a.example"),
            ("https://*.example.com", "by itself"),
            ("https://a.example,*", "expected it alone"),
            ("null", "sandboxed"),
            ("https://a.example,", "found \"\""),
            ("https://a.example https://b.example", "such as"),
        ] {
            let message = Cors::parse(wrong).expect_err(wrong);
            assert!(message.contains(word), "{wrong}: {message}");
        }
    }

    #[test]
    fn only_listed_origins_are_told_anything() {
        let cors = Cors::parse("https://a.example").expect("an origin");
        let ask = |origin: &'static str| cors.allowed(&headers(&[("origin", origin)]));
        let mut answer = headers(&[("access-control-allow-origin", "*"), ("x-mine", "1")]);
        cors.tell(&mut answer, ask("https://a.example"));
        assert_eq!(answer["access-control-allow-origin"], "https://a.example");
        assert_eq!(
            (&answer["access-control-expose-headers"], &answer["vary"]),
            (&ANY, &"origin".parse().expect("a value"))
        );
        for other in ["https://b.example", "https://a.example.evil.example", "http://a.example", "null", ""] {
            let mut answer = headers(&[
                ("access-control-allow-origin", "*"),
                ("access-control-allow-credentials", "true"),
            ]);
            cors.tell(&mut answer, ask(other));
            assert_eq!(answer.keys().map(HeaderName::as_str).collect::<Vec<_>>(), ["vary"], "{other}");
            assert_eq!(cors.preflight(ask(other)).headers().len(), 1, "{other}");
        }
        assert_eq!(cors.allowed(&HeaderMap::new()), None);
    }

    #[test]
    fn a_preflight_is_told_what_may_be_sent() {
        let answer = Cors::Any.preflight(Cors::Any.allowed(&headers(&[("origin", "https://b.example")])));
        let headers = answer.headers();
        assert_eq!((answer.status().as_u16(), &headers["access-control-allow-origin"]), (204, &ANY));
        assert_eq!(headers["access-control-allow-headers"], "authorization, *");
        assert_eq!(headers["access-control-allow-methods"], "*");
        assert_eq!((headers.get("vary"), headers.get("access-control-allow-credentials")), (None, None));
    }

    #[test]
    fn only_a_whole_preflight_is_one() {
        let whole = [("origin", "https://a.example"), ("access-control-request-method", "POST")];
        assert!(is_preflight(&Method::OPTIONS, &headers(&whole)));
        assert!(!is_preflight(&Method::POST, &headers(&whole)));
        for part in whole {
            assert!(!is_preflight(&Method::OPTIONS, &headers(&[part])));
        }
    }
}
