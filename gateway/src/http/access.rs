//! Who asks, and whether they may: `Authorization: Bearer` (RFC 6750) in front of every handler.
//!
//! With tokens configured, whatever is not on the short list of open paths needs a known token before
//! any handler runs; what its scopes allow is asked by the handler that knows the task. Without tokens
//! everybody may call, and nobody may manage. It must not know what is done next.

use super::Gateway;
use super::error::Context;
use super::id::CallId;
use crate::access::{Holder, Need, Tokens};
use crate::error::{Error, Kind};
use axum::Extension;
use axum::body::Body;
use axum::extract::{Request, State};
use axum::http::header::AUTHORIZATION;
use axum::http::{Extensions, HeaderMap, Response};
use axum::middleware::Next;
use std::sync::Arc;
use std::time::SystemTime;

/// The authentication scheme.
const SCHEME: &str = "Bearer";

/// Whether a path is open to everybody: the probes and the greeting, and pages that say the same to all
/// (what the one at `/` shows, it asks for with a token).
pub fn open(path: &str) -> bool {
    matches!(path, "/" | "/livez" | "/readyz" | "/docs" | "/problems")
        || path.starts_with("/docs/")
        || path.starts_with("/page/")
        || path.starts_with("/problems/")
}

/// Whose token the header carries.
///
/// # Errors
/// `unauthorized`: there is none, or it is nobody's.
pub fn identify(tokens: &Tokens, headers: &HeaderMap) -> Result<Arc<Holder>, Error> {
    let mut shown = headers.get_all(AUTHORIZATION).iter();
    let (Some(value), None) = (shown.next(), shown.next()) else {
        return Err(challenge("found no token, expected the header Authorization: Bearer TOKEN, once", None));
    };
    let text = value.to_str().unwrap_or_default().trim();
    let (scheme, token) = text.split_once(' ').unwrap_or((text, ""));
    if !scheme.eq_ignore_ascii_case(SCHEME) {
        return Err(challenge("found another scheme in Authorization, expected Bearer TOKEN", None));
    }
    match tokens.holder(token.trim(), SystemTime::now()) {
        Ok(holder) => Ok(Arc::clone(holder)),
        Err(refusal) => Err(challenge(&refusal.to_string(), Some("invalid_token"))),
    }
}

fn challenge(detail: &str, code: Option<&str>) -> Error {
    let mut error = Error::new(Kind::Unauthorized, detail);
    error.challenge = Some(match code {
        None => format!("{SCHEME} realm=\"unblock\""),
        Some(code) => format!("{SCHEME} realm=\"unblock\", error=\"{code}\""),
    });
    error
}

/// Whether whoever sent a request may do that.
///
/// # Errors
/// `forbidden` names the scope that is missing; `unauthorized` where nobody was identified.
pub fn permit(gateway: &Gateway, extensions: &Extensions, need: Need<'_>) -> Result<(), Error> {
    if gateway.tokens.is_none() {
        return match need {
            Need::Manage => Err(Error::new(
                Kind::Forbidden,
                "tasks are changed over HTTP by holders of a token only, and this gateway has none; start it with \
                 --tokens FILE, or change the files of the tasks folder",
            )),
            _ => Ok(()),
        };
    }
    match extensions.get::<Arc<Holder>>() {
        Some(holder) if holder.may(need) => Ok(()),
        Some(_) => {
            let mut error = Error::new(
                Kind::Forbidden,
                format!("the token does not allow this, expected one with the scope {need}"),
            );
            error.challenge =
                Some(format!("{SCHEME} realm=\"unblock\", error=\"insufficient_scope\", scope=\"{need}\""));
            Err(error)
        }
        None => Err(challenge("found no token, expected the header Authorization: Bearer TOKEN", None)),
    }
}

/// Lets holders of `read` pass: the layer around what concerns all tasks.
pub async fn read(
    State(gateway): State<Arc<Gateway>>,
    Extension(call): Extension<CallId>,
    request: Request,
    next: Next,
) -> Response<Body> {
    match permit(&gateway, request.extensions(), Need::Read) {
        Ok(()) => next.run(request).await,
        Err(error) => Context::of(&call).respond(&error),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_listed_paths_are_open() {
        for path in [
            "/",
            "/livez",
            "/readyz",
            "/docs",
            "/docs/start.js",
            "/page/app.js",
            "/problems",
            "/problems/trap",
        ] {
            assert!(open(path), "{path}");
        }
        for path in [
            "",
            "//",
            "/tasks",
            "/openapi.json",
            "/metrics",
            "/docsx",
            "/page",
            "/state",
            "/events",
            "/livez/",
            "*",
            "/LIVEZ",
        ] {
            assert!(!open(path), "{path}");
        }
    }

    #[test]
    fn a_header_without_one_bearer_token_is_a_challenge() {
        let tokens = Tokens::default();
        for (values, code) in [
            (&[][..], false),
            (&["Basic YTpi"], false),
            (&["ub_0123456789ab_x"], false),
            (&["Bearer a", "Bearer b"], false),
            (&["Bearer"], true),
            (&["bearer ub_0123456789ab_x"], true),
        ] {
            let mut headers = HeaderMap::new();
            for value in values {
                headers.append(AUTHORIZATION, value.parse().expect("a header value"));
            }
            let error = identify(&tokens, &headers).expect_err("nobody");
            assert_eq!(error.kind, Kind::Unauthorized);
            let challenge = error.challenge.as_deref().expect("a challenge");
            assert_eq!(challenge.contains("invalid_token"), code, "{values:?}: {challenge}");
            assert!(!error.detail.contains("ub_0123456789ab_x"), "{}", error.detail);
        }
    }
}
