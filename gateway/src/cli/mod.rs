//! The command line: `serve`, `run`, `check`, `new`. Parses, hands over, and turns ends into exit codes.
//!
//! `run` makes one local call in the same sandbox, with the same limits and error texts as the
//! server's; `check` judges a file without calling it. Flags of the server are read in `config.rs`.
//! Knows no HTTP.

mod grants;

use crate::app::{self, TaskLoader};
use crate::config::{Config, Flags};
use crate::error::{Error, Kind, LoadError};
use crate::grants::Grants;
use crate::invoke::{Call, Finished};
use crate::new::{self, Language};
use crate::registry::{self, Task};
use crate::runtime::engine::Runs;
use crate::runtime::{Function, Observed, from_wave};
use crate::task::{self, Arguments, Body, Format, Output};
use crate::{limits, local, telemetry};
use clap::{CommandFactory as _, Parser, Subcommand};
use grants::GrantFlags;
use serde_json::{Value, json};
use std::io::{IsTerminal as _, Read as _, Write as _};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

/// The task failed, or the file cannot be served.
const EXIT_FAILED: u8 = 1;

/// The command line, the configuration or the arguments are wrong.
const EXIT_USAGE: u8 = 2;

/// Slots of the engine for one local call.
const LOCAL_RUNS: usize = 16;

/// How often a progress bar is redrawn.
const PROGRESS_INTERVAL: Duration = Duration::from_millis(100);

/// Runs blocking WebAssembly tasks behind HTTP without ever blocking.
#[derive(Parser)]
#[command(name = "unblock", version, about, max_term_width = 100, after_help = EXAMPLES)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

const EXAMPLES: &str = "Examples:
  unblock serve                                  serve ./tasks on http://127.0.0.1:8888
  unblock serve --tasks /srv/tasks --listen 0.0.0.0:80
  curl localhost:8888/tasks                      what is loaded
  curl localhost:8888/tasks/primes/count?n=100   call a function
  unblock run tasks/primes.wat count 100         the same, without a server
  unblock check tasks/primes.wat                 what a module is, and what it would need
  unblock new hello --lang python                a task of your own, ready to build";

#[derive(Subcommand)]
enum Command {
    /// Serve a folder of tasks over HTTP.
    #[command(after_help = "Examples:
  unblock serve
  unblock serve --tasks /srv/tasks --listen 0.0.0.0:80 --workers 8
  UNBLOCK_LISTEN=[::]:8888 UNBLOCK_LOG_FORMAT=json unblock serve")]
    Serve(Box<Flags>),
    /// Call one function of a module, here and now.
    #[command(
        after_help = "Arguments are by position, by name (name=value), or one JSON object or array; after \"--\" they may
start with \"-\". A call in one word is read as WAVE, the component model's text format, and so is each
argument with --wave: strings and chars in quotes, lists, records, variants as their types are written.

Examples:
  unblock run tasks/primes.wat count 100
  unblock run tasks/sleep.wasm seconds=0.5
  unblock run tasks/password.wasm hash '{\"password\": \"correct horse\"}'
  unblock run tasks/sleep.wasm 'sleep(0.5)'
  unblock run --wave tasks/password.wasm hash 'password=\"correct horse\"'
  unblock run tasks/thumbnail.wasm width=200 --body photo.jpg > small.png
  echo 'a,b' | unblock run tasks/csv.wasm        a command: arguments, standard input, exit code
  unblock run tasks/echo.wasm GET /hello         a wasi:http guest"
    )]
    Run {
        /// The module, a .wasm or .wat file; a manifest beside it counts.
        file: PathBuf,
        /// The function (if the task has several), then its arguments; a command's arguments; method and
        /// path for a wasi:http guest.
        #[arg(value_name = "FUNCTION] [ARGS", allow_negative_numbers = true)]
        rest: Vec<String>,
        /// File with the request body, taken as it is; "-" is standard input.
        #[arg(long, value_name = "FILE")]
        body: Option<PathBuf>,
        /// Write the result as JSON, and a failure as a JSON object on standard error.
        #[arg(long)]
        json: bool,
        /// Read each argument as WAVE, and write the result as WAVE.
        #[arg(long, conflicts_with = "json")]
        wave: bool,
        #[command(flatten)]
        grants: Box<GrantFlags>,
        #[command(flatten)]
        flags: Box<Flags>,
    },
    /// Tell what a module is, what can be called, and what it would need.
    #[command(after_help = "Exit code 0 if the module can be served, 1 if not.

