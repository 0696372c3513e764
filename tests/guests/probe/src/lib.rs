//! Test guest: tries what a task may be granted, and tells what it got.

mod bindings {
    #![allow(missing_docs, reason = "generated from the WIT, where the documentation is")]
    wit_bindgen::generate!({ world: "probe" });
}

mod http;
mod sockets;

use bindings::exports::api::{Answer, Extra};

struct Probe;

impl bindings::exports::api::Guest for Probe {
    fn fetch(url: String, extra: Option<Extra>) -> Result<Answer, String> {
        http::fetch(&url, extra)
    }

    fn upload(url: String, kibibytes: u32) -> Result<Answer, String> {
        http::upload(&url, kibibytes)
    }

    fn download(url: String) -> Result<u64, String> {
        http::download(&url)
    }

    fn crowd(url: String, requests: u32) -> Vec<String> {
        http::crowd(&url, requests)
    }

    #[allow(clippy::panic, reason = "that is what it is for")]
    fn insist(url: String) -> u16 {
        match http::fetch(&url, None) {
            Ok(answer) => answer.status,
            Err(code) => panic!("no answer: {code}"),
        }
    }

    fn variables() -> Vec<(String, String)> {
        std::env::vars().collect()
    }

    fn read(path: String) -> Result<String, String> {
        std::fs::read_to_string(path).map_err(|error| error.to_string())
    }

    fn write(path: String, text: String) -> Result<(), String> {
        std::fs::write(path, text).map_err(|error| error.to_string())
    }

    fn entries(path: String) -> Result<Vec<String>, String> {
        let entries = std::fs::read_dir(path).map_err(|error| error.to_string())?;
        let mut names: Vec<String> =
            entries.filter_map(|entry| entry.ok()?.file_name().into_string().ok()).collect();
        names.sort();
        Ok(names)
    }

    fn link(target: String, path: String) -> Result<(), String> {
        sockets::link(&target, &path)
    }

    fn hard_link(from: String, to: String) -> Result<(), String> {
        std::fs::hard_link(from, to).map_err(|error| error.to_string())
    }

    fn rename(from: String, to: String) -> Result<(), String> {
        std::fs::rename(from, to).map_err(|error| error.to_string())
    }

    fn snatch(path: String, tries: u32) -> Option<String> {
        (0..tries).find_map(|_| std::fs::read_to_string(&path).ok())
    }

    fn talk(address: String, line: String) -> Result<String, String> {
        sockets::talk(&address, &line)
    }

    fn lookup(name: String) -> Result<Vec<String>, String> {
        sockets::lookup(&name)
    }

    fn send(address: String, text: String, port: u16) -> Result<(), String> {
        sockets::send(&address, &text, port)
    }

    fn listen(port: u16) -> Result<(), String> {
        sockets::listen(port)
    }
}

bindings::export!(Probe with_types_in bindings);
