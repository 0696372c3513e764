//! Test guest: a command of WASI 0.3 whose behaviour is its first argument.
//!
//! The same names as those of the guest for 0.2 and preview 1 where the behaviour exists in both.
//! Input, output, arguments and the end are those of 0.3; what `std` does goes through 0.2 as well,
//! such as a panic's message.

mod output;

use output::Output;
use std::time::Duration;
use wasip3::cli::types::ErrorCode;
use wasip3::cli::{environment, exit, stdin, stdout};
use wasip3::clocks::monotonic_clock::wait_for;
use wasip3::wit_bindgen::{self, StreamReader, StreamResult};

type Done = Result<(), ErrorCode>;

struct Program;

impl wasip3::exports::cli::run::Guest for Program {
    async fn run() -> Result<(), ()> {
        let arguments: Vec<String> = environment::get_arguments().into_iter().skip(1).collect();
        let argument = |at: usize| arguments.get(at).map(String::as_str);
        let number =
            |at: usize, default: u64| argument(at).and_then(|text| text.parse().ok()).unwrap_or(default);
        let done = match argument(0).unwrap_or("cat") {
            "cat" => cat().await,
            "splice" => splice().await,
            "count" => count().await,
            "args" => say(arguments.iter().map(|argument| format!("{argument}\n")).collect()).await,
            "env" => {
                let all = environment::get_environment();
                say(all.iter().map(|(name, value)| format!("{name}={value}\n")).collect()).await
            }
            "exit" => return fail(arguments.get(2..).unwrap_or_default().join(" ")).await,
            "quit" => {
                let _ = say("before the exit\n".to_owned()).await;
                exit::exit(Err(()));
                Ok(())
            }
            "leave" => {
                let _ = say("before the exit\n".to_owned()).await;
                exit::exit(Ok(()));
                Ok(())
            }
            "late" => {
                let _ = source(number(2, 100_000)).await;
                return fail("failed late".to_owned()).await;
            }
            "panic" => as_asked(),
            "empty" => Ok(()),
            "binary" => write((0..=u8::MAX).collect()).await,
            "source" => source(number(1, 1024)).await,
            "hasty" => hasty(number(1, 1024)).await,
            "duet" => duet(number(1, 1024)).await,
            "after" => {
                wit_bindgen::spawn_local(async {
                    wait_for(300_000_000).await;
                    let _ = say("after its return\n".to_owned()).await;
                });
                say("before its return\n".to_owned()).await
            }
            "flood" => flood().await,
            "drip" => drip(number(1, 1_000_000)).await,
            "stderr" => complain(number(1, 3)).await,
            "taste" => taste().await,
            "line" => line().await,
            "sleep" => {
                wait_for(u64::try_from(Duration::from_millis(number(1, 300)).as_nanos()).unwrap_or(0)).await;
                say("slept\n".to_owned()).await
            }
            "loop" => spin(),
            "hungry" => hungry(),
            other => return fail(format!("no such behaviour: {other}")).await,
        };
        match done {
            Ok(()) => Ok(()),
            Err(error) => fail(format!("{error:?}")).await,
        }
    }
}

wasip3::cli::command::export!(Program);

async fn write(bytes: Vec<u8>) -> Done {
    let mut output = Output::stdout();
    output.write(bytes).await?;
    output.end().await
}

async fn say(text: String) -> Done {
    write(text.into_bytes()).await
}

/// Words on standard error, and the only code there is for it.
async fn fail(words: String) -> Result<(), ()> {
    let mut error = Output::stderr();
    let _ = error.write(format!("{words}\n").into_bytes()).await;
    let _ = error.end().await;
    Err(())
}

/// Reads a piece; empty at the end.
async fn piece(input: &mut StreamReader<u8>, buffer: Vec<u8>) -> (Vec<u8>, bool) {
    let (status, filled) = input.read(buffer).await;
    (filled, !matches!(status, StreamResult::Complete(_)))
}

/// Input to output, piece by piece.
async fn cat() -> Done {
    let (mut input, read) = stdin::read_via_stream();
    let mut output = Output::stdout();
    loop {
        let (filled, end) = piece(&mut input, Vec::with_capacity(64 << 10)).await;
        output.write(filled).await?;
        if end {
            break;
        }
    }
    read.await?;
    output.end().await
}

/// Input to output: the host connects them, the guest sees no byte.
async fn splice() -> Done {
    let (input, read) = stdin::read_via_stream();
    stdout::write_via_stream(input).await?;
    read.await
}

/// How many bytes came in.
async fn count() -> Done {
    let (mut input, read) = stdin::read_via_stream();
    let mut bytes = 0;
    loop {
        let (filled, end) = piece(&mut input, Vec::with_capacity(64 << 10)).await;
        bytes += filled.len();
        if end {
            break;
        }
    }
    read.await?;
    say(format!("{bytes}\n")).await
}

/// That many bytes.
async fn source(bytes: u64) -> Done {
    let mut output = Output::stdout();
    output.fill(bytes).await?;
    output.end().await
}

/// That many bytes, and the end without having waited for it.
async fn hasty(bytes: u64) -> Done {
    Output::stdout().fill(bytes).await
}

/// That many bytes, twice, over two streams at once.
async fn duet(bytes: u64) -> Done {
    wit_bindgen::spawn_local(async move {
        let _ = source(bytes).await;
    });
    source(bytes).await
}

/// Output for ever.
async fn flood() -> Done {
    let mut output = Output::stdout();
    loop {
        output.fill(1 << 20).await?;
    }
}

/// Very many very small writes.
async fn drip(writes: u64) -> Done {
    let mut output = Output::stdout();
    for _ in 0..writes {
        output.write(b".".to_vec()).await?;
    }
    output.end().await
}

/// Lines on standard error.
async fn complain(lines: u64) -> Done {
    let mut error = Output::stderr();
    for line in 1..=lines {
        error.write(format!("complaint {line}\n").into_bytes()).await?;
    }
    error.end().await
}

/// Reads one byte and wants no more.
async fn taste() -> Done {
    let (mut input, _) = stdin::read_via_stream();
    let (filled, _) = piece(&mut input, Vec::with_capacity(1)).await;
    say(if filled.is_empty() { "none\n" } else { "some\n" }.to_owned()).await
}

/// Reads the first line and answers at once, before the rest has come.
async fn line() -> Done {
    let (mut input, _) = stdin::read_via_stream();
    let mut line = Vec::new();
    while !line.contains(&b'\n') {
        let (filled, end) = piece(&mut input, Vec::with_capacity(1024)).await;
        line.extend(filled);
        if end {
            break;
        }
    }
    say(format!("first {}\n", String::from_utf8_lossy(&line).trim_end())).await
}

#[allow(clippy::panic, reason = "it is what this behaviour is for")]
fn as_asked() -> ! {
    panic!("as asked");
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
