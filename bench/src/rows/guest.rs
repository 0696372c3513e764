//! Row f: one wasi:http 0.2 guest, under the gateway and under `wasmtime serve` in three settings.
//!
//! Throughput with 1 and 64 connections in a closed loop, the first byte of the answer at a fixed
//! rate, and a body that streams through the guest and back, beside a native handler.

use crate::children::contender::Contender;
use crate::children::{Mode, Server, foreign};
use crate::figure::Figure;
use crate::folder::{self, Folder};
use crate::load::connection::Connection;
use crate::load::{closed, open, stream};
use crate::scale::Scale;
use crate::table::{Bound, Table};
use anyhow::bail;
use std::time::Duration;

const CONNECTIONS: [usize; 2] = [1, 64];
const RATE: u32 = 500;
const WARM_UP: Duration = Duration::from_secs(1);
const ECHO_BYTES: u64 = 256 << 20;
const MIB: f64 = (1 << 20) as f64;

/// The least ratio to `wasmtime serve` at 64 connections, by its settings.
const TARGETS: [f64; 3] = [5.0, 3.0, 1.5];

/// The least part of the native echo's throughput.
const ECHO_TARGET: f64 = 0.5;

/// A contender and its rounds.
struct Entry {
    name: String,
    server: Server,
    target: &'static str,
    rates: [Figure; 2],
    cpu: [Figure; 2],
    p50: Figure,
    p99: Figure,
}

impl Entry {
    fn new(name: String, server: Server, target: &'static str) -> anyhow::Result<Self> {
        let (rates, cpu, p50, p99) = Default::default();
        let entry = Self { name, server, target, rates, cpu, p50, p99 };
        entry.check()?;
        Ok(entry)
    }

    fn check(&self) -> anyhow::Result<()> {
        let answer = Connection::open(self.server.address())?.ask(self.target)?;
        if answer.status != 200 || answer.body != b"hello\n" {
            let body = String::from_utf8_lossy(&answer.body);
            bail!("{}: {} {body:?}, not hello", self.name, answer.status);
        }
        Ok(())
    }

    fn closed(&self, connections: usize, time: Duration) -> anyhow::Result<closed::Turn> {
        closed::drive(self.server.address(), self.server.process(), self.target, connections, time)
    }

    fn first_byte(&mut self, time: Duration) -> anyhow::Result<()> {
        let seen = open::drive(&open::Plan {
            address: self.server.address(),
            target: self.target.to_owned(),
            expected: "hello",
            rate: RATE,
            time,
            offset: Duration::from_millis(5),
        })?;
        if seen.unanswered > 0 {
            bail!("{} left {} requests without an answer", self.name, seen.unanswered);
        }
        self.p50.push(seen.first_byte_at(0.5));
        self.p99.push(seen.first_byte_at(0.99));
        Ok(())
    }
}

/// Measures and judges.
pub fn run(scale: &Scale, table: &mut Table) -> anyhow::Result<()> {
    let folder = Folder::new()?;
    folder.guests()?;
    let gateway = Server::Ours(Contender::gateway(folder.path())?);
    let mut entries = vec![Entry::new("gateway".to_owned(), gateway, "/tasks/visit/hello")?];
    let mut targets = Vec::new();
    match foreign::find() {
        Ok((program, version)) => {
            table.note(format!("f: {version}"));
            for ((setting, flags), least) in foreign::SETTINGS.into_iter().zip(TARGETS) {
                let name = format!("wasmtime serve, {setting}");
                match foreign::start(&program, flags, &folder::guest("http-p2.wasm")) {
                    Ok(serve) => {
                        entries.push(Entry::new(name, Server::Theirs(serve), "/hello")?);
                        targets.push(least);
                        let flags = if flags.is_empty() { "none".to_owned() } else { flags.join(" ") };
                        table.note(format!("f: flags of `wasmtime serve`, {setting}: {flags}"));
                    }
                    Err(error) => {
                        table.line("f", "wasi:http 0.2 guest", &name, format!("missing: {error:#}"))
                    }
                }
            }
        }
        Err(error) => {
            table.line("f", "wasi:http 0.2 guest", "wasmtime serve", format!("missing: {error:#}"));
        }
    }
    for entry in &entries {
        entry.closed(64, WARM_UP)?;
    }
    for _ in 0..scale.guest_rounds {
        for (index, connections) in CONNECTIONS.into_iter().enumerate() {
            for entry in &mut entries {
                let turn = entry.closed(connections, scale.closed)?;
                if let (Some(rate), Some(cpu)) = (entry.rates.get_mut(index), entry.cpu.get_mut(index)) {
                    rate.push(turn.rate);
                    cpu.push(turn.cpu_us);
                }
            }
        }
        for entry in &mut entries {
            entry.first_byte(scale.open)?;
        }
    }
    for entry in &entries {
        entry.check()?;
    }
    judge(&entries, &targets, table);
    echo(scale, &entries, table)
}

