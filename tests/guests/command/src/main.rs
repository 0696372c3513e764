//! Test guest: a command whose behaviour is its first argument, for WASI 0.2 and for preview 1.
//!
//! What it writes for people goes to standard error; standard output is the answer. Where a number
//! is an argument, it has a small default.

use std::io::{BufRead as _, ErrorKind, Read as _, Result, Write as _};
use std::process::ExitCode;
use std::time::Duration;

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let argument = |at: usize| arguments.get(at).map(String::as_str);
    let number = |at: usize, default: u64| argument(at).and_then(|text| text.parse().ok()).unwrap_or(default);
    let done = match argument(0).unwrap_or("cat") {
        "cat" => cat(),
        "upper" => upper(),
        "count" => count(),
        "args" => args(&arguments),
        "env" => env(),
        "exit" => return exit(number(1, 1), arguments.get(2..).unwrap_or_default()),
        "late" => return late(number(1, 1), number(2, 100_000)),
        "panic" => fail("as asked"),
        "abort" => std::process::abort(),
        "empty" => Ok(()),
        "binary" => binary(),
        "source" => source(number(1, 1024)),
        "flood" => flood(),
        "drip" => drip(number(1, 1_000_000)),
        "stderr" => complain(number(1, 3)),
        "stderr-flood" => complain(u64::MAX),
        "ignore" => say("ignored\n"),
        "taste" => taste(),
        "line" => line(),
        "sleep" => sleep(number(1, 300)),
        "ticks" => ticks(number(1, 3), number(2, 100)),
        "loop" => spin(),
        "hungry" => hungry(),
        "read" => read(argument(1).unwrap_or("/data/file")),
        "write" => write(argument(1).unwrap_or("/data/file"), argument(2).unwrap_or("written")),
        "snatch" => snatch(argument(1).unwrap_or("/data/file"), number(2, 1000)),
        "list" => list(argument(1).unwrap_or("/")),
        "hoard" => hoard(argument(1).unwrap_or("/data/file"), number(2, 1000)),
        other => {
            eprintln!("no such behaviour: {other}");
            return ExitCode::from(64);
        }
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error} ({:?})", error.kind());
            ExitCode::from(74)
        }
    }
}

fn say(text: &str) -> Result<()> {
    std::io::stdout().write_all(text.as_bytes())
}

/// Input to output, piece by piece.
fn cat() -> Result<()> {
    let (mut input, mut output) = (std::io::stdin().lock(), std::io::stdout().lock());
    let mut piece = vec![0; 64 * 1024];
    loop {
        let read = match input.read(&mut piece) {
            Ok(0) => return output.flush(),
            Ok(read) => read,
            Err(error) if error.kind() == ErrorKind::Interrupted => continue,
            Err(error) => return Err(error),
        };
        output.write_all(piece.get(..read).unwrap_or_default())?;
    }
}

/// Lines of text in capitals; no UTF-8 is an error.
fn upper() -> Result<()> {
    for line in std::io::stdin().lock().lines() {
        say(&format!("{}\n", line?.to_uppercase()))?;
    }
    Ok(())
}

/// How many bytes came in.
fn count() -> Result<()> {
    let bytes = std::io::copy(&mut std::io::stdin().lock(), &mut std::io::sink())?;
    say(&format!("{bytes}\n"))
}

/// All arguments, a line each.
fn args(arguments: &[String]) -> Result<()> {
    for argument in arguments {
        say(&format!("{argument}\n"))?;
    }
    Ok(())
}

/// The environment, a line each.
fn env() -> Result<()> {
    for (name, value) in std::env::vars() {
        say(&format!("{name}={value}\n"))?;
    }
    Ok(())
}

/// A little output, words on standard error, an exit code.
fn exit(code: u64, words: &[String]) -> ExitCode {
    let _ = say("before the exit\n");
    eprintln!("{}", if words.is_empty() { "as asked".to_owned() } else { words.join(" ") });
    ExitCode::from(u8::try_from(code).unwrap_or(u8::MAX))
}

