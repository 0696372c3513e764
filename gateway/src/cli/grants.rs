//! The flags of `unblock run` that grant something, beside what the manifest grants.
//!
//! A module can be tried before its manifest is written. The texts are those of a manifest, and so
//! are the mistakes. Knows no run.

use crate::grants::{Dir, Grants, http_target, socket_target};
use crate::registry::check_guest;
use clap::Args;
use std::path::Path;

/// What is granted on the command line.
#[derive(Args, Default)]
pub struct GrantFlags {
    /// Grants a directory: HOST::GUEST to read, HOST::GUEST::rw to write as well.
    #[arg(long = "dir", value_name = "HOST::GUEST[::rw]")]
    dirs: Vec<String>,
    /// Sets a variable of the task's environment; NAME alone passes on one's own.
    #[arg(long = "env", value_name = "NAME[=VALUE]")]
    env: Vec<String>,
    /// Grants HTTP requests to a host, such as api.example.com or 127.0.0.1:8080.
    #[arg(long = "allow-http", value_name = "HOST[:PORT]")]
    http: Vec<String>,
    /// Grants sockets to a host, such as db.example.com:5432.
    #[arg(long = "allow-socket", value_name = "HOST:PORT")]
    sockets: Vec<String>,
}

impl GrantFlags {
    /// Reads them.
    ///
    /// # Errors
    /// Every mistake, with its flag.
    pub fn read(&self) -> Result<Grants, String> {
        let mut grants = Grants::default();
        let mut mistakes = Vec::new();
        for text in &self.dirs {
            match dir(text) {
                Ok(dir) => grants.dirs.push(dir),
                Err(message) => mistakes.push(format!("--dir: {message}")),
            }
        }
        for text in &self.env {
            match variable(text) {
                Ok((name, value)) => {
                    grants.env.insert(name, value);
                }
                Err(message) => mistakes.push(format!("--env: {message}")),
            }
        }
        for text in &self.http {
            match http_target(text) {
                Ok(target) => grants.http.push(target),
                Err(message) => mistakes.push(format!("--allow-http: {message}")),
            }
        }
        for text in &self.sockets {
            match socket_target(text) {
                Ok(target) => grants.sockets.push(target),
                Err(message) => mistakes.push(format!("--allow-socket: {message}")),
            }
        }
        if mistakes.is_empty() { Ok(grants) } else { Err(mistakes.join("\n")) }
    }
}

fn dir(text: &str) -> Result<Dir, String> {
    let expected = || format!("found {text:?}, expected HOST::GUEST or HOST::GUEST::rw, such as data::/data");
    let mut parts = text.split("::");
    let (host, guest) = parts.next().zip(parts.next()).ok_or_else(expected)?;
    let write = match (parts.next(), parts.next()) {
        (None, _) => false,
        (Some("rw"), None) => true,
        _ => return Err(expected()),
    };
    check_guest(guest)?;
    let path = Path::new(host);
    if host.is_empty() || !path.is_dir() {
        return Err(format!("{host:?} is no directory here; create it, or correct the path"));
    }
    let host = std::path::absolute(path).map_err(|error| format!("{host}: {error}"))?;
    Ok(Dir { host, guest: guest.to_owned(), write })
}

fn variable(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some(("", _)) => Err(format!("found {text:?}, expected NAME=VALUE")),
        Some((name, value)) => Ok((name.to_owned(), value.to_owned())),
        None => match std::env::var(text) {
            Ok(value) => Ok((text.to_owned(), value)),
            Err(_) => Err(format!("{text} is not set here; set it, or write {text}=VALUE")),
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn flags_are_read_like_a_manifest() {
        let flags = GrantFlags {
            dirs: vec!["/::/data".to_owned(), "/::/out::rw".to_owned()],
            env: vec!["LANG=C".to_owned(), "EMPTY=".to_owned()],
            http: vec!["api.example.com".to_owned()],
            sockets: vec!["10.0.0.5:5432".to_owned()],
        };
        let grants = flags.read().unwrap();
        assert_eq!(grants.dirs.iter().map(|dir| dir.write).collect::<Vec<_>>(), [false, true]);
        assert_eq!(grants.env["LANG"], "C");
        assert_eq!(grants.env["EMPTY"], "");
        assert_eq!(grants.http[0].to_string(), "api.example.com");
        assert_eq!(grants.sockets[0].to_string(), "10.0.0.5:5432");
    }

    #[test]
    fn every_wrong_flag_is_told() {
        let flags = GrantFlags {
            dirs: vec![
                "data".to_owned(),
                "/::data".to_owned(),
                "/no/such::/data".to_owned(),
                "/::/d::ro".to_owned(),
            ],
            env: vec!["=x".to_owned()],
            http: vec!["https://example.com".to_owned()],
            sockets: vec!["db.example.com".to_owned()],
        };
        let told = flags.read().unwrap_err();
        let starts = [
            "--dir: found",
            "--dir: found",
            "--dir: \"/no/such\"",
            "--dir: found",
            "--env:",
            "--allow-http:",
            "--allow-socket:",
        ];
        for (line, start) in told.lines().zip(starts) {
            assert!(line.starts_with(start), "{start}: {told}");
        }
        assert_eq!(told.lines().count(), starts.len(), "{told}");
    }
}