Examples:
  unblock check tasks/sleep.wasm
  unblock check --json tasks/sleep.wasm | jq .functions")]
    Check {
        /// The module, a .wasm or .wat file; a manifest beside it counts.
        file: PathBuf,
        /// Write a JSON object.
        #[arg(long)]
        json: bool,
        #[command(flatten)]
        flags: Box<Flags>,
    },
    /// Make a task of your own: a folder with its source, build, test and manifest.
    #[command(
        after_help = "Nothing is overwritten, and nothing is built or installed: what to do next is told.

Examples:
  unblock new hello --lang rust
  unblock new hello --lang wat --tasks /srv/tasks"
    )]
    New {
        /// The task's name: lower-case letters, digits and '-'.
        name: String,
        /// What it is written in.
        #[arg(long, value_enum)]
        lang: Language,
        /// Folder with the tasks; made if it is missing.
        #[arg(long, env = "UNBLOCK_TASKS", value_name = "DIR", default_value = "tasks")]
        tasks: PathBuf,
    },
}

/// Parses the command line, runs the command.
#[must_use]
pub fn main() -> ExitCode {
    if std::env::args_os().len() <= 1 {
        // A bare `unblock` is a question.
        let _ = Cli::command().print_help();
        return ExitCode::from(EXIT_USAGE);
    }
    match Cli::parse().command {
        Command::Serve(flags) => serve(&flags),
        Command::Run { file, rest, body, json, wave, grants, flags } => local(flags, |mut config| {
            config.registry.grants = match grants.read() {
                Ok(grants) => grants,
                Err(mistakes) => return fail(EXIT_USAGE, mistakes),
            };
            let format = match (json, wave) {
                (true, _) => Format::Json,
                (_, true) => Format::Wave,
                _ => Format::Natural,
            };
            run(config, &file, &rest, body.as_deref(), format)
        }),
        Command::Check { file, json, flags } => local(flags, |config| check(config, &file, json)),
        Command::New { name, lang, tasks } => create(&name, lang, &tasks),
    }
}

fn fail(code: u8, message: impl std::fmt::Display) -> ExitCode {
    // Standard error may be closed; there is nobody left to tell.
    let _ = writeln!(std::io::stderr(), "unblock: {message}");
    ExitCode::from(code)
}

fn say(text: &str) {
    // A closed pipe (`| head`) is no failure of ours.
    let _ = std::io::stdout().write_all(text.as_bytes());
}

fn create(name: &str, language: Language, tasks: &Path) -> ExitCode {
    let program = std::env::args().next().unwrap_or_else(|| "unblock".to_owned());
    match new::create(name, language, tasks, &program) {
        Ok(made) => {
            say(&made.report);
            ExitCode::SUCCESS
        }
        Err(message) => fail(EXIT_USAGE, message),
    }
}

fn serve(flags: &Flags) -> ExitCode {
    let config = match Config::read(flags) {
        Ok(config) => config,
        Err(mistakes) => return fail(EXIT_USAGE, mistakes.to_string().trim_end()),
    };
    if let Err(message) = telemetry::install(config.log_format, Some(&config.log), colours()) {
        return fail(EXIT_USAGE, format!("--log (or UNBLOCK_LOG): {message}"));
    }
    match app::start(&config, None).and_then(app::Server::run_until_signalled) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => fail(EXIT_FAILED, format!("{error:#}")),
    }
}