/// `bytes` of output, and only then an exit code.
fn late(code: u64, bytes: u64) -> ExitCode {
    let written = source(bytes);
    eprintln!("failed late: {written:?}");
    ExitCode::from(u8::try_from(code).unwrap_or(u8::MAX))
}

#[allow(clippy::panic, reason = "it is what this behaviour is for")]
fn fail(why: &str) -> ! {
    panic!("{why}");
}

/// Every byte there is: no text.
fn binary() -> Result<()> {
    let bytes: Vec<u8> = (0..=u8::MAX).collect();
    std::io::stdout().write_all(&bytes)
}

/// That many bytes.
fn source(bytes: u64) -> Result<()> {
    let mut output = std::io::stdout().lock();
    let piece = [b'x'; 64 * 1024];
    let mut left = bytes;
    while left > 0 {
        let next = left.min(piece.len() as u64);
        output.write_all(piece.get(..next as usize).unwrap_or_default())?;
        left -= next;
    }
    output.flush()
}

/// Output for ever.
fn flood() -> Result<()> {
    loop {
        source(1 << 20)?;
    }
}

/// Very many very small writes.
fn drip(writes: u64) -> Result<()> {
    let mut output = std::io::stdout().lock();
    for _ in 0..writes {
        output.write_all(b".")?;
        output.flush()?;
    }
    Ok(())
}

/// Lines on standard error.
fn complain(lines: u64) -> Result<()> {
    for line in 1..=lines {
        writeln!(std::io::stderr(), "complaint {line}")?;
    }
    Ok(())
}

/// Reads one byte and wants no more.
fn taste() -> Result<()> {
    let mut byte = [0];
    let read = std::io::stdin().read(&mut byte)?;
    say(if read == 0 { "none\n" } else { "some\n" })
}

/// Reads the first line and answers at once, before the rest has come.
fn line() -> Result<()> {
    let mut line = String::new();
    std::io::stdin().lock().read_line(&mut line)?;
    say(&format!("first {}\n", line.trim_end()))
}

fn sleep(milliseconds: u64) -> Result<()> {
    std::thread::sleep(Duration::from_millis(milliseconds));
    say("slept\n")
}

/// A line, a pause, a line, …
fn ticks(lines: u64, milliseconds: u64) -> Result<()> {
    for line in 1..=lines {
        say(&format!("tick {line}\n"))?;
        std::io::stdout().flush()?;
        std::thread::sleep(Duration::from_millis(milliseconds));
    }
    Ok(())
}

fn spin() -> ! {
    loop {
        std::hint::black_box(0);
    }
}

/// Takes memory until there is no more.
fn hungry() -> ! {
    let mut taken = Vec::new();
    loop {
        taken.push(vec![1_u8; 1 << 20]);
        std::hint::black_box(&taken);
    }
}

fn read(path: &str) -> Result<()> {
    std::io::stdout().write_all(&std::fs::read(path)?)
}

fn write(path: &str, text: &str) -> Result<()> {
    std::fs::write(path, text)?;
    say("written\n")
}

/// Reads a file as often as it takes.
fn snatch(path: &str, tries: u64) -> Result<()> {
    match (0..tries).find_map(|_| std::fs::read_to_string(path).ok()) {
        Some(text) => say(&text),
        None => say("nothing\n"),
    }
}

fn list(path: &str) -> Result<()> {
    let mut names = Vec::new();
    for entry in std::fs::read_dir(path)? {
        names.push(entry?.file_name().to_string_lossy().into_owned());
    }
    names.sort();
    say(&format!("{}\n", names.join("\n")))
}

/// Opens a file as often as it can, and tells how often that was.
fn hoard(path: &str, tries: u64) -> Result<()> {
    let mut open = Vec::new();
    while open.len() < tries as usize {
        match std::fs::File::open(path) {
            Ok(file) => open.push(file),
            Err(_) => break,
        }
    }
    say(&format!("{}\n", open.len()))
}
