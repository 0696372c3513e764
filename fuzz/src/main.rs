//! `fuzz TARGET SECONDS`: one target for so long; `fuzz TARGET FILE`: one input, to see a finding again.
//!
//! Built with the wrapper `instrument` it is led by coverage; `just fuzz` does so. Says what it did; a finding ends
//! it with an error.

use anyhow::Context as _;
use std::time::Duration;
use unblock_fuzz::{driver, targets};

fn main() -> anyhow::Result<()> {
    let mut words = std::env::args().skip(1);
    let names: Vec<&str> = targets::ALL.iter().map(|target| target.name).collect();
    let usage = || format!("usage: fuzz TARGET SECONDS|FILE, with a target of {names:?}");
    let name = words.next().with_context(usage)?;
    let target = targets::ALL.iter().find(|target| target.name == name).with_context(usage)?;
    let what = words.next().with_context(usage)?;
    driver::watch();
    let Ok(seconds) = what.parse::<u64>() else {
        let input = std::fs::read(&what).with_context(|| format!("reading {what}; {}", usage()))?;
        (target.feed)(&input);
        eprintln!("fuzz: {what} is no finding");
        return Ok(());
    };
    let seed = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH)?.as_secs();
    let done = driver::run(target, Duration::from_secs(seconds), seed, true)?;
    eprintln!(
        "fuzz: {name}: {} executions in {seconds} s, {} inputs, {} of {} edges, no finding",
        done.executions, done.inputs, done.edges.0, done.edges.1
    );
    Ok(())
}
