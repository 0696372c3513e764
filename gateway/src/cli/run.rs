//! `unblock run`: one local call, in the same sandbox, with the same limits and error texts as the
//! server's.
//!
//! From the words of the command line to a call, from its result to standard output, from its end to
//! an exit code. Knows no flags and no HTTP.

use super::{EXIT_FAILED, EXIT_USAGE, Local, fail, load};
use crate::config::Config;
use crate::error::{Error, Kind};
use crate::exchange::{Exchange, StreamCall};
use crate::invoke::{Call, Finished};
use crate::registry::Task;
use crate::runtime::{Answer, Function, Observed, from_wave};
use crate::task::{self, Arguments, Body, Format, Output};
use crate::{limits, local};
use serde_json::{Value, json};
use std::io::{IsTerminal as _, Read as _, Write as _};
use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

/// How often a progress bar is redrawn.
const PROGRESS_INTERVAL: Duration = Duration::from_millis(100);

/// Makes one call and writes its result.
pub(super) fn run(
    config: Config,
    file: &Path,
    rest: &[String],
    body: Option<&Path>,
    format: Format,
) -> ExitCode {
    // Kept whole: its fields are dropped in the order they are declared in.
    let local = match load(&config, file) {
        Ok(local) => local,
        Err(message) => return fail(EXIT_FAILED, message),
    };
    let task = match &local.task {
        Ok(task) => Arc::clone(task),
        Err(error) => return fail(EXIT_FAILED, format!("{} cannot be served: {error}", file.display())),
    };
    for warning in &task.warnings {
        let _ = writeln!(std::io::stderr(), "warning: {warning}");
    }
    let observed = Observed::default();
    if task.prepared.kind.streams() {
        let exchange = match guest_of(&task, rest, body) {
            Ok(exchange) => exchange,
            Err(error) => return failed(&error, format),
        };
        return streams(&local, &task, exchange, observed, format);
    }
    let (function, arguments) = match arguments(&task, rest, body, format == Format::Wave) {
        Ok(meant) => meant,
        Err(error) => return failed(&error, format),
    };
    if task.prepared.functions.get(function).is_some_and(|function| function.answer == Answer::Stream) {
        let exchange = Exchange::Call(StreamCall { function, arguments });
        return streams(&local, &task, exchange, observed, format);
    }
    let call = Call {
        task: Arc::clone(&task),
        function,
        arguments,
        format,
        wait: None,
        observed: observed.clone(),
        profiled: None,
    };
    let finished = local.tokio.block_on(async {
        tokio::select! {
            finished = local.core.invoker.call(call) => Some(finished),
            () = show(observed) => None,
            _ = tokio::signal::ctrl_c() => None,
        }
    });
    match finished {
        None => fail(EXIT_FAILED, "stopped"),
        Some(Finished { result: Err(error), .. }) => failed(&error, format),
        Some(Finished { result: Ok(output), .. }) => {
            write(output);
            ExitCode::SUCCESS
        }
    }
}

/// What a command or a `wasi:http` guest is asked.
fn guest_of(task: &Task, words: &[String], body: Option<&Path>) -> Result<Exchange, Error> {
    match (task.prepared.kind, body) {
        (task::Kind::Command, body) => Ok(local::command(task, words, source(body)?)),
        // A request without a body is the common one.
        (_, None) => local::request(words, std::io::empty()),
        (_, body) => local::request(words, source(body)?),
    }
}

/// A file, or what the caller's shell gives.
fn source(path: Option<&Path>) -> Result<Box<dyn std::io::Read + Send>, Error> {
    match path.filter(|path| *path != Path::new("-")) {
        None => Ok(Box::new(std::io::stdin())),
        Some(path) => match std::fs::File::open(path) {
            Ok(file) => Ok(Box::new(file)),
            Err(error) => Err(unreadable(path, &error)),
        },
    }
}

fn unreadable(path: &Path, error: &std::io::Error) -> Error {
    Error::new(Kind::BadArguments, format!("cannot read {}: {error}", path.display()))
}

