//! A page for each kind of problem: the target of the `type` of every problem document.
//!
//! Each says in a few lines what happened, who has to act, whether the same call may succeed later,
//! and what to do. Written once per kind, by a match without a wildcard. It knows no call.

use super::answer::fixed;
use super::error::{Context, blame, status};
use super::id::CallId;
use crate::error::{Error, Kind};
use axum::Extension;
use axum::body::Body;
use axum::extract::Request;
use axum::http::{Response, StatusCode};

const TEXT: &str = "text/plain; charset=utf-8";

/// `GET /problems`
pub async fn list() -> Response<Body> {
    let lines: Vec<String> =
        Kind::ALL.iter().map(|kind| format!("/problems/{:24}{}\n", kind.slug(), kind.title())).collect();
    fixed(StatusCode::OK, TEXT, lines.concat())
}

/// `GET /problems/{slug}`
pub async fn page(Extension(call): Extension<CallId>, request: Request) -> Response<Body> {
    let slug = request.uri().path().strip_prefix("/problems/").unwrap_or_default();
    match Kind::ALL.iter().find(|kind| kind.slug() == slug) {
        Some(kind) => fixed(StatusCode::OK, TEXT, text(*kind)),
        None => {
            let error = Error::new(
                Kind::UnknownPath,
                format!("found {slug:?}, expected a problem listed by GET /problems"),
            );
            let known = Kind::ALL.iter().map(|kind| kind.slug());
            Context::of(&call).respond(&error.nearest(slug, known))
        }
    }
}

fn text(kind: Kind) -> String {
    let retry =
        if kind.retry() { "may succeed later, as it is" } else { "fails again until something is changed" };
    format!(
        "{} ({}, {})\n\nTo act: the {}\nThe same call: {retry}\n\n{}\n",
        kind.title(),
        status(kind).as_u16(),
        kind.slug(),
        blame(kind.blame()),
        advice(kind)
    )
}

/// What to do.
fn advice(kind: Kind) -> &'static str {
    match kind {
        Kind::BadArguments => {
            "Compare the arguments with the function's params in GET /tasks/{task}.\n\
             The problem's pointer names the argument, expected its type."
        }
        Kind::BadJson => {
            "Send a JSON object with one member per parameter, or an array by position.\n\
             The detail names the place where reading stopped."
        }
        Kind::AmbiguousFunction => {
            "Name the function: POST /tasks/{task}/{function}. Where two interfaces have functions of\n\
             one name, use the full name interface#function, percent-encoded."
        }
        Kind::UnknownTask => {
            "Look at GET /tasks: it lists what is loaded, and what failed to load and why.\n\
             A task's name is its file's name without .wasm or .wat."
        }
        Kind::UnknownFunction => {
            "Look at GET /tasks/{task}: it lists the functions, and the exports that cannot be called\n\
             with the reason."
        }
        Kind::UnknownPath => "Look at GET /tasks for the tasks, their functions and their routes.",
        Kind::UnknownCall => {
            "Look at GET /calls for the calls in flight, and at GET /tasks/{task}/-/calls for the last\n\
             ones of a task. Older ones are forgotten; --records says how many are kept."
        }
        Kind::MethodNotAllowed => "Use a method of the response's Allow header.",
        Kind::Unauthorized => {
            "Send a token of this gateway: Authorization: Bearer ub_… Its operator makes one with\n\
             unblock token create. The detail says what was wrong with the one that was sent, if any."
        }
        Kind::Forbidden => {
            "Have a token made with the scope that the detail names. Where the gateway has no tokens,\n\
             tasks are changed in its folder, not over HTTP."
        }
        Kind::NotAcceptable => {
            "Accept the type named in the detail, or application/json, which every result can be\n\
             written as; or send no Accept header."
        }
        Kind::RequestTimeout => "Send the request without pauses.",
        Kind::PreconditionFailed => {
            "Somebody else changed the task. GET it, look at what it is now, and send its ETag as If-Match."
        }
        Kind::InputTooLarge => {
            "Send less, or raise input under [limits] in the task's manifest;\n\
             the server's --max-input caps it."
        }
        Kind::RateLimited => {
            "Wait as long as Retry-After says, and send requests at the rate of the RateLimit-Policy header."
        }
        Kind::RefusedModule => {
            "Nothing was changed. The detail says what was found, what was expected and what would help;\n\
             unblock check FILE says the same without a server."
        }
        Kind::UnsupportedMediaType => {
            "Send application/json, multipart/form-data, or the raw bytes if the function takes them,\n\
             without a Content-Encoding."
        }
        Kind::HeadersTooLarge => "Send fewer or shorter header fields, or a shorter URL.",
        Kind::TaskError => {
            "The task ran and said no. The problem's value or stderr is its answer;\n\
             its author's documentation says what it means."
        }
        Kind::Trap => {
            "The task has a bug that these arguments reach. Send its author the problem's backtrace,\n\
             stderr and the arguments."
        }
        Kind::MemoryExceeded => {
            "Send smaller arguments, or raise memory under [limits] in the task's manifest;\n\
             the server's --max-memory caps it."
        }
        Kind::StackOverflow => {
            "The task recurses too deeply for these arguments. Its author can use less stack;\n\
             the server's --stack gives every task more."
        }
        Kind::OutputTooLarge => {
            "Ask for less, or raise output under [limits] in the task's manifest;\n\
             the server's --max-output caps it."
        }
        Kind::MissingGrant => {
            "Grant what the detail names under [grants] in the task's manifest, if the task may have it."
        }
        Kind::BadResponse => {
            "The task answered with something that is no HTTP response. Its author has to act."
        }
        Kind::BadModule => {
            "The file is there but could not be loaded. The detail and GET /tasks say why and what would\n\
             help; a repaired file is picked up by itself."
        }
        Kind::QueueFull => {
            "Wait as long as Retry-After says. If it stays so: make the task faster, or raise concurrency,\n\
             queue or queue_wait under [limits] in its manifest."
        }
        Kind::Loading => {
            "Wait as long as Retry-After says: a new module is compiled once, which takes seconds."
        }
        Kind::MemoryFull => {
            "Wait as long as Retry-After says. If it stays so, the machine is too small for its load:\n\
             lower the tasks' memory or concurrency, or give the server more."
        }
        Kind::Draining => "Wait as long as Retry-After says and connect again: another process takes over.",
        Kind::DeadlineExceeded => {
            "The call was stopped at its wall budget, which includes its waiting. Ask for less, raise wall\n\
             under [limits] in the manifest, or send a longer Prefer: wait=N if the caller set one."
        }
        Kind::CpuExceeded => {
            "The call was stopped at its CPU budget, which no other call can use up. Ask for less,\n\
             or raise cpu under [limits] in the manifest."
        }
        Kind::Cancelled => "The call was ended before it was done. Call again if the result is still wanted.",
        Kind::Internal => {
            "A fault of the gateway. Its log has the cause under the problem's call id;\n\
             please report it with that line."
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_page_says_what_to_do() {
        for kind in Kind::ALL {
            let page = text(kind);
            assert!(page.starts_with(kind.title()), "{page}");
            assert!(page.contains("To act: the "), "{page}");
            assert!(page.lines().all(|line| line.len() <= 100), "{page}");
        }
    }
}
