//! The peers of row h: what one would take instead, each as its own documentation starts it.
//!
//! All of them in one process, since that is what one compares: Python's and Node's servers are
//! multiplied by starting them several times, and so could be everything else. `bench/build.sh`
//! installs them into target/bench-tools; their sources are in `bench/peers`. Knows no measuring.

use super::program::Program;
use anyhow::{Context as _, bail};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Command;

/// A peer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Peer {
    /// The article's server: calls on an executor of 4 threads.
    TornadoFour,
    /// The same with a thread per core.
    TornadoCores,
    /// Synchronous endpoints on Starlette's thread pool, under uvicorn.
    Starlette,
    /// Node's http server before worker threads, one per core.
    Piscina,
    /// Cloudflare's runtime: one isolate on one thread.
    Workerd,
}

impl Peer {
    /// All of them.
    pub const ALL: [Self; 5] =
        [Self::TornadoFour, Self::TornadoCores, Self::Starlette, Self::Piscina, Self::Workerd];

    /// As it stands in the table.
    pub fn name(self) -> &'static str {
        match self {
            Self::TornadoFour => "Tornado, executor of 4 threads",
            Self::TornadoCores => "Tornado, a thread per core",
            Self::Starlette => "Starlette, uvicorn",
            Self::Piscina => "Node, piscina",
            Self::Workerd => "workerd",
        }
    }

    /// What it is, with its version.
    pub fn described(self) -> String {
        let python = |package| version_in("requirements.txt", package, "==", "");
        let npm = |package: &str| {
            version_in(&format!("{package}/package.json"), &format!("\"{package}\""), ": \"", "\"")
        };
        match self {
            Self::TornadoFour | Self::TornadoCores => {
                format!("Tornado {}: one process, calls on a ThreadPoolExecutor", python("tornado"))
            }
            Self::Starlette => format!(
                "Starlette {} under uvicorn {} (uvloop, httptools): one process, synchronous endpoints on its pool of 40 threads",
                python("starlette"),
                python("uvicorn"),
            ),
            Self::Piscina => format!(
                "piscina {}: one process, Node's http server, a worker thread per core",
                npm("piscina")
            ),
            Self::Workerd => format!("workerd {}: one isolate, which is one thread", npm("workerd")),
        }
    }

    /// Starts it, or says why it cannot be.
    pub fn start(self) -> anyhow::Result<Program> {
        Program::start(self.command()?, listening)
    }

    fn command(self) -> anyhow::Result<Command> {
        let tools = Path::new(env!("CARGO_MANIFEST_DIR")).join("../target/bench-tools");
        let python = |arguments: &[&str]| -> anyhow::Result<Command> {
            let mut command = Command::new(brought(tools.join("venv/bin/python"))?);
            command.current_dir(sources()).args(arguments);
            Ok(command)
        };
        match self {
            Self::TornadoFour => python(&["tornado_app.py", "4"]),
            Self::TornadoCores => {
                let cores = std::thread::available_parallelism().context("the number of cores")?;
                python(&["tornado_app.py", &cores.to_string()])
            }
            Self::Starlette => python(&["starlette_app.py"]),
            Self::Piscina => {
                brought(tools.join("piscina/node_modules/piscina"))?;
                let mut command = Command::new("node");
                command.arg(tools.join("piscina/server.js"));
                Ok(command)
            }
            Self::Workerd => {
                // The program itself, not npm's script around it, which would be what is watched.
                let folder = brought(tools.join("workerd/node_modules/@cloudflare"))?;
                let mut packages = folder.read_dir().context("reading workerd's packages")?;
                let Some(Ok(package)) = packages.next() else { bail!("no workerd for this machine") };
                let mut command = Command::new(brought(package.path().join("bin/workerd"))?);
                command.args(["serve", "--control-fd=1"]).arg(tools.join("workerd/config.capnp"));
                Ok(command)
            }
        }
    }
}

fn sources() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("peers")
}

fn brought(path: PathBuf) -> anyhow::Result<PathBuf> {
    if !path.exists() {
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        bail!("{name} is not in target/bench-tools; bench/build.sh brings it, or says why it cannot");
    }
    Ok(path)
}

/// `ready ADDRESS`, or what workerd says on its control channel.
fn listening(line: &str) -> Option<SocketAddr> {
    if let Some(address) = line.strip_prefix("ready ") {
        return address.trim().parse().ok();
    }
    let event: serde_json::Value = serde_json::from_str(line).ok()?;
    let port = event.get("port")?.as_u64()?;
    Some(SocketAddr::from(([127, 0, 0, 1], u16::try_from(port).ok()?)))
}

/// The version that a file of `bench/peers` pins.
fn version_in(file: &str, package: &str, before: &str, after: &str) -> String {
    let text = std::fs::read_to_string(sources().join(file)).unwrap_or_default();
    let start = format!("{package}{before}");
    let version = text.lines().find_map(|line| line.trim().strip_prefix(&start));
    version.map_or("of unknown version", |rest| rest.trim_end_matches(',').trim_end_matches(after)).to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_found_in_what_a_peer_says() {
        let expected = Some(SocketAddr::from(([127, 0, 0, 1], 39_285)));
        assert_eq!(listening("ready 127.0.0.1:39285"), expected);
        assert_eq!(listening(r#"{"event":"listen","socket":"http","port":39285}"#), expected);
        assert_eq!(listening("INFO: starting"), None);
    }

    #[test]
    fn the_versions_are_those_that_are_pinned() {
        for peer in Peer::ALL {
            let text = peer.described();
            assert!(text.chars().any(|character| character.is_ascii_digit()), "{text}");
            assert!(!text.contains("unknown"), "{text}");
        }
    }
}
