//! `bench`: measures the gateway beside native references, in one run on one machine.
//!
//! A row is a question of the kind "how fast is this, beside what one would use instead?". Each has
//! a file in `rows/`; who is measured runs in a process of its own (`children/`), all of them this
//! same binary, so that allocator and build are equal; the load comes from here (`load/`). Rounds
//! are interleaved (A B C A B C), what is shown is the median with the least and the most of the
//! rounds, and nothing is shown that was not measured in the same run.

mod children;
mod figure;
mod folder;
mod guard;
mod load;
mod machine;
mod proc;
mod report;
mod rows;
mod scale;
mod soak;
mod table;

use anyhow::Context as _;
use clap::{Parser, Subcommand};
use scale::Scale;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Instant;

/// From this many cores on a row tells what others took.
const STRANGERS_MAX: f64 = 0.2;

const ROWS: &str = "Rows:
  a  a trivial typed call over HTTP: throughput at 64 connections, latency at 1,000/s
  b  the same call and GET / while 0, 32 and 1,000 endless calls compute
  c  5,000 sleeping calls over HTTP, 10,000 in process
  d  from the client's hang-up to the end of its run
  e  idle CPU with 100 tasks loaded
  f  one wasi:http guest here and under `wasmtime serve`; a streamed echo
  g  a command per request: cat of 1 KiB
  h  the trivial call and 1 ms of CPU, beside Tornado, Starlette, piscina and workerd
  i  guests that compute beside the same code native: primes, password, thumbnail
  j  tasks in Python and JavaScript: a warm call, and from file to first answer
  k  start to ready with 1 and 1,000 modules; cp of a new component to its first answer
  l  what many tasks, parked calls and calls cost; a second worker
  m  a call without HTTP, before and after the work on its cost; a heap that grows
  n  1, 2, 5 and 10 times the calls that fit: what is still finished
  o  metrics, records and log lines on beside off; a scrape with 1,000 tasks
  p  the page's stream of events: 20 viewers, 1,000 tasks

Examples:
  bench                     everything, and the report in docs/
  bench quick               everything, up to 5 minutes
  bench quick b d           two rows
  bench full n o            two rows, added to the report in docs/ as measured later
  bench check               a quick run beside the recorded ratios; fails if one fell by more than 20 %
  bench soak 5              five minutes of everything at once, then a look at what is left
  bench charts              the charts of docs/ again, from its benchmarks.csv
  bench record              a quick run whose ratios become the record
  bench quick --report /tmp the report of another run, elsewhere";

#[derive(Parser)]
#[command(name = "bench", about = "Measures the gateway beside native references and its peers", after_help = ROWS)]
struct Cli {
    /// "quick", "full" (the default), "check" or "record"; and rows, no row means all.
    #[arg(value_name = "quick|full|check|record|ROW", value_parser = [
        "quick", "full", "check", "record", "a", "b", "c", "d", "e", "f", "g", "h", "i", "j", "k", "l", "m", "n", "o", "p",
    ])]
    words: Vec<String>,
    /// Write benchmarks.md, benchmarks.csv and charts/ into this folder; a full run of all rows
    /// does so into docs/.
    #[arg(long, value_name = "DIR")]
    report: Option<PathBuf>,
    #[command(subcommand)]
    other: Option<Other>,
}

#[derive(Subcommand)]
enum Other {
    /// Good, slow, hostile and vanishing clients for a while; fails if anything is left of them.
    Soak {
        /// For how long, in minutes.
        #[arg(default_value_t = 10.0)]
        minutes: f64,
        /// Draw the gateway's memory over that time.
        #[arg(long, value_name = "FILE")]
        chart: Option<PathBuf>,
    },
    /// Draws the charts in docs/ again, from docs/benchmarks.csv.
    Charts,
    /// What a measured process does; started by `bench` itself.
    #[command(subcommand, hide = true)]
    Child(children::Child),
}

