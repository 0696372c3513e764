//! Row g: a command per request, which copies 1 KiB from its input to its output.
//!
//! No reference runs beside it: what others offer starts a process for each. Printed only.

use crate::children::contender::Contender;
use crate::figure::Figure;
use crate::folder::Folder;
use crate::load::{closed, stream};
use crate::scale::Scale;
use crate::table::Table;
use anyhow::{Context as _, bail};
use std::time::Duration;

const CONNECTIONS: [usize; 2] = [1, 64];
const TARGET: &str = "/tasks/command/cat";
const BYTES: u64 = 1024;
const WARM_UP: Duration = Duration::from_secs(1);

/// What wrk sends.
const SCRIPT: &str = "wrk.method = \"POST\"\nwrk.body = string.rep(\"x\", 1024)\n\
    wrk.headers[\"Content-Type\"] = \"text/plain\"\n";

/// Measures.
pub fn run(scale: &Scale, table: &mut Table) -> anyhow::Result<()> {
    let folder = Folder::new()?;
    folder.guests()?;
    let script = folder.path().join("post.lua");
    std::fs::write(&script, SCRIPT).context("writing wrk's script")?;
    let gateway = Contender::gateway(folder.path())?;
    check(&gateway)?;
    let turn = |connections, time| {
        closed::drive_with(gateway.address, gateway.process(), TARGET, connections, time, Some(&script))
    };
    turn(64, WARM_UP)?;
    for connections in CONNECTIONS {
        let (mut rate, mut cpu) = (Figure::default(), Figure::default());
        for _ in 0..scale.guest_rounds {
            let turn = turn(connections, scale.closed)?;
            rate.push(turn.rate);
            cpu.push(turn.cpu_us);
        }
        let plural = if connections == 1 { "" } else { "s" };
        let what = format!("command `cat` of 1 KiB, {connections} connection{plural}");
        table.parts("g", &what, "gateway", &[("throughput", &rate, "/s"), ("CPU a call", &cpu, "µs")]);
    }
    check(&gateway)
}

fn check(gateway: &Contender) -> anyhow::Result<()> {
    let echoed = stream::post(gateway.address, TARGET, BYTES).context("cat of 1 KiB")?;
    if echoed.bytes != BYTES {
        bail!("cat gave {} of {BYTES} bytes back", echoed.bytes);
    }
    Ok(())
}
