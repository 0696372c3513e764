//! Row h: what one would take instead. The trivial call, and 1 ms of computing, beside peers.
//!
//! Round by round with native handlers and the gateway. A peer that is not there is a line that says
//! so. Every answer is checked before and after.

use crate::children::contender::Contender;
use crate::children::peers::Peer;
use crate::children::{Mode, Server, mix};
use crate::figure::Figure;
use crate::folder::Folder;
use crate::load::closed;
use crate::load::connection::Connection;
use crate::scale::Scale;
use crate::table::{Bound, Table};
use anyhow::{Context as _, bail};
use std::time::Duration;

const CONNECTIONS: usize = 64;
const WARM_UP: Duration = Duration::from_secs(1);

/// Connections that compute: a few per core, since a peer takes 80 ms for what native code does in 1.
const COMPUTING: usize = 4;

/// Steps that take native code about 1 ms.
const STEPS: u32 = 500_000;

const TRIVIAL: &str = "trivial call, 64 connections";
const COMPUTE: &str = "1 ms of native CPU, 4 connections";

/// A contender and its rounds.
struct Entry {
    name: &'static str,
    server: Server,
    /// The trivial call.
    add: &'static str,
    /// The computing one, if it has that.
    mix: Option<String>,
    rate: Figure,
    cpu: Figure,
    computed: Figure,
}

impl Entry {
    fn new(name: &'static str, server: Server, add: &'static str, mix: Option<&str>) -> anyhow::Result<Self> {
        let (rate, cpu, computed) = Default::default();
        let mix = mix.map(|path| format!("{path}?n={STEPS}"));
        let entry = Self { name, server, add, mix, rate, cpu, computed };
        entry.check().with_context(|| format!("the answers of {name}"))?;
        Ok(entry)
    }

    fn check(&self) -> anyhow::Result<()> {
        let mut connection = Connection::open(self.server.address())?;
        let answer = connection.ask(self.add)?;
        if answer.status != 200 || answer.body != b"3" {
            bail!("{} {:?} to 1 + 2, not 3", answer.status, String::from_utf8_lossy(&answer.body));
        }
        let answer = connection.ask("/")?;
        if answer.status != 200 || !answer.body.starts_with(b"Hello, world ") {
            bail!("{} {:?} to GET /", answer.status, String::from_utf8_lossy(&answer.body));
        }
        let Some(target) = &self.mix else { return Ok(()) };
        let answer = connection.ask(target)?;
        // A plain module's result is signed.
        let found = std::str::from_utf8(&answer.body).ok().and_then(|text| text.parse::<i64>().ok());
        if answer.status != 200 || found.map(|number| number as u32) != Some(mix(STEPS)) {
            bail!("{} {:?} to {target}", answer.status, String::from_utf8_lossy(&answer.body));
        }
        Ok(())
    }

    fn closed(&self, target: &str, connections: usize, time: Duration) -> anyhow::Result<closed::Turn> {
        let (address, process) = (self.server.address(), self.server.process());
        closed::drive(address, process, target, connections, time).with_context(|| self.name)
    }
}

/// Measures and judges.
pub fn run(scale: &Scale, table: &mut Table) -> anyhow::Result<()> {
    let folder = Folder::new()?;
    folder.mix()?;
    let mut entries = ours(&folder)?;
    let mut peers = Vec::new();
    for peer in Peer::ALL {
        // What one that runs answers wrongly is an error, not a missing peer.
        match peer.start() {
            Ok(program) => {
                let entry = Entry::new(peer.name(), Server::Theirs(program), "/add?a=1&b=2", Some("/mix"))?;
                entries.push(entry);
                peers.push(peer);
                table.note(format!("h: {}", peer.described()));
            }
            Err(error) => table.line("h", TRIVIAL, peer.name(), format!("missing: {error:#}")),
        }
    }
    // What is compiled while it runs needs it; the others are warm after their checks.
    for entry in entries.iter().filter(|entry| matches!(entry.server, Server::Theirs(_))) {
        entry.closed(entry.add, CONNECTIONS, WARM_UP)?;
    }
    for round in 0..scale.peer_rounds {
        for entry in &mut entries {
            let turn = entry.closed(entry.add, CONNECTIONS, scale.closed)?;
            entry.rate.push(turn.rate);
            entry.cpu.push(turn.cpu_us);
        }
        if round >= scale.peer_compute_rounds {
            continue;
        }
        for entry in &mut entries {
            let Some(target) = &entry.mix else { continue };
            let turn = entry.closed(target, COMPUTING, scale.closed)?;
            entry.computed.push(turn.rate);
        }
    }
    for entry in &entries {
        entry.check().with_context(|| format!("the answers of {}", entry.name))?;
    }
    judge(&entries, &peers, table);
    Ok(())
}

/// Native handlers and the gateway; the WAT module is the third.
fn ours(folder: &Folder) -> anyhow::Result<Vec<Entry>> {
    let native = |mode| anyhow::Ok(Server::Ours(Contender::native(mode)?));
    let gateway = || anyhow::Ok(Server::Ours(Contender::gateway(folder.path())?));
    let (add, mix) = ("/add?a=1&b=2", Some("/mix"));
    Ok(vec![
        Entry::new("native axum, inline", native(Mode::Inline)?, add, mix)?,
        Entry::new("native axum, spawn_blocking", native(Mode::Blocking)?, add, mix)?,
        Entry::new("gateway, WAT module", gateway()?, "/tasks/add/add?a=1&b=2", Some("/tasks/mix/mix"))?,
        Entry::new("gateway, Rust component", gateway()?, "/tasks/add-std/add?a=1&b=2", None)?,
    ])
}

/// What the gateway's throughput is to be, in that of the peer.
fn least(peer: Peer) -> Option<f64> {
    match peer {
        Peer::TornadoFour => Some(15.0),
        Peer::TornadoCores => None,
        Peer::Starlette => Some(8.0),
        Peer::Piscina => Some(3.0),
        Peer::Workerd => Some(1.5),
    }
}

fn judge(entries: &[Entry], peers: &[Peer], table: &mut Table) {
    for entry in entries {
        let parts = [("throughput", &entry.rate, "/s"), ("CPU a call", &entry.cpu, "µs")];
        table.parts("h", TRIVIAL, entry.name, &parts);
    }
    let Some(wat) = entries.iter().find(|entry| entry.name == "gateway, WAT module") else { return };
    for peer in peers {
        let Some(entry) = entries.iter().find(|entry| entry.name == peer.name()) else { continue };
        let ratio = wat.rate.with(&entry.rate, |ours, theirs| ours / theirs);
        let who = format!("{} / {}", wat.name, entry.name);
        match least(*peer) {
            Some(least) => {
                table.ratio("h", "throughput, 64 connections", &who, &ratio, Bound::AtLeast(least))
            }
            None => table.parts("h", "throughput, 64 connections", &who, &[("throughput", &ratio, "")]),
        }
    }
    for entry in entries.iter().filter(|entry| entry.mix.is_some()) {
        table.parts("h", COMPUTE, entry.name, &[("throughput", &entry.computed, "/s")]);
    }
    table.note(format!(
        "h: 1 ms of native CPU is {STEPS} steps of a xorshift generator, in each contender's language"
    ));
}