fn main() -> ExitCode {
    let cli = Cli::parse();
    let ended = match cli.other {
        Some(Other::Child(child)) => children::run(child).map(|()| ExitCode::SUCCESS),
        Some(Other::Soak { minutes, chart }) => soak::run(minutes, chart.as_deref()),
        Some(Other::Charts) => report::redraw(&folder::root().join("docs")).map(|count| {
            eprintln!("bench: drew {count} charts");
            ExitCode::SUCCESS
        }),
        None => Request::of(&cli).carry_out(),
    };
    match ended {
        Ok(code) => code,
        Err(error) => {
            eprintln!("bench: {error:#}");
            ExitCode::FAILURE
        }
    }
}

/// What is asked for.
struct Request {
    quick: bool,
    check: bool,
    record: bool,
    again: bool,
    rows: Vec<&'static str>,
    report: Option<PathBuf>,
    command: String,
}

impl Request {
    fn of(cli: &Cli) -> Self {
        let asked = |word: &str| cli.words.iter().any(|other| other == word);
        let all = rows::ALL.iter().map(|(name, _)| *name);
        let some = all.clone().any(asked);
        let (check, record) = (asked("check"), asked("record"));
        let quick = asked("quick") || check || record;
        let whole = !quick && !some;
        Self {
            quick,
            check,
            record,
            again: some && asked("full"),
            rows: all.filter(|name| !some || asked(name)).collect(),
            report: cli.report.clone().or_else(|| whole.then(|| folder::root().join("docs"))),
            command: format!("just bench {}", cli.words.join(" ")).trim_end().to_owned(),
        }
    }

    fn carry_out(&self) -> anyhow::Result<ExitCode> {
        machine::raise_open_files()?;
        let table = self.measure(&self.rows)?;
        let text = table.render();
        use std::io::Write as _;
        std::io::stdout().write_all(text.as_bytes()).context("writing the table")?;
        if let Some(folder) = &self.report {
            report::write(folder, &table, &self.command)?;
            eprintln!("bench: the report is in {}", folder.display());
        }
        if self.again {
            report::again(&folder::root().join("docs"), &table, &self.rows, &self.command)?;
        }
        if self.record {
            let count = guard::record(&guard::path(), table.samples())?;
            eprintln!("bench: recorded {count} ratios in {}", guard::path().display());
        }
        if self.check { self.check(table) } else { Ok(ExitCode::SUCCESS) }
    }

    fn measure(&self, rows: &[&str]) -> anyhow::Result<table::Table> {
        let scale = if self.quick { Scale::quick() } else { Scale::full() };
        let mut table = table::Table::new(machine::describe(self.quick));
        let run = machine::Strangers::watch();
        for (name, row) in rows::ALL.iter().filter(|(name, _)| rows.contains(name)) {
            let strangers = machine::Strangers::watch();
            let start = Instant::now();
            row(&scale, &mut table).with_context(|| format!("row {name}"))?;
            eprintln!("bench: row {name} took {:.0} s", start.elapsed().as_secs_f64());
            let cores = strangers.cores();
            if cores > STRANGERS_MAX {
                table.note(format!("{name}: others took {cores:.2} cores while this row was measured"));
            }
        }
        table.note(format!("other processes and the host took {:.2} cores during this run", run.cores()));
        table.note(machine::load());
        Ok(table)
    }

    /// Compares with the record. Rows with a fall are measured once more, and count if they fall
    /// again: on a machine that others use, one turn in twenty is a bad one.
    fn check(&self, mut table: table::Table) -> anyhow::Result<ExitCode> {
        let record = guard::path();
        let mut compared = guard::compare(&record, table.samples(), &self.rows)?;
        if !compared.fallen.is_empty() {
            eprintln!("bench: a second look at row {}", compared.fallen.join(", "));
            let again: Vec<&str> = compared.fallen.iter().map(String::as_str).collect();
            table.replace(self.measure(&again)?);
            compared = guard::compare(&record, table.samples(), &self.rows)?;
        }
        for line in &compared.told {
            eprintln!("bench: {line}");
        }
        if compared.fallen.is_empty() {
            return Ok(ExitCode::SUCCESS);
        }
        eprintln!(
            "bench: ratios fell by more than 20 % in row {}; find out why, or `just bench record` if it is meant",
            compared.fallen.join(", ")
        );
        Ok(ExitCode::FAILURE)
    }
}
