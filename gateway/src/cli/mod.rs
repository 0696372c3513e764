//! The command line: `serve`, `run`, `check`, `new`, `token`, `top`. Parses, hands over, and turns ends into exit codes.
//!
//! `run` makes one local call (`run.rs`); `check` judges a file without calling it. Flags of the server
//! are read in `config`. Knows no HTTP, but for what `top` asks a gateway that runs elsewhere.

mod grants;
mod run;
mod token;
mod top;

use crate::app::{self, TaskLoader};
use crate::config::{Config, Flags};
use crate::error::LoadError;
use crate::grants::Grants;
use crate::new::{self, Language};
use crate::registry::{self, Task};
use crate::runtime::engine::Runs;
use crate::task::{self, Format};
use crate::{limits, telemetry};
use clap::{CommandFactory as _, Parser, Subcommand};
use grants::GrantFlags;
use serde_json::{Value, json};
use std::io::{IsTerminal as _, Write as _};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;

/// The task failed, or the file cannot be served.
const EXIT_FAILED: u8 = 1;

/// The command line, the configuration or the arguments are wrong.
const EXIT_USAGE: u8 = 2;

/// Slots of the engine for one local call.
const LOCAL_RUNS: usize = 16;

/// Runs blocking WebAssembly tasks behind HTTP without ever blocking.
#[derive(Parser)]
#[command(name = "unblock", version, about, max_term_width = 100, after_help = EXAMPLES)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

const EXAMPLES: &str = "Examples:
  unblock serve                                  serve ./tasks on http://127.0.0.1:8888
  unblock serve --tasks /srv/tasks --listen 0.0.0.0:80 --tokens tokens
  curl localhost:8888/tasks                      what is loaded
  curl localhost:8888/tasks/primes/count?n=100   call a function
  unblock run tasks/primes.wat count 100         the same, without a server
  unblock check tasks/primes.wat                 what a module is, and what it would need
  unblock new hello --lang python                a task of your own, ready to build
  unblock token create --tokens tokens --scope call:sleep --name ci    a token for `serve --tokens tokens`";

#[derive(Subcommand)]
enum Command {
    /// Serve a folder of tasks over HTTP.
    #[command(after_help = "Examples:
  unblock serve
  unblock serve --tasks /srv/tasks --workers 8
  unblock serve --listen 0.0.0.0:443 --tokens /etc/unblock/tokens --tls-cert chain.pem --tls-key key.pem
  UNBLOCK_LISTEN=[::]:8888 UNBLOCK_LOG_FORMAT=json unblock serve --tokens /etc/unblock/tokens")]
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
    /// Watch a gateway in the terminal: what runs, what waits, what fails, which task is slow.
    #[command(after_help = "Examples:
  unblock top
  unblock top https://tasks.example --token read.token
  unblock top --once | grep primes               one look as text")]
    Top(top::TopFlags),
    /// Make, list and revoke the tokens that `serve --tokens` asks callers for.
    #[command(subcommand)]
    Token(token::TokenCommand),
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
            run::run(config, &file, &rest, body.as_deref(), format)
        }),
        Command::Check { file, json, flags } => local(flags, |config| check(config, &file, json)),
        Command::New { name, lang, tasks } => create(&name, lang, &tasks),
        Command::Top(flags) => top::run(&flags),
        Command::Token(command) => token::run(command),
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
    let served = app::start(&config, None).and_then(app::Server::run_until_signalled);
    telemetry::flush();
    match served {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => fail(EXIT_FAILED, format!("{error:#}")),
    }
}

/// Colours are for terminals, unless `NO_COLOR` is set to something (no-color.org).
fn colours() -> bool {
    std::io::stderr().is_terminal() && std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty())
}

/// Settings of a local command: the server's, with few slots, no tasks folder and no callers.
fn local(mut flags: Box<Flags>, command: impl FnOnce(Config) -> ExitCode) -> ExitCode {
    flags.tasks = ".".to_owned();
    flags.forget_callers();
    match Config::read(&flags) {
        Ok(mut config) => {
            // Quiet unless asked: standard error is the guest's.
            if !config.log.is_empty()
                && let Err(message) = telemetry::install(config.log_format, Some(&config.log), colours())
            {
                return fail(EXIT_USAGE, format!("--log (or UNBLOCK_LOG): {message}"));
            }
            config.engine.runs = Runs { count: LOCAL_RUNS, ..config.engine.runs };
            config.nice = 0;
            let code = command(config);
            telemetry::flush();
            code
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
        "digest": &*prepared.digest,
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