/// Colours are for terminals, unless `NO_COLOR` is set to something (no-color.org).
fn colours() -> bool {
    std::io::stderr().is_terminal() && std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty())
}

/// Settings of a local command: the server's, with few slots and no tasks folder.
fn local(mut flags: Box<Flags>, command: impl FnOnce(Config) -> ExitCode) -> ExitCode {
    flags.tasks = ".".to_owned();
    match Config::read(&flags) {
        Ok(mut config) => {
            config.engine.runs = Runs { count: LOCAL_RUNS, ..config.engine.runs };
            config.nice = 0;
            command(config)
        }
        Err(mistakes) => fail(EXIT_USAGE, mistakes.to_string().trim_end()),
    }
}

/// The layers below HTTP, and what became of one file on them.
struct Local {
    core: app::Core,
    task: Result<Arc<Task>, LoadError>,
    // Last: the pool's threads use it until they are joined.
    tokio: tokio::runtime::Runtime,
}

/// Builds the layers and loads the file.
fn load(config: &Config, file: &Path) -> Result<Local, String> {
    let tokio = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .enable_all()
        .build()
        .map_err(|error| format!("starting a thread: {error}"))?;
    let core = app::core(config, tokio.handle().clone(), None).map_err(|error| format!("{error:#}"))?;
    let loader = TaskLoader::new(Arc::clone(&core.runtime), Arc::clone(&core.pool));
    let task = registry::load_file(file, &config.registry, &loader);
    Ok(Local { core, task, tokio })
}

fn check(config: Config, file: &Path, json: bool) -> ExitCode {
    let local = match load(&config, file) {
        Ok(local) => local,
        Err(message) => return fail(EXIT_FAILED, message),
    };
    match local.task {
        Ok(task) if json => say(&format!("{:#}\n", describe(&task))),
        Ok(task) => say(&report(file, &task)),
        Err(error) if json => {
            say(&format!(
                "{:#}\n",
                json!({"served": false, "reason": error.reason, "remedies": error.remedies})
            ));
            return ExitCode::from(EXIT_FAILED);
        }
        Err(error) => return fail(EXIT_FAILED, format!("{} cannot be served: {error}", file.display())),
    }
    ExitCode::SUCCESS
}

fn describe(task: &Task) -> Value {
    let prepared = &task.prepared;
    let functions: Vec<Value> = prepared
        .functions
        .iter()
        .map(|function| {
            json!({
                "name": function.name,
                "interface": function.interface,
                "type": function.signature(),
                "description": function.description,
                "parameters": crate::values::params_schema(&function.params),
                "raw_body": function.raw_body,
            })
        })
        .collect();
    let hidden: Vec<Value> =
        prepared.hidden.iter().map(|hidden| json!({"name": hidden.name, "reason": hidden.reason})).collect();
    json!({
        "served": true,
        "task": task.name.as_str(),
        "kind": prepared.kind.as_str(),
        "digest": prepared.digest,
        "size_bytes": prepared.size_bytes,
        "memory_min_bytes": prepared.memory_min,
        "description": prepared.description,
        "functions": functions,
        "hidden": hidden,
        "imports": prepared.imports,
        "grants": granted(&task.grants),
        "warnings": task.warnings,
    })
}

fn report(file: &Path, task: &Task) -> String {
    use std::fmt::Write as _;
    let prepared = &task.prepared;
    let mut text = format!(
        "{}: {}, {}, starts with {} of memory, digest {}\n",
        file.display(),
        prepared.kind.as_str(),
        limits::bytes(prepared.size_bytes),
        limits::bytes(prepared.memory_min),
        prepared.digest
    );
    // Writing to a String cannot fail.
    if let Some(description) = &prepared.description {
        let _ = writeln!(text, "\n{description}");
    }
    text.push_str(match prepared.kind {
        task::Kind::Http => "\ntakes HTTP requests as they come\n",
        task::Kind::Command => "\na command: standard input, arguments, standard output\n",
        task::Kind::Component | task::Kind::CoreModule => "\nfunctions\n",
    });
    for function in &prepared.functions {
        let _ = writeln!(text, "  {}: {}", function.full_name(), function.signature());
        for line in function.description.iter().flat_map(|description| description.lines()) {
            let _ = writeln!(text, "      {line}");
        }
    }
    let mut list = |title: &str, lines: Vec<String>| {
        if !lines.is_empty() {
            let _ = writeln!(text, "\n{title}\n  {}", lines.join("\n  "));
        }
    };
    list(
        "not callable",
        prepared.hidden.iter().map(|hidden| format!("{}: {}", hidden.name, hidden.reason)).collect(),
    );
    list("imports (all satisfied)", prepared.imports.clone());
    list("routes", task.routes.iter().map(|route| format!("{} {}", route.method, route.path)).collect());
    list("grants", granted(&task.grants));
    list("warnings", task.warnings.clone());
    text
}

