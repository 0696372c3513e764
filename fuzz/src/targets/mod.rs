//! The targets: each a function of bytes that panics at what must not be.
//!
//! What each of them promises stands in its file.

mod http;
mod json;
mod manifest;
mod module;
mod routes;

use gateway::config::{Config, Flags};

/// A target.
pub struct Target {
    /// Its name, and that of its folder of seeds.
    pub name: &'static str,
    /// Feeds it.
    pub feed: fn(&[u8]),
}

/// All of them.
pub const ALL: &[Target] = &[
    Target { name: "module", feed: module::feed },
    Target { name: "json", feed: json::feed },
    Target { name: "http", feed: http::feed },
    Target { name: "manifest", feed: manifest::feed },
    Target { name: "routes", feed: routes::feed },
];

#[derive(clap::Parser)]
struct Bare {
    #[command(flatten)]
    flags: Flags,
}

/// A small gateway's settings.
fn config(tasks: &std::path::Path) -> Config {
    let bare: Bare =
        clap::Parser::parse_from(["fuzz", "--max-runs", "128", "--workers", "1", "--http-threads", "1"]);
    let mut flags = bare.flags;
    flags.tasks = tasks.to_string_lossy().into_owned();
    flags.listen = "127.0.0.1:0".to_owned();
    flags.cache = Some("off".to_owned());
    // Whoever fuzzes is a trusted proxy, so that what proxies say is read.
    flags.trusted_proxy = Some("127.0.0.0/8".to_owned());
    flags.proxy_header = Some("forwarded".to_owned());
    flags.cors_origin = Some("http://page.example".to_owned());
    Config::read(&flags).expect("settings of the fuzzer")
}
