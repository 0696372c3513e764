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
mod load;
mod machine;
mod proc;
mod rows;
mod scale;
mod table;

use anyhow::Context as _;
use clap::{Parser, Subcommand};
use scale::Scale;
use std::path::PathBuf;
use std::process::ExitCode;

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

Examples:
  bench                     everything, up to 16 minutes
  bench quick               everything, up to 4 minutes
  bench quick b d           two rows
  bench --write table.md    leave the table in a file, too";

#[derive(Parser)]
#[command(name = "bench", about = "Measures the gateway beside native references", after_help = ROWS)]
struct Cli {
    /// "quick", "full" (the default), and rows; no row means all.
    #[arg(value_name = "quick|full|ROW", value_parser = ["quick", "full", "a", "b", "c", "d", "e", "f", "g", "h", "i", "j", "k", "l"])]
    words: Vec<String>,
    /// Write the table to this file, too, as Markdown.
    #[arg(long, value_name = "PATH")]
    write: Option<PathBuf>,
    #[command(subcommand)]
    child: Option<Hidden>,
}

#[derive(Subcommand)]
enum Hidden {
    /// What a measured process does; started by `bench` itself.
    #[command(subcommand, hide = true)]
    Child(children::Child),
}

fn main() -> ExitCode {
    let cli = Cli::parse();
    let ended = match cli.child {
        Some(Hidden::Child(child)) => children::run(child),
        None => measure(&cli),
    };
    match ended {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("bench: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn measure(cli: &Cli) -> anyhow::Result<()> {
    machine::raise_open_files()?;
    let quick = cli.words.iter().any(|word| word == "quick");
    let scale = if quick { Scale::quick() } else { Scale::full() };
    let asked: Vec<&str> = cli.words.iter().map(String::as_str).filter(|word| word.len() == 1).collect();
    let strangers = machine::Strangers::watch();
    let mut table = table::Table::new(machine::describe(quick));
    for (name, row) in rows::ALL {
        if asked.is_empty() || asked.contains(name) {
            eprintln!("bench: row {name} …");
            row(&scale, &mut table).with_context(|| format!("row {name}"))?;
        }
    }
    table.note(strangers.told());
    table.note(machine::load());
    let text = table.render();
    use std::io::Write as _;
    std::io::stdout().write_all(text.as_bytes()).context("writing the table")?;
    if let Some(path) = &cli.write {
        std::fs::write(path, &text).with_context(|| format!("writing {}", path.display()))?;
    }
    Ok(())
}