fn judge(entries: &[Entry], targets: &[f64], table: &mut Table) {
    for (index, connections) in CONNECTIONS.into_iter().enumerate() {
        let what = match connections {
            1 => "wasi:http 0.2 guest, 1 connection".to_owned(),
            many => format!("wasi:http 0.2 guest, {many} connections"),
        };
        for entry in entries {
            if let (Some(rate), Some(cpu)) = (entry.rates.get(index), entry.cpu.get(index)) {
                let parts = [("throughput", rate, "/s"), ("CPU a call", cpu, "µs")];
                table.parts("f", &what, &entry.name, &parts);
            }
        }
    }
    let Some((ours, theirs)) = entries.split_first() else { return };
    let [_, our_rate] = &ours.rates;
    for (entry, least) in theirs.iter().zip(targets) {
        let [_, rate] = &entry.rates;
        let ratio = our_rate.with(rate, |ours, theirs| ours / theirs);
        let who = format!("gateway / {}", entry.name);
        table.ratio("f", "throughput, 64 connections", &who, &ratio, Bound::AtLeast(*least));
    }
    for entry in entries {
        let parts = [("p50", &entry.p50, "µs"), ("p99", &entry.p99, "µs")];
        table.parts("f", "first byte at 500/s, 1 connection", &entry.name, &parts);
    }
}

/// A body through the guest and back, beside the same through a native handler.
fn echo(scale: &Scale, entries: &[Entry], table: &mut Table) -> anyhow::Result<()> {
    let native = Contender::native(Mode::Inline)?;
    let mut contenders = vec![("native axum", native.address, "/echo", Figure::default())];
    for entry in entries {
        match &entry.server {
            Server::Ours(ours) => {
                contenders.push(("gateway", ours.address, "/tasks/visit/echo", Figure::default()));
            }
            Server::Theirs(_) if entry.name.ends_with("pagemap_scan") => {
                contenders.push((&entry.name, entry.server.address(), "/echo", Figure::default()));
            }
            Server::Theirs(_) => {}
        }
    }
    for _ in 0..scale.guest_rounds {
        for (name, address, target, rate) in &mut contenders {
            let echoed = stream::post(*address, target, ECHO_BYTES)?;
            if echoed.bytes != ECHO_BYTES {
                bail!("{name} gave {} of {ECHO_BYTES} bytes back", echoed.bytes);
            }
            rate.push(ECHO_BYTES as f64 / MIB / echoed.time.as_secs_f64());
        }
    }
    for (name, _, _, rate) in &contenders {
        table.parts("f", "echo of 256 MiB", name, &[("throughput", rate, "MiB/s")]);
    }
    if let [(_, _, _, native), (_, _, _, ours), ..] = contenders.as_slice() {
        let ratio = ours.with(native, |ours, native| ours / native);
        table.ratio("f", "echo of 256 MiB", "gateway / native", &ratio, Bound::AtLeast(ECHO_TARGET));
    }
    Ok(())
}
