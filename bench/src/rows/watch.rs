//! Row p: what the page's stream of events costs the gateway, with 20 viewers and 1,000 tasks.
//!
//! User and system time of the whole process, once while nobody calls and once while calls of one task
//! end all the time; beside the same without viewers. The viewers read as browsers do, and each must have
//! got its ticks.

use crate::children::contender::Contender;
use crate::figure::Figure;
use crate::folder::Folder;
use crate::load::connection::{Connection, get};
use crate::scale::Scale;
use crate::table::{Bound, Table};
use anyhow::{Context as _, bail};
use std::io::{Read as _, Write as _};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

const TASKS: usize = 1_000;
const VIEWERS: usize = 20;

/// Calls per second while some are made: each changes what a tick says.
const CALLS_PER_SECOND: u32 = 20;

/// Time for the work of the start to end.
const SETTLING: Duration = Duration::from_secs(2);

/// Bytes that are read at a time.
const PIECE: usize = 64 << 10;

/// Ticks per second, with some left out.
const TICKS_PER_SECOND_MIN: f64 = 1.5;

/// Measures and judges.
pub fn run(scale: &Scale, table: &mut Table) -> anyhow::Result<()> {
    let folder = Folder::new()?;
    folder.fill(TASKS)?;
    let gateway = Contender::gateway(folder.path())?;
    std::thread::sleep(SETTLING);
    let quiet = used(&gateway, scale.idle, false)?;
    let called = used(&gateway, scale.idle, true)?;
    let viewers: Vec<Viewer> =
        (0..VIEWERS).map(|_| Viewer::open(gateway.address)).collect::<anyhow::Result<_>>()?;
    let begun = Instant::now();
    let watched = used(&gateway, scale.idle, false)?;
    let both = used(&gateway, scale.idle, true)?;
    let ticks_min = (begun.elapsed().as_secs_f64() * TICKS_PER_SECOND_MIN) as usize;
    for viewer in viewers {
        let ticks = viewer.close()?;
        if ticks < ticks_min {
            bail!("a viewer got {ticks} ticks, expected {ticks_min} or more");
        }
    }
    let what = format!("CPU of one core, {TASKS} tasks");
    for (who, without, with) in [("nobody calls", &quiet, &watched), ("20 calls per second", &called, &both)]
    {
        table.parts("p", &what, &format!("{who}, no viewer"), &[("CPU", without, "%")]);
        table.parts("p", &what, &format!("{who}, {VIEWERS} viewers"), &[("CPU", with, "%")]);
        let more = with.with(without, |with, without| (with - without).max(0.0));
        let who = format!("{who}: what {VIEWERS} viewers add");
        table.judged("p", &what, &who, ("CPU", &more, "%"), Bound::AtMost(2.0));
    }
    Ok(())
}

/// The part of a core that the gateway takes, in percent.
fn used(gateway: &Contender, time: Duration, calls: bool) -> anyhow::Result<Figure> {
    let mut connection = Connection::open(gateway.address)?;
    let request = get("/tasks/add/add?a=1&b=2");
    let (start, before) = (Instant::now(), gateway.process().cpu()?);
    let pause = Duration::from_secs(1) / CALLS_PER_SECOND;
    while start.elapsed() < time {
        if calls {
            let answer = connection.ask_with(&request)?;
            if answer.status != 200 {
                bail!("a call was answered with {}", answer.status);
            }
        }
        std::thread::sleep(pause);
    }
    let cpu = gateway.process().cpu()?.saturating_sub(before);
    Ok(Figure::of(cpu.as_secs_f64() / start.elapsed().as_secs_f64() * 100.0))
}

/// One who reads the stream of events.
struct Viewer {
    stream: TcpStream,
    reader: JoinHandle<usize>,
}

impl Viewer {
    fn open(address: SocketAddr) -> anyhow::Result<Self> {
        let mut stream = TcpStream::connect(address).context("connecting to a contender")?;
        stream.write_all(&get("/events"))?;
        let mut input = stream.try_clone().context("a second handle of a socket")?;
        let reader = std::thread::spawn(move || {
            let (mut ticks, mut piece) = (0, vec![0; PIECE]);
            // A name that is cut in two by the end of a piece is one tick less: there is room for that.
            while let Ok(read) = input.read(&mut piece)
                && read > 0
            {
                let name = b"event: tick";
                ticks += piece
                    .get(..read)
                    .unwrap_or_default()
                    .windows(name.len())
                    .filter(|at| at.starts_with(name))
                    .count();
            }
            ticks
        });
        Ok(Self { stream, reader })
    }

    /// Leaves; the ticks it has got.
    fn close(self) -> anyhow::Result<usize> {
        self.stream.shutdown(Shutdown::Both)?;
        self.reader.join().map_err(|_| anyhow::anyhow!("a reading thread panicked"))
    }
}
