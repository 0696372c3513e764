//! A task's grants as the host takes them, and what a run was refused as texts that say what to grant.
//!
//! WASI tells a guest no more than an error code, and the guest passes on even less; so what the host
//! knows of a refusal goes beside the error of a run that failed. Knows no manifest but its words.

use crate::grants::{self, Grants};
use std::sync::Arc;
use unblock_host::Refusal;

/// The grants of a task's version, shared by its runs.
#[derive(Clone, Debug, Default)]
pub struct Granted(pub(super) Arc<unblock_host::Grants>);

impl From<&Grants> for Granted {
    fn from(grants: &Grants) -> Self {
        let targets = |targets: &[grants::Target]| targets.iter().map(target).collect();
        Self(Arc::new(unblock_host::Grants {
            env: grants.env.iter().map(|(name, value)| (name.clone(), value.clone())).collect(),
            dirs: grants
                .dirs
                .iter()
                .map(|dir| unblock_host::Dir {
                    host: dir.host.clone(),
                    guest: dir.guest.clone(),
                    write: dir.write,
                })
                .collect(),
            http: targets(&grants.http),
            sockets: targets(&grants.sockets),
        }))
    }
}

fn target(target: &grants::Target) -> unblock_host::Target {
    let peer = match &target.peer {
        grants::Peer::Name(name) => unblock_host::Peer::Name(name.clone()),
        grants::Peer::Below(name) => unblock_host::Peer::Below(name.clone()),
        grants::Peer::AnyName => unblock_host::Peer::AnyName,
        grants::Peer::Address(address) => unblock_host::Peer::Address(*address),
    };
    unblock_host::Target { peer, port: target.port }
}

/// Where grants are written.
const WHERE: &str = "under [grants] in the task's manifest";

/// What to grant, for each thing a run was refused.
#[must_use]
pub fn hints(refusals: &[Refusal]) -> Vec<String> {
    refusals.iter().map(hint).collect()
}

fn hint(refusal: &Refusal) -> String {
    match refusal {
        Refusal::Http { host, port, default_port } => {
            let wanted = if *default_port { host.clone() } else { format!("{host}:{port}") };
            format!(
                "an HTTP request to {host}:{port} was refused; to allow it, add {wanted:?} to http {WHERE}"
            )
        }
        Refusal::PrivateAddress { host, address, http } => {
            let list = if *http { "http" } else { "sockets" };
            format!(
                "{host:?} is granted, but {} is not an address of the public internet, which must be granted \
                 by itself; to allow it, add {:?} to {list} {WHERE}",
                address.ip(),
                address.to_string()
            )
        }
        Refusal::Socket(address) => format!(
            "a socket to {address} was refused; to allow it, add {:?} to sockets {WHERE}",
            address.to_string()
        ),
        Refusal::NoSocket => format!(
            "it made a socket, and none are granted; to allow one, add \"HOST:PORT\" to sockets {WHERE}"
        ),
        Refusal::Listen => "it tried to listen on a socket, which no task may".to_owned(),
        Refusal::Lookup(name) => format!(
            "the look-up of {name:?} was refused; to allow it, add {:?} to sockets {WHERE}, with the port it needs",
            format!("{name}:PORT")
        ),
        Refusal::NoDirectory => format!(
            "it asked for its directories and has none; if it needs files, add {{ host = \"data\", guest = \"/data\" }} \
             to dirs {WHERE}"
        ),
        Refusal::ReadOnly(path) => format!(
            "opening {path:?} for writing was refused, since its directory is granted for reading; to allow it, set \
             write = true at that directory of dirs {WHERE}"
        ),
        Refusal::SpecialFile(path) => format!(
            "opening {path:?} was refused: it is neither a file nor a directory, and could block for ever"
        ),
    }
}