/// `run` where the answer flows.
fn streams(
    local: &Local,
    task: &Arc<Task>,
    exchange: Exchange,
    observed: Observed,
    format: Format,
) -> ExitCode {
    let ended = local.tokio.block_on(async {
        tokio::select! {
            ended = local::exchange(&local.core.invoker, task, exchange, observed.clone()) => Some(ended),
            () = show(observed) => None,
            _ = tokio::signal::ctrl_c() => None,
        }
    });
    match ended {
        None => fail(EXIT_FAILED, "stopped"),
        Some(Ok(())) => ExitCode::SUCCESS,
        Some(Err(error)) => {
            let exit = error.value.as_deref().and_then(|value| serde_json::from_str::<Value>(value).ok());
            let code = exit.and_then(|value| value.get("exit_code")?.as_i64());
            let told = failed(&error, format);
            // A command's own exit code is the caller's to see.
            code.and_then(|code| u8::try_from(code).ok()).map_or(told, ExitCode::from)
        }
    }
}

/// The function meant and its arguments, from what follows the file on the command line.
fn arguments(
    task: &Task,
    rest: &[String],
    body: Option<&Path>,
    wave: bool,
) -> Result<(usize, Arguments), Error> {
    let prepared = &task.prepared;
    if let Some((name, values)) = one_word_call(&prepared.functions, rest) {
        let function = prepared.find(Some(name))?;
        return match body {
            None => Ok((function, of_wave(task, function, values)?)),
            Some(_) => Err(Error::new(
                Kind::BadArguments,
                "found a call with its arguments and --body, expected one of them",
            )),
        };
    }
    let named = rest.first().filter(|first| {
        prepared.functions.len() != 1
            || prepared
                .functions
                .iter()
                .any(|function| function.name == **first || function.full_name() == **first)
    });
    let function = prepared.find(named.map(String::as_str))?;
    let rest = rest.get(usize::from(named.is_some())..).unwrap_or_default();
    let mut arguments = Arguments::default();
    let meant = prepared.functions.get(function);
    if meant.is_some_and(|function| function.body_stream.is_some()) {
        arguments.body = Body::Stream(local::body(source(body)?));
    } else if let Some(body) = body {
        arguments.body = Body::Bytes { content_type: None, bytes: read(body, task.limits.input)?.into() };
    }
    if let [text] = rest
        && matches!(arguments.body, Body::Empty)
        && text.trim_start().starts_with(if wave { ['{', '('] } else { ['{', '['] })
    {
        if wave {
            return Ok((function, of_wave(task, function, text)?));
        }
        let content_type = Some("application/json".to_owned());
        arguments.body = Body::Bytes { content_type, bytes: text.clone().into_bytes().into() };
        return Ok((function, arguments));
    }
    let params = meant.map(|function| function.params.as_slice()).unwrap_or_default();
    let mut positions = params.iter();
    let mut named = false;
    for text in rest {
        let by_name = text.split_once('=').filter(|(name, _)| {
            params.iter().any(|param| param.name == *name || param.name == name.replace('_', "-"))
        });
        let pair = match by_name {
            Some((name, value)) => {
                named = true;
                (name.to_owned(), value.to_owned())
            }
            None => match positions.next() {
                Some(param) => (param.name.clone(), text.clone()),
                None => {
                    let names: Vec<&str> = params.iter().map(|param| param.name.as_str()).collect();
                    return Err(Error::new(
                        Kind::BadArguments,
                        format!(
                            "found one argument more, {text:?}; expected {}: {}",
                            names.len(),
                            names.join(", ")
                        ),
                    ));
                }
            },
        };
        arguments.pairs.push(pair);
    }
    if wave && body.is_none() && !rest.is_empty() {
        return Ok((function, of_wave(task, function, &wave_of(&arguments.pairs, named))?));
    }
    Ok((function, arguments))
}

/// The arguments in a WAVE document.
fn of_wave(task: &Task, function: usize, text: &str) -> Result<Arguments, Error> {
    let function = task.prepared.functions.get(function);
    let body = function.map(|function| from_wave(function, text)).transpose()?.unwrap_or_default();
    Ok(Arguments { body, ..Arguments::default() })
}

