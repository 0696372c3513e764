//! Test guest: a `wasi:http` 0.3 handler whose behaviour is the last segment of the path.
//!
//! The same names as the 0.2 guest's where the behaviour exists in both. Numbers come from the
//! query: `bytes`, `ms`, `code`, each with a small default. `outgoing.rs` asks other servers.

mod good;
mod misbehaving;
mod outgoing;
mod response;

use wasip3::http::types::{ErrorCode, Request, Response};

/// A request and its query.
struct Call {
    request: Request,
    query: String,
}

impl Call {
    /// A number from the query.
    fn number(&self, name: &str, default: u64) -> u64 {
        self.text(name).and_then(|value| value.parse().ok()).unwrap_or(default)
    }

    fn text(&self, name: &str) -> Option<&str> {
        self.query.split('&').find_map(|pair| pair.strip_prefix(name)?.strip_prefix('='))
    }
}

struct Handler;

impl wasip3::exports::http::handler::Guest for Handler {
    async fn handle(request: Request) -> Result<Response, ErrorCode> {
        let target = request.get_path_with_query().unwrap_or_default();
        let (path, query) = target.split_once('?').unwrap_or((&target, ""));
        let behaviour = path.rsplit('/').next().unwrap_or_default();
        let call = Call { request, query: query.to_owned() };
        match behaviour {
            "hello" => Ok(response::text(200, "hello\n")),
            "tell" => Ok(good::tell(call)),
            "echo" => Ok(good::echo(call)),
            "pump" => Ok(good::pump(call)),
            "first-byte" => Ok(good::first_byte(call)),
            "source" => Ok(good::source(call)),
            "sink" => Ok(good::sink(call).await),
            "trailers" => Ok(good::trailers()),
            "linger" => Ok(good::linger(call)),
            "empty" => Ok(good::empty()),
            "fetch" => outgoing::fetch(call).await,
            "upload" => outgoing::upload(call).await,
            "measure" => outgoing::measure(call).await,
            "crowd" => outgoing::crowd(call).await,
            "stdio" => Ok(good::stdio()),
            "silent" => misbehaving::silent().await,
            "error" => Err(misbehaving::error(call)),
            "trap-before" => misbehaving::trap_before(),
            "trap-after" => Ok(misbehaving::trap_after(call)),
            "exit" => std::process::exit(3),
            "status" => Ok(misbehaving::status(call)),
            "header" => Ok(misbehaving::header(call)),
            "length" => Ok(misbehaving::length(call)),
            "compute" => Ok(misbehaving::compute(call)),
            "loop-before" => misbehaving::spin(),
            "loop-after" => Ok(misbehaving::loop_after()),
            "flood" => Ok(misbehaving::flood()),
            "ignore" => Ok(response::text(200, "ignored\n")),
            "unfinished" => Ok(misbehaving::unfinished()),
            "hungry" => misbehaving::hungry(),
            "hungry-after" => Ok(misbehaving::hungry_after()),
            _ => Ok(response::text(404, "no such behaviour\n")),
        }
    }
}

wasip3::http::service::export!(Handler);
