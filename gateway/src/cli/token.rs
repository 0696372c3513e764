//! `unblock token`: makes, lists and revokes the tokens of a gateway.
//!
//! A token is written once, to standard output, and never to anything else; it is no argument either, so
//! that no list of processes shows one. What a token allows is judged in `access`.

use super::{EXIT_FAILED, EXIT_USAGE, fail, say};
use crate::access::{Record, Scope, Store};
use crate::limits;
use clap::Subcommand;
use serde_json::json;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

/// What to do with the file of tokens.
#[derive(Subcommand)]
pub enum TokenCommand {
    /// Make a token and write it to standard output, this once.
    #[command(after_help = "Examples:
  unblock token create --tokens /etc/unblock/tokens --scope call:sleep --scope read --name ci --expires 30d
  unblock token create --tokens /etc/unblock/tokens --scope manage > token")]
    Create {
        #[command(flatten)]
        place: Place,
        /// What it allows: call:TASK, call:* (every task), read (lists, descriptions, numbers), manage (all).
        #[arg(long = "scope", value_name = "SCOPE", required = true)]
        scopes: Vec<String>,
        /// What to call it in lists and logs.
        #[arg(long, value_name = "NAME")]
        name: Option<String>,
        /// When it ends, from now [default: never].
        #[arg(long, value_name = "TIME")]
        expires: Option<String>,
    },
    /// List the tokens: ids, names, scopes; never a token.
    List {
        #[command(flatten)]
        place: Place,
        /// Write a JSON array.
        #[arg(long)]
        json: bool,
    },
    /// Forget a token; a running gateway refuses it within a second or two.
    Revoke {
        #[command(flatten)]
        place: Place,
        /// The token's id or name.
        token: String,
    },
}

/// Where the tokens are.
#[derive(clap::Args)]
pub struct Place {
    /// File of the tokens; the gateway is started with the same.
    #[arg(long, env = "UNBLOCK_TOKENS", value_name = "FILE")]
    tokens: PathBuf,
}

/// Runs the command.
pub(super) fn run(command: TokenCommand) -> ExitCode {
    match command {
        TokenCommand::Create { place, scopes, name, expires } => {
            let scopes: Result<Vec<Scope>, String> = scopes.iter().map(|scope| Scope::parse(scope)).collect();
            let lifetime = expires.as_deref().map(limits::parse_duration).transpose();
            let (scopes, lifetime) = match (scopes, lifetime) {
                (Ok(scopes), Ok(lifetime)) => (scopes, lifetime),
                (Err(message), _) => return fail(EXIT_USAGE, format!("--scope: {message}")),
                (_, Err(message)) => return fail(EXIT_USAGE, format!("--expires: {message}")),
            };
            let made = Store::open(&place.tokens)
                .and_then(|mut store| store.create(name.as_deref(), &scopes, lifetime));
            told(made.map(|(id, token)| {
                let shown = place.tokens.display();
                // Beside the token, not with it: standard output is often a file or a pipe.
                let _ = writeln!(
                    std::io::stderr(),
                    "token {id}: its digest is in {shown}, and it is written this once:"
                );
                say(&format!("{token}\n"));
            }))
        }
        TokenCommand::List { place, json } => told(existing(&place.tokens).map(|store| {
            say(&if json { listed(store.records()) } else { table(store.records()) });
        })),
        TokenCommand::Revoke { place, token } => {
            let revoked = existing(&place.tokens).and_then(|mut store| store.revoke(&token));
            told(revoked.map(|id| say(&format!("token {id} is revoked\n"))))
        }
    }
}

/// The file, which must be there.
fn existing(path: &Path) -> Result<Store, String> {
    if path.exists() {
        return Store::open(path);
    }
    Err(format!("there is no file {}; `unblock token create` makes it", path.display()))
}

fn told(done: Result<(), String>) -> ExitCode {
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(message) => fail(EXIT_FAILED, message),
    }
}

fn listed(records: &[Record]) -> String {
    let of = |record: &Record| {
        json!({
            "id": record.id, "name": record.name, "scopes": record.scopes,
            "created": record.created, "expires": record.expires,
        })
    };
    format!("{:#}\n", records.iter().map(of).collect::<serde_json::Value>())
}

fn table(records: &[Record]) -> String {
    let line = |id: &str, name: &str, created: &str, expires: &str, scopes: &str| {
        format!("{id:<14}{name:<18}{created:<22}{expires:<22}{scopes}\n")
    };
    let mut text = line("ID", "NAME", "CREATED", "EXPIRES", "SCOPES");
    for record in records {
        let (name, expires) =
            (record.name.as_deref().unwrap_or("-"), record.expires.as_deref().unwrap_or("never"));
        text.push_str(&line(&record.id, name, &record.created, expires, &record.scopes.join(" ")));
    }
    text
}