/// The name and the arguments of a call such as `sleep(0.25)`, if that is what the command line
/// says: a task with one function may also mean a text that has parentheses.
fn one_word_call<'a>(functions: &[Function], rest: &'a [String]) -> Option<(&'a str, &'a str)> {
    let [call] = rest else { return None };
    let call = call.trim();
    let (name, values) = call.split_at(call.find('(')?);
    let known = functions.iter().any(|function| function.name == name || function.full_name() == name);
    (values.ends_with(')') && (known || functions.len() != 1)).then_some((name, values))
}

/// One WAVE document of values given one by one: a record if some are named, else a tuple. Each on
/// lines of its own, so that a comment ends with its value.
fn wave_of(pairs: &[(String, String)], named: bool) -> String {
    let mut text = String::from(if named { "{" } else { "(" });
    for (name, value) in pairs {
        if named {
            text.push_str(&name.replace('_', "-"));
            text.push(':');
        }
        text.push_str(value);
        text.push_str("\n,");
    }
    // Without a value there is no comma to end with.
    text.push(if named { '}' } else { ')' });
    text
}

fn read(path: &Path, limit: u64) -> Result<Vec<u8>, Error> {
    let mut bytes = Vec::new();
    let read = source(Some(path))?.take(limit + 1).read_to_end(&mut bytes);
    read.map_err(|error| unreadable(path, &error))?;
    if bytes.len() as u64 > limit {
        let limit = limits::bytes(limit);
        return Err(Error::new(Kind::InputTooLarge, format!("{} is over {limit}", path.display()))
            .limit("input", limit));
    }
    Ok(bytes)
}

fn write(output: Output) {
    let mut stdout = std::io::stdout();
    // A closed pipe is no failure of ours.
    let _ = match output {
        Output::Empty => Ok(()),
        Output::Text(text) if stdout.is_terminal() => writeln!(stdout, "{text}"),
        Output::Text(text) => stdout.write_all(text.as_bytes()),
        Output::Json(bytes) | Output::Wave(bytes) => {
            stdout.write_all(&bytes).and_then(|()| stdout.write_all(b"\n"))
        }
        Output::Binary(bytes) | Output::Raw { body: bytes, .. } => stdout.write_all(&bytes),
    };
    let _ = stdout.flush();
}

/// Tells a failure in the words of the server's problem documents.
fn failed(error: &Error, format: Format) -> ExitCode {
    let code = match error.kind {
        Kind::BadArguments | Kind::BadJson | Kind::UnknownFunction | Kind::AmbiguousFunction => EXIT_USAGE,
        _ => EXIT_FAILED,
    };
    if format == Format::Json {
        let value: Option<Value> = error.value.as_deref().and_then(|value| serde_json::from_str(value).ok());
        let document = json!({
            "problem": error.kind.slug(),
            "detail": error.detail,
            "pointer": error.pointer,
            "value": value,
            "backtrace": error.backtrace,
            "stderr": error.stderr,
            "hints": error.hints,
        });
        let _ = writeln!(std::io::stderr(), "{document}");
        return ExitCode::from(code);
    }
    let mut text = error.to_string();
    if !error.nearest.is_empty() {
        text.push_str(&format!("\n  did you mean {}?", error.nearest.join(" or ")));
    }
    for frame in &error.backtrace {
        text.push_str(&format!("\n  at {frame}"));
    }
    if let Some(stderr) = &error.stderr {
        text.push_str(&format!("\n  the guest wrote:\n    {}", stderr.replace('\n', "\n    ")));
    }
    for hint in &error.hints {
        text.push_str(&format!("\n  hint: {hint}"));
    }
    fail(code, text)
}

/// Draws the guest's progress while there is some to draw; never ends by itself.
async fn show(observed: Observed) {
    let mut bar: Option<indicatif::ProgressBar> = None;
    let mut ticks = tokio::time::interval(PROGRESS_INTERVAL);
    loop {
        ticks.tick().await;
        let Some((fraction, message)) = observed.progress() else { continue };
        if !std::io::stderr().is_terminal() {
            return std::future::pending().await;
        }
        let bar = bar.get_or_insert_with(|| indicatif::ProgressBar::new(1000));
        bar.set_position((fraction * 1000.0) as u64);
        bar.set_message(message);
    }
}
