//! `unblock top`: what a gateway does, at a glance, in a terminal.
//!
//! Asks the gateway's own `GET /state`, once per interval, and draws it (`screen.rs`). Without a terminal,
//! or with `--once`, one look is written as plain text, for scripts. Knows the document (`state.rs`) and
//! nothing of how a gateway works.

mod fetch;
mod screen;
mod state;

use super::{EXIT_FAILED, EXIT_USAGE, fail, say};
use crate::limits;
use fetch::Source;
use ratatui::crossterm::event::{self, Event, KeyCode, KeyEventKind, KeyModifiers};
use screen::{Screen, Sort};
use state::State;
use std::io::{self, IsTerminal as _};
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::{Duration, Instant};

/// What to look at.
#[derive(clap::Args)]
pub struct TopFlags {
    /// The gateway's address.
    #[arg(value_name = "URL", default_value = "http://127.0.0.1:8888")]
    url: String,
    /// File with a token of the scope read, where the gateway asks for one.
    #[arg(long, env = "UNBLOCK_TOKEN_FILE", value_name = "FILE")]
    token: Option<PathBuf>,
    /// File with the root certificates to trust, in PEM [default: the usual ones].
    #[arg(long, value_name = "FILE")]
    ca: Option<PathBuf>,
    /// Time between two looks.
    #[arg(long, value_name = "TIME", default_value = "1s")]
    interval: String,
    /// Write one look as text, and end.
    #[arg(long)]
    once: bool,
}

/// Shortest interval: the gateway itself samples no oftener.
const INTERVAL_MIN: Duration = Duration::from_millis(500);

/// Runs the command.
pub(super) fn run(flags: &TopFlags) -> ExitCode {
    let interval = match limits::parse_duration(&flags.interval) {
        Ok(interval) => interval.max(INTERVAL_MIN),
        Err(message) => return fail(EXIT_USAGE, format!("--interval: {message}")),
    };
    let source = match Source::open(&flags.url, flags.token.as_deref(), flags.ca.as_deref()) {
        Ok(source) => source,
        Err(message) => return fail(EXIT_USAGE, message),
    };
    if flags.once || !io::stdout().is_terminal() {
        // The first look has the gateway watch the calls in flight; the second one sees what they use.
        let looked = source.fetch().and_then(|_| {
            std::thread::sleep(interval);
            source.fetch()
        });
        return match looked {
            Ok(state) => {
                say(&screen::text(&state));
                ExitCode::SUCCESS
            }
            Err(message) => fail(EXIT_FAILED, message),
        };
    }
    match watch(&source, interval) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => fail(EXIT_FAILED, format!("the terminal failed: {error}")),
    }
}

/// Looks and draws until somebody quits.
fn watch(source: &Source, interval: Duration) -> io::Result<()> {
    let mut terminal = ratatui::try_init()?;
    let mut screen = Screen::new(source.shown(), super::colours());
    let ended = (|| {
        let mut seen: Result<State, String> = Err("connecting …".to_owned());
        let mut due = Instant::now();
        loop {
            if !screen.paused && Instant::now() >= due {
                due = Instant::now() + interval;
                // What was seen last stays on the screen, with the reason why there is nothing newer.
                match source.fetch() {
                    Ok(state) => {
                        screen.trouble = None;
                        seen = Ok(state);
                    }
                    Err(message) if seen.is_ok() => screen.trouble = Some(message),
                    Err(message) => seen = Err(message),
                }
            }
            terminal.draw(|frame| screen.draw(frame, &seen))?;
            let patience =
                if screen.paused { interval } else { due.saturating_duration_since(Instant::now()) };
            if event::poll(patience)? && pressed(&event::read()?, &mut screen) {
                return Ok(());
            }
        }
    })();
    ratatui::restore();
    ended
}

/// Acts on an event. `true`: somebody wants out.
fn pressed(event: &Event, screen: &mut Screen) -> bool {
    let Event::Key(key) = event else { return false };
    if key.kind == KeyEventKind::Release {
        return false;
    }
    match key.code {
        KeyCode::Char('q') | KeyCode::Esc => return true,
        KeyCode::Char('c') if key.modifiers.contains(KeyModifiers::CONTROL) => return true,
        KeyCode::Char(' ') => screen.paused = !screen.paused,
        KeyCode::Down | KeyCode::Char('j') => screen.first = screen.first.saturating_add(1),
        KeyCode::Up | KeyCode::Char('k') => screen.first = screen.first.saturating_sub(1),
        KeyCode::Char(key) => {
            if let Some(sort) = Sort::ALL.into_iter().find(|sort| sort.key() == key) {
                screen.sort = sort;
            }
        }
        _ => {}
    }
    false
}
