//! Test guest: a `wasi:http` 0.2 handler whose behaviour is the last segment of the path.
//!
//! Well-behaved ones are what the gateway is measured with, too; the others do what a handler must
//! not do. Numbers come from the query: `bytes`, `ms`, `code`, each with a small default.

mod good;
mod misbehaving;
mod response;

use wasip2::exports::http::incoming_handler::Guest;
use wasip2::http::types::{IncomingRequest, ResponseOutparam};

/// A request and where its response goes.
struct Call {
    request: IncomingRequest,
    out: ResponseOutparam,
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

impl Guest for Handler {
    fn handle(request: IncomingRequest, out: ResponseOutparam) {
        let target = request.path_with_query().unwrap_or_default();
        let (path, query) = target.split_once('?').unwrap_or((&target, ""));
        let behaviour = path.rsplit('/').next().unwrap_or_default();
        let call = Call { request, out, query: query.to_owned() };
        match behaviour {
            "hello" => good::hello(call),
            "tell" => good::tell(call),
            "echo" => good::echo(call),
            "first-byte" => good::first_byte(call),
            "source" => good::source(call),
            "sink" => good::sink(call),
            "trailers" => good::trailers(call),
            "linger" => good::linger(call),
            "empty" => good::empty(call),
            "fetch" => good::fetch(call),
            "stdio" => good::stdio(call),
            "silent" => drop(call),
            "error" => misbehaving::error(call),
            "trap-before" => misbehaving::trap_before(),
            "trap-after" => misbehaving::trap_after(call),
            "exit" => misbehaving::exit(call),
            "twice" => misbehaving::twice(call),
            "status" => misbehaving::status(call),
            "header" => misbehaving::header(call),
            "length" => misbehaving::length(call),
            "compute" => misbehaving::compute(call),
            "loop-before" => misbehaving::spin(),
            "loop-after" => misbehaving::loop_after(call),
            "flood" => misbehaving::flood(call),
            "ignore" => misbehaving::ignore(call),
            "taste" => misbehaving::taste(call),
            "unfinished" => misbehaving::unfinished(call),
            "no-body" => misbehaving::no_body(call),
            "hungry" => misbehaving::hungry(),
            "hungry-after" => misbehaving::hungry_after(call),
            _ => response::Response::start(call.out, 404).end_with(b"no such behaviour\n"),
        }
    }
}

wasip2::http::proxy::export!(Handler);
