//! Row e: what a gateway with 100 tasks costs while nobody calls.
//!
//! User and system time of the whole process, beside a native server that idles at the same time.

use crate::children::Mode;
use crate::children::contender::Contender;
use crate::figure::Figure;
use crate::folder::Folder;
use crate::load::connection::Connection;
use crate::scale::Scale;
use crate::table::{Bound, Table};
use anyhow::bail;
use std::time::{Duration, Instant};

const TASKS: usize = 100;

/// Time for the work of the start to end: compiled code is written to the cache, for example.
const SETTLING: Duration = Duration::from_secs(2);

/// Measures and judges.
pub fn run(scale: &Scale, table: &mut Table) -> anyhow::Result<()> {
    let folder = Folder::new()?;
    folder.fill(TASKS)?;
    let gateway = Contender::gateway(folder.path())?;
    let native = Contender::native(Mode::Inline)?;
    let last = format!("/tasks/filler-{}/get", TASKS - 1);
    let answer = Connection::open(gateway.address)?.ask(&last)?;
    if answer.body != (TASKS - 1).to_string().as_bytes() {
        bail!("the last task is not loaded: {} {}", answer.status, String::from_utf8_lossy(&answer.body));
    }
    std::thread::sleep(SETTLING);
    let start = Instant::now();
    let before = [native.process().cpu()?, gateway.process().cpu()?];
    std::thread::sleep(scale.idle);
    let time = start.elapsed();
    let after = [native.process().cpu()?, gateway.process().cpu()?];
    let percent = |before: Duration, after: Duration| {
        Figure::of(after.saturating_sub(before).as_secs_f64() / time.as_secs_f64() * 100.0)
    };
    let ([native_before, our_before], [native_after, our_after]) = (before, after);
    let (native, ours) = (percent(native_before, native_after), percent(our_before, our_after));
    let what = format!("idle CPU over {} s, of one core", scale.idle.as_secs());
    table.parts("e", &what, "native axum", &[("CPU", &native, "%")]);
    table.judged("e", &what, "gateway, 100 tasks", ("CPU", &ours, "%"), Bound::AtMost(0.5));
    Ok(())
}
