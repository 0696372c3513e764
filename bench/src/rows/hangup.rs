//! Row d: how soon a run ends when its client is gone.
//!
//! What the time includes is said in `children/hangups.rs`. The reference, a closure on
//! `spawn_blocking`, ends when it ends: its loop takes a second, whoever waits for it.

use crate::children::contender::{self, Contender};
use crate::children::{Kind, Mode};
use crate::figure::{Figure, number};
use crate::folder::Folder;
use crate::load::connection::{Connection, get};
use crate::scale::Scale;
use crate::table::Table;
use anyhow::{Context as _, bail};
use std::time::{Duration, Instant};

const LIMIT_US: f64 = 10_000.0;

/// Hang-ups on the native reference.
const NATIVE_SAMPLES: usize = 3;

/// Measures and judges.
pub fn run(scale: &Scale, table: &mut Table) -> anyhow::Result<()> {
    table.line("d", "hang-up to end, in a loop of 1 s", "native axum, spawn_blocking", native()?.show("ms"));
    let folder = Folder::new()?;
    let kinds = [
        (Kind::Loop, "hang-up to end, in a tight loop"),
        (Kind::Sleep, "hang-up to end, in a sleep"),
        (Kind::Queued, "hang-up to end, queued among 1,000 loops"),
    ];
    for (kind, what) in kinds {
        let told = contender::hangups(folder.path(), kind, scale.hangups)?;
        let mut times: Vec<f64> = serde_json::from_value(told).context("an incomplete result")?;
        times.sort_by(f64::total_cmp);
        let at = |quantile: f64| {
            // The least value that so many of the samples do not exceed.
            let index = (times.len() as f64 * quantile).ceil() as usize;
            times.get(index.saturating_sub(1)).copied().unwrap_or(f64::NAN)
        };
        let (p50, p99, most) = (at(0.5), at(0.99), at(1.0));
        let figure = format!(
            "p50 {} µs, p99 {} µs, most {} µs of {}",
            number(p50),
            number(p99),
            number(most),
            times.len()
        );
        table.target("d", what, "gateway", figure, "p99 ≤ 10 ms", p99 <= LIMIT_US);
    }
    table.note("Row d: from just before the client closes its socket until the run's instance is freed and its permit is back.");
    Ok(())
}

fn native() -> anyhow::Result<Figure> {
    let mut contender = Contender::native(Mode::Blocking)?;
    let mut figure = Figure::default();
    for _ in 0..NATIVE_SAMPLES {
        let mut connection = Connection::open(contender.address)?;
        connection.send(&get("/loop?seconds=1"))?;
        if !contender.reaches("running", 1, Duration::from_secs(5))? {
            bail!("the native loop does not start");
        }
        let start = Instant::now();
        drop(connection);
        if !contender.reaches("running", 0, Duration::from_secs(30))? {
            bail!("the native loop does not end");
        }
        figure.push(start.elapsed().as_secs_f64() * 1e3);
    }
    Ok(figure)
}
