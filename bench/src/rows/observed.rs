//! Row o: what it costs that calls are seen: metrics, records and log lines on beside all of them off, and a scrape
//! with 1,000 tasks that were all called.
//!
//! Log lines go where they cost least, to nowhere: what a disk or a pipe takes is not the gateway's. A
//! scrape is timed from the question to the last byte, in the form that Prometheus asks for, not compressed:
//! so is a long one anyway.

use super::start::MODULES;
use crate::children::contender::Contender;
use crate::children::has_flag;
use crate::figure::Figure;
use crate::folder::Folder;
use crate::load::closed;
use crate::load::connection::Connection;
use crate::scale::Scale;
use crate::table::{Bound, Table};
use anyhow::{Context as _, bail};
use std::time::{Duration, Instant};

const CONNECTIONS: usize = 64;
const ADD: &str = "/tasks/add/add?a=1&b=2";
const WARM_UP: Duration = Duration::from_secs(1);

/// What of the throughput is to be left with everything on.
const KEPT_LEAST: f64 = 0.95;

/// How long a scrape may take, in ms.
const SCRAPE_MS_MAX: f64 = 20.0;

/// Tasks beside `add`, a thousand together: what [`Folder::fill`] makes.
const FILLERS: std::ops::Range<usize> = 4..MODULES + 3;

/// Scrapes of a round.
const SCRAPES: usize = 20;

/// As a start without a word about it logs.
const LOGGING: [&str; 2] = ["--log", "warn,gateway=info,wasmtime_wasi=error"];

/// What is seen of calls, off. A gateway that has no such flag has nothing to turn off.
const OFF: [(&str, &str); 3] = [("metrics", "off"), ("records", "0"), ("log-calls", "off")];

/// Measures and judges.
pub fn run(scale: &Scale, table: &mut Table) -> anyhow::Result<()> {
    on_and_off(scale, table).context("on and off")?;
    scrapes(scale, table).context("scrapes")
}

fn on_and_off(scale: &Scale, table: &mut Table) -> anyhow::Result<()> {
    let folder = Folder::one()?;
    let mut off: Vec<String> = Vec::new();
    for (flag, value) in OFF.into_iter().filter(|(flag, _)| has_flag(flag)) {
        off.extend([format!("--{flag}"), value.to_owned()]);
    }
    let off: Vec<&str> = off.iter().map(String::as_str).collect();
    let contenders = [
        ("gateway, everything off", Contender::gateway_with(folder.path(), &off)?),
        ("gateway, metrics, records and log on", Contender::gateway_logging(folder.path(), &LOGGING)?),
    ];
    let turn = |contender: &Contender, time| {
        closed::drive(contender.address, contender.process(), ADD, CONNECTIONS, time)
    };
    for (name, contender) in &contenders {
        let answer = Connection::open(contender.address)?.ask(ADD)?;
        if answer.status != 200 || answer.body != b"3" {
            bail!("{name}: {} {:?}, not 3", answer.status, String::from_utf8_lossy(&answer.body));
        }
        turn(contender, WARM_UP)?;
    }
    let (mut rates, mut costs): ([Figure; 2], [Figure; 2]) = Default::default();
    for _ in 0..scale.rounds {
        for ((_, contender), (rate, cpu)) in contenders.iter().zip(rates.iter_mut().zip(&mut costs)) {
            let turn = turn(contender, scale.closed)?;
            rate.push(turn.rate);
            cpu.push(turn.cpu_us);
        }
    }
    for ((name, _), (rate, cpu)) in contenders.iter().zip(rates.iter().zip(&costs)) {
        let parts = [("throughput", rate, "/s"), ("CPU a call", cpu, "µs")];
        table.parts("o", "trivial call, 64 connections", name, &parts);
    }
    let [without, with] = &rates;
    let kept = with.with(without, |with, without| with / without);
    table.ratio("o", "throughput, 64 connections", "everything on / off", &kept, Bound::AtLeast(KEPT_LEAST));
    Ok(())
}

fn scrapes(scale: &Scale, table: &mut Table) -> anyhow::Result<()> {
    let folder = Folder::one()?;
    folder.fill(FILLERS.end)?;
    let gateway = Contender::gateway(folder.path())?;
    let mut connection = Connection::open(gateway.address)?;
    let scrape = b"GET /metrics HTTP/1.1\r\nHost: localhost\r\nAccept: application/openmetrics-text\r\n\r\n";
    let timed = |connection: &mut Connection| {
        let (mut time_ms, mut size_kib) = (Figure::default(), 0.0);
        for _ in 0..scale.rounds * SCRAPES {
            let start = Instant::now();
            let answer = connection.ask_with(scrape)?;
            time_ms.push(start.elapsed().as_secs_f64() * 1e3);
            if answer.status != 200 {
                bail!("/metrics answers {}", answer.status);
            }
            size_kib = answer.body.len() as f64 / 1024.0;
        }
        Ok((time_ms, Figure::of(size_kib)))
    };
    let (idle_ms, idle_kib) = timed(&mut connection)?;
    for index in FILLERS {
        let target = format!("/tasks/filler-{index}/get");
        if connection.ask(&target)?.status != 200 {
            bail!("{target} does not answer");
        }
    }
    let (called_ms, called_kib) = timed(&mut connection)?;
    for (what, time_ms, kib) in [
        ("a scrape with 1,000 tasks that were never called", &idle_ms, &idle_kib),
        ("a scrape with 1,000 tasks that were all called", &called_ms, &called_kib),
    ] {
        table.parts("o", what, "gateway", &[("text", kib, "KiB")]);
        table.judged("o", what, "gateway", ("time", time_ms, "ms"), Bound::AtMost(SCRAPE_MS_MAX));
    }
    Ok(())
}