/// What a task may use, a line each; the values of variables are its own.
fn granted(grants: &Grants) -> Vec<String> {
    let env = grants.env.keys().map(|name| format!("environment: {name}"));
    let dirs = grants.dirs.iter().map(|dir| {
        let access = if dir.write { "read and write" } else { "read" };
        format!("directory: {} as {} ({access})", dir.host.display(), dir.guest)
    });
    let http = grants.http.iter().map(|target| format!("http: {target}"));
    let sockets = grants.sockets.iter().map(|target| format!("sockets: {target}"));
    env.chain(dirs).chain(http).chain(sockets).collect()
}

fn run(config: Config, file: &Path, rest: &[String], body: Option<&Path>, format: Format) -> ExitCode {
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
        return streams(&local, &task, rest, body, observed, format);
    }
    let (function, arguments) = match arguments(&task, rest, body, format == Format::Wave) {
        Ok(meant) => meant,
        Err(error) => return failed(&error, format),
    };
    let call =
        Call { task: Arc::clone(&task), function, arguments, format, wait: None, observed: observed.clone() };
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

/// `run` for a command or a `wasi:http` guest.
fn streams(
    local: &Local,
    task: &Arc<Task>,
    words: &[String],
    body: Option<&Path>,
    observed: Observed,
    format: Format,
) -> ExitCode {
    let input: Box<dyn std::io::Read + Send> = match body {
        Some(path) if path != Path::new("-") => match std::fs::File::open(path) {
            Ok(file) => Box::new(file),
            Err(error) => return fail(EXIT_USAGE, format!("cannot read {}: {error}", path.display())),
        },
        // A request without a body is the common one; a command reads what its caller's shell gives it.
        None if task.prepared.kind == task::Kind::Http => Box::new(std::io::empty()),
        _ => Box::new(std::io::stdin()),
    };
    let ended = local.tokio.block_on(async {
        tokio::select! {
            ended = local::exchange(&local.core.invoker, task, words, input, observed.clone()) => Some(ended),
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
    if let Some(body) = body {
        arguments.body = Body::Bytes { content_type: None, bytes: read(body, task.limits.input)?.into() };
    }
    if let [text] = rest
        && text.trim_start().starts_with(if wave { ['{', '('] } else { ['{', '['] })
        && body.is_none()
    {
        if wave {
            return Ok((function, of_wave(task, function, text)?));
        }
        let content_type = Some("application/json".to_owned());
        arguments.body = Body::Bytes { content_type, bytes: text.clone().into_bytes().into() };
        return Ok((function, arguments));
    }
    let params =
        prepared.functions.get(function).map(|function| function.params.as_slice()).unwrap_or_default();
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
    let source: Result<Box<dyn std::io::Read>, _> = if path == Path::new("-") {
        Ok(Box::new(std::io::stdin()))
    } else {
        std::fs::File::open(path).map(|file| Box::new(file) as Box<dyn std::io::Read>)
    };
    source.and_then(|source| source.take(limit + 1).read_to_end(&mut bytes)).map_err(|error| {
        Error::new(Kind::BadArguments, format!("cannot read {}: {error}", path.display()))
    })?;
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
