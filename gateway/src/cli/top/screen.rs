//! A state as a screen of a terminal, or as plain text.
//!
//! What is in trouble is written in words, too: colours are an extra. Draws what it is given, and asks for
//! nothing.

use super::state::{State, Task, Worker};
use crate::limits;
use ratatui::Frame;
use ratatui::layout::{Constraint, Layout, Rect};
use ratatui::style::{Color, Modifier, Style};
use ratatui::text::{Line, Span, Text};
use ratatui::widgets::{Block, Paragraph, Row, Sparkline, Table, Wrap};
use std::cmp::Reverse;
use std::time::Duration;

/// Between two things that a line says; a line that is too long is broken here.
const BETWEEN: &str = " · ";

/// Workers that are drawn; a machine may have many.
const WORKERS_SHOWN_MAX: usize = 8;

/// Load failures that are drawn.
const FAILURES_SHOWN_MAX: usize = 4;

/// By what tasks are sorted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sort {
    Cpu,
    Calls,
    Errors,
    P99,
    Memory,
    Name,
}

impl Sort {
    /// All of them.
    pub const ALL: [Self; 6] = [Self::Cpu, Self::Calls, Self::Errors, Self::P99, Self::Memory, Self::Name];

    /// The key that chooses it.
    pub fn key(self) -> char {
        match self {
            Self::Cpu => 'c',
            Self::Calls => 'r',
            Self::Errors => 'e',
            Self::P99 => 'p',
            Self::Memory => 'm',
            Self::Name => 'n',
        }
    }

    fn name(self) -> &'static str {
        match self {
            Self::Cpu => "cpu",
            Self::Calls => "rate",
            Self::Errors => "errors",
            Self::P99 => "p99",
            Self::Memory => "memory",
            Self::Name => "name",
        }
    }

    /// Largest first, but names from A on; what is equal by name.
    fn order(self, tasks: &[Task]) -> Vec<&Task> {
        let mut tasks: Vec<&Task> = tasks.iter().collect();
        tasks.sort_by(|a, b| {
            let by = match self {
                Self::Cpu => b.cpu_share.total_cmp(&a.cpu_share).then(b.rate.total_cmp(&a.rate)),
                Self::Calls => b.rate.total_cmp(&a.rate),
                Self::Errors => b.error_rate.total_cmp(&a.error_rate).then(b.errors.cmp(&a.errors)),
                Self::P99 => b.p99_ms.unwrap_or(0.0).total_cmp(&a.p99_ms.unwrap_or(0.0)),
                Self::Memory => Reverse(a.memory_bytes_max).cmp(&Reverse(b.memory_bytes_max)),
                Self::Name => std::cmp::Ordering::Equal,
            };
            by.then_with(|| a.name.cmp(&b.name))
        });
        tasks
    }
}

/// What is shown, and how.
pub struct Screen {
    /// The gateway's address.
    address: String,
    colours: bool,
    /// By what tasks are sorted.
    pub sort: Sort,
    /// Whether the screen stands still.
    pub paused: bool,
    /// The first task that is shown.
    pub first: usize,
    /// Why what is shown is old.
    pub trouble: Option<String>,
}

impl Screen {
    /// A screen of the gateway at that address.
    pub fn new(address: String, colours: bool) -> Self {
        Self { address, colours, sort: Sort::Cpu, paused: false, first: 0, trouble: None }
    }

    /// Draws a state, or why there is none.
    pub fn draw(&mut self, frame: &mut Frame, seen: &Result<State, String>) {
        let state = match seen {
            Ok(state) => state,
            Err(message) => {
                let text = Paragraph::new(message.as_str()).wrap(Wrap { trim: true });
                frame.render_widget(text.block(Block::bordered().title(" unblock top ")), frame.area());
                return;
            }
        };
        let summary = self.summary(state, usize::from(frame.area().width));
        let workers = shown(state.workers.len(), WORKERS_SHOWN_MAX);
        let failures = shown(state.failures.len(), FAILURES_SHOWN_MAX);
        let [head, rates, middle, table, bottom, foot] = Layout::vertical([
            Constraint::Length(shown(summary.len(), usize::MAX)),
            Constraint::Length(3),
            Constraint::Length(workers + 2),
            Constraint::Min(3),
            Constraint::Length(if failures == 0 { 0 } else { failures + 2 }),
            Constraint::Length(1),
        ])
        .areas(frame.area());
        frame.render_widget(Paragraph::new(summary), head);
        self.rates(frame, rates, state);
        frame.render_widget(
            Paragraph::new(worker_lines(state, inner(middle))).block(Block::bordered().title(" workers ")),
            middle,
        );
        self.tasks(frame, table, state);
        if failures > 0 {
            let lines: Vec<Line> = failure_lines(state).into_iter().map(|line| self.alarming(line)).collect();
            frame.render_widget(Paragraph::new(lines).block(Block::bordered().title(" not loaded ")), bottom);
        }
        frame.render_widget(Paragraph::new(self.keys(usize::from(foot.width))), foot);
    }

    fn alarming(&self, text: String) -> Line<'static> {
        let style = if self.colours {
            Style::new().fg(Color::Red)
        } else {
            Style::new().add_modifier(Modifier::BOLD)
        };
        Line::from(Span::styled(text, style))
    }

    fn summary(&self, state: &State, width: usize) -> Vec<Line<'static>> {
        let said = head(state, &format!(" at {}", self.address));
        let lines = said.iter().flat_map(|parts| broken(parts, width));
        let mut lines: Vec<Line> = lines.map(Line::from).collect();
        if let Some(trouble) = &self.trouble {
            lines.insert(0, self.alarming(format!("what follows is old: {trouble}")));
        }
        lines
    }

    fn rates(&self, frame: &mut Frame, area: Rect, state: &State) {
        let data: Vec<u64> = state.history.iter().map(|moment| moment.calls as u64).collect();
        // The newest at the right edge, whatever the width.
        let width = usize::from(area.width.saturating_sub(2));
        let data = data.get(data.len().saturating_sub(width)..).unwrap_or_default();
        let peak = data.iter().max().copied().unwrap_or_default();
        let line = Sparkline::default()
            .block(Block::bordered().title(format!(" calls per second, up to {peak} ")))
            .style(if self.colours { Style::new().fg(Color::Cyan) } else { Style::new() })
            .data(data);
        frame.render_widget(line, area);
    }

    fn tasks(&mut self, frame: &mut Frame, area: Rect, state: &State) {
        let rows = usize::from(area.height.saturating_sub(3));
        self.first = self.first.min(state.tasks.len().saturating_sub(rows.max(1)));
        let tasks = self.sort.order(&state.tasks);
        let failing = if self.colours {
            Style::new().fg(Color::Red)
        } else {
            Style::new().add_modifier(Modifier::BOLD)
        };
        let (columns, name) = fitting(inner(area));
        let row = |task: &str, cells: [String; COLUMNS.len()]| {
            let cells = cells.into_iter().take(columns).map(|cell| Text::from(cell).right_aligned());
            Row::new(std::iter::once(Text::from(cut(task, name))).chain(cells))
        };
        let lines = tasks.into_iter().skip(self.first).take(rows).map(|task| {
            let style = if task.error_rate > 0.0 { failing } else { Style::new() };
            row(&task.name, cells(task)).style(style)
        });
        let heads = row(TASK, COLUMNS.map(|(head, _)| head.to_owned()));
        let widths = COLUMNS.iter().take(columns).map(|(_, width)| Constraint::Length(*width));
        let widths = std::iter::once(Constraint::Length(shown(name, usize::MAX))).chain(widths);
        let table =
            Table::new(lines, widths).header(heads.style(Style::new().add_modifier(Modifier::BOLD))).block(
                Block::bordered().title(format!(" {} tasks, by {} ", state.tasks.len(), self.sort.name())),
            );
        frame.render_widget(table, area);
    }

    fn keys(&self, width: usize) -> String {
        let sorts: Vec<String> =
            Sort::ALL.iter().map(|sort| format!("{} {}", sort.key(), sort.name())).collect();
        let pause = if self.paused { "space goes on" } else { "space pauses" };
        let parts =
            ["q quits".to_owned(), pause.to_owned(), format!("sort: {}", sorts.join(", ")), "↑↓".to_owned()];
        broken(&parts, width).swap_remove(0)
    }
}

fn shown(count: usize, most: usize) -> u16 {
    u16::try_from(count.min(most)).unwrap_or(u16::MAX)
}

/// The columns of numbers behind the task's name, and their widths; where they do not fit, those at the end
/// are left out.
const COLUMNS: [(&str, u16); 8] = [
    ("cpu", 7),
    ("calls/s", 7),
    ("failed", 7),
    ("p50", 8),
    ("p99", 8),
    ("in flight", 9),
    ("memory", 9),
    ("calls", 10),
];

/// The head of the names.
const TASK: &str = "task";

/// Characters of a task's name, at least and at most.
const NAME_CHARS: std::ops::RangeInclusive<usize> = 14..=32;

fn cells(task: &Task) -> [String; COLUMNS.len()] {
    let time = |ms: Option<f64>| ms.map_or_else(|| "-".to_owned(), duration);
    [
        percent(task.cpu_share),
        number(task.rate),
        percent(task.error_rate),
        time(task.p50_ms),
        time(task.p99_ms),
        task.running.to_string(),
        bytes(task.memory_bytes_max),
        task.calls.to_string(),
    ]
}

/// How many columns of numbers have a place in so many, and how many are left for the name.
fn fitting(width: usize) -> (usize, usize) {
    let taken = |columns: usize| -> usize {
        COLUMNS.iter().take(columns).map(|(_, width)| 1 + usize::from(*width)).sum()
    };
    let fits = |columns: &usize| taken(*columns) + NAME_CHARS.start() <= width;
    let columns = (0..=COLUMNS.len()).rev().find(fits).unwrap_or_default();
    (columns, width.saturating_sub(taken(columns)).min(*NAME_CHARS.end()))
}

/// The width within a border.
fn inner(area: Rect) -> usize {
    usize::from(area.width.saturating_sub(2))
}

/// A text in so many characters.
fn cut(text: &str, width: usize) -> String {
    if text.chars().count() <= width {
        return text.to_owned();
    }
    let kept: String = text.chars().take(width.saturating_sub(1)).collect();
    if width == 0 { kept } else { kept + "…" }
}

/// What is said, in lines of that width at most; broken between two things, never within one, unless it is wider
/// by itself. At least one line.
fn broken(parts: &[String], width: usize) -> Vec<String> {
    let mut lines: Vec<String> = Vec::new();
    for part in parts.iter().filter(|part| !part.is_empty()) {
        let fits = |line: &&mut String| {
            line.chars().count() + BETWEEN.chars().count() + part.chars().count() <= width
        };
        match lines.last_mut().filter(fits) {
            Some(line) => line.extend([BETWEEN, part]),
            None => lines.push(cut(part, width)),
        }
    }
    if lines.is_empty() {
        lines.push(String::new());
    }
    lines
}

/// The lines above everything else; `place` follows the version.
fn head(state: &State, place: &str) -> [Vec<String>; 3] {
    let latency = match &state.latency_ms {
        Some(latency) => format!("p50 {}, p99 {}", duration(latency.p50), duration(latency.p99)),
        None => "nothing ended lately".to_owned(),
    };
    let (pool, rates, memory) = (&state.pool, &state.rates, &state.memory);
    let queued: Vec<String> = pool.queued.iter().map(u64::to_string).collect();
    let up = limits::duration(Duration::from_secs(state.uptime_s.max(0.0) as u64));
    [
        vec![
            format!("unblock {}{place}, up {up}", state.version),
            format!(
                "{} calls/s, {} failed/s, {} cancelled/s",
                number(rates.calls),
                number(rates.errors),
                number(rates.cancelled)
            ),
            latency,
        ],
        vec![
            format!("{} in flight", state.in_flight),
            format!("{} of {} workers busy", pool.running, pool.workers),
            format!("queued by level {}", queued.join("/")),
            format!("{} parked", pool.parked),
            format!("{} wait for a slot ({} of {} taken)", pool.waiting, pool.permits, pool.runs_max),
        ],
        vec![
            format!("{} of {} held by calls", bytes(memory.held_bytes), bytes(memory.budget_bytes)),
            format!("{} resident", bytes(memory.resident_bytes)),
            format!(
                "{} slices/s, {} preemptions/s",
                number(pool.slices_per_s),
                number(pool.preemptions_per_s)
            ),
            match state.loading.len() {
                0 => String::new(),
                1 => "1 module is being compiled".to_owned(),
                count => format!("{count} modules are being compiled"),
            },
        ],
    ]
}

fn worker_lines(state: &State, width: usize) -> Vec<Line<'static>> {
    let busy = |number: usize, worker: &Worker| {
        let function =
            if worker.function.is_empty() { String::new() } else { format!("/{}", worker.function) };
        let parts = [
            format!("{number:>3}  {}{function}", worker.task),
            format!("level {}", worker.level.unwrap_or_default()),
            format!("{} CPU in {}", duration(worker.cpu_ms), duration(worker.elapsed_ms)),
            format!("call {}", worker.id),
        ];
        broken(&parts, width).swap_remove(0)
    };
    let lines = state.workers.iter().take(WORKERS_SHOWN_MAX).enumerate();
    lines
        .map(|(number, worker)| match worker {
            Some(worker) => Line::from(busy(number, worker)),
            None => Line::from(format!("{number:>3}  idle")),
        })
        .collect()
}

fn failure_lines(state: &State) -> Vec<String> {
    let lines = state.failures.iter().take(FAILURES_SHOWN_MAX);
    lines
        .map(|failure| format!("{}: {}", failure.file, failure.reason.lines().next().unwrap_or_default()))
        .collect()
}

/// A state in lines, as wide as they are.
pub fn text(state: &State) -> String {
    let mut text = String::new();
    let mut line = |words: &str| {
        text.push_str(words.trim_end());
        text.push('\n');
    };
    head(state, "").iter().flat_map(|parts| broken(parts, usize::MAX)).for_each(|words| line(&words));
    worker_lines(state, usize::MAX)
        .iter()
        .for_each(|worker| line(&format!("worker {}", worker.to_string().trim_start())));
    let row = |task: &str, cells: [String; COLUMNS.len()]| -> String {
        let name = format!("{task:<0$}", NAME_CHARS.end());
        let cells = cells.iter().zip(COLUMNS);
        cells.fold(name, |row, (cell, (_, width))| row + &format!(" {cell:>0$}", usize::from(width)))
    };
    line(&row(TASK, COLUMNS.map(|(head, _)| head.to_owned())));
    Sort::Cpu.order(&state.tasks).into_iter().for_each(|task| line(&row(&task.name, cells(task))));
    failure_lines(state).iter().for_each(|failure| line(&format!("not loaded: {failure}")));
    text
}

/// A number per second: whole where it is large.
fn number(value: f64) -> String {
    if value >= 100.0 || value == 0.0 { format!("{value:.0}") } else { format!("{value:.1}") }
}

/// A part of one as percent.
fn percent(part: f64) -> String {
    match part * 100.0 {
        percent if percent > 0.0 && percent < 0.1 => "<0.1 %".to_owned(),
        percent => format!("{percent:.1} %"),
    }
}

/// Milliseconds in the unit that fits.
fn duration(ms: f64) -> String {
    match ms {
        ms if ms >= 10_000.0 => format!("{:.1} s", ms / 1000.0),
        ms if ms >= 1000.0 => format!("{:.2} s", ms / 1000.0),
        ms if ms >= 10.0 => format!("{ms:.0} ms"),
        ms if ms >= 1.0 => format!("{ms:.1} ms"),
        ms => format!("{:.0} µs", ms * 1000.0),
    }
}

/// Bytes in the unit that fits.
fn bytes(bytes: u64) -> String {
    const UNITS: [&str; 5] = ["B", "KiB", "MiB", "GiB", "TiB"];
    let mut value = bytes as f64;
    let mut unit = UNITS.iter();
    let mut name = unit.next();
    while value >= 1024.0
        && let Some(larger) = unit.next()
    {
        value /= 1024.0;
        name = Some(larger);
    }
    let name = name.copied().unwrap_or_default();
    if value >= 100.0 || bytes < 1024 { format!("{value:.0} {name}") } else { format!("{value:.1} {name}") }
}

#[cfg(test)]
mod tests {
    use super::*;
    use ratatui::Terminal;
    use ratatui::backend::TestBackend;
    use serde_json::json;

    fn state() -> State {
        let task = |name: &str, rate: f64, errors: f64, share: f64| {
            json!({ "name": name, "kind": "component", "calls": 12, "errors": 1, "running": 2, "rate": rate,
                "error_rate": errors, "p50_ms": 0.12, "p99_ms": 1234.5, "cpu_share": share,
                "memory_bytes_max": 1_310_720 })
        };
        serde_json::from_value(json!({
            "version": "9.9.9", "uptime_s": 192.4, "rates": { "calls": 1234.5, "errors": 0.2, "cancelled": 0.0 },
            "latency_ms": { "p50": 0.1, "p90": 1.0, "p99": 12.0 },
            "history": [{ "calls": 1.0 }, { "calls": 5.0 }],
            "pool": { "workers": 2, "running": 1, "queued": [0, 0, 3, 1000], "parked": 7, "permits": 1011,
                "runs_max": 4000, "waiting": 4 },
            "memory": { "held_bytes": 1_073_741_824_u64, "budget_bytes": 4_294_967_296_u64, "resident_bytes": 99 },
            "workers": [{ "id": "abc", "task": "primes", "function": "count", "level": 3, "cpu_ms": 250.0,
                "elapsed_ms": 61_000.0 }, null],
            "in_flight": 1015,
            "tasks": [task("calm", 10.0, 0.0, 0.01), task("hungry", 1.0, 0.0, 0.9), task("broken", 2.0, 0.097, 0.0)],
            "loading": [], "failures": [{ "file": "bad.wasm", "reason": "it is no module" }], "newer": { "a": 1 }
        }))
        .expect("a state")
    }

    fn drawn(screen: &mut Screen, seen: &Result<State, String>, width: u16, height: u16) -> String {
        let mut terminal = Terminal::new(TestBackend::new(width, height)).expect("a terminal");
        terminal.draw(|frame| screen.draw(frame, seen)).expect("drawn");
        let buffer = terminal.backend().buffer();
        let rows = buffer.content().chunks(usize::from(width));
        rows.map(|row| row.iter().map(|cell| cell.symbol()).collect::<String>() + "\n").collect()
    }

    #[test]
    fn a_glance_shows_what_is_slow_and_what_is_broken() {
        let mut screen = Screen::new("http://here".to_owned(), true);
        let text = drawn(&mut screen, &Ok(state()), 120, 30);
        for words in [
            "unblock 9.9.9 at http://here, up 3m 12s",
            "1234 calls/s",
            "1015 in flight · 1 of 2 workers busy · queued by level 0/0/3/1000 · 7 parked",
            "1.0 GiB of 4.0 GiB held by calls",
            "primes/count · level 3 · 250 ms CPU in 61.0 s · call abc",
            "  1  idle",
            "bad.wasm: it is no module",
            "3 tasks, by cpu",
            "90.0 %",
        ] {
            assert!(text.contains(words), "{words:?} is missing in\n{text}");
        }
        let at = |name: &str| text.find(name).expect(name);
        assert!(at("hungry") < at("calm") && at("calm") < at("broken"), "by CPU\n{text}");
        screen.sort = Sort::Errors;
        let text = drawn(&mut screen, &Ok(state()), 120, 30);
        assert!(text.find("broken") < text.find("hungry"), "by errors\n{text}");
    }

    #[test]
    fn a_part_is_shown_as_percent_under_its_own_head_and_numbers_end_below_theirs() {
        let text = drawn(&mut Screen::new("http://here".to_owned(), false), &Ok(state()), 120, 30);
        let line = |name: &str| text.lines().find(|line| line.starts_with(name)).expect(name);
        let (heads, row) = (line("│task"), line("│broken"));
        assert!(!heads.contains("errors/s") && !heads.contains("running"), "{heads}");
        for (head, cell) in
            [("failed", "9.7 %"), ("cpu", "0.0 %"), ("calls/s", "2.0"), ("p99", "1.23 s"), ("in flight", "2")]
        {
            let (before, _) = heads.split_once(&format!("{head} ")).expect(head);
            let before: String = row.chars().take(before.chars().count() + head.len()).collect();
            assert!(before.ends_with(&format!(" {cell}")), "{head}: {before:?}");
        }
    }

    #[test]
    fn eighty_columns_show_whole_numbers_and_leave_out_what_does_not_fit() {
        let worker = Worker { id: "0123456789abcdef".repeat(3), task: "t".repeat(30), ..Worker::default() };
        let tasks = vec![Task {
            name: "a-name-that-is-longer-than-its-place".to_owned(),
            rate: 1234.0,
            error_rate: 1.0,
            cpu_share: 1.0,
            p50_ms: Some(99_999.0),
            p99_ms: Some(999_999.0),
            running: 10_000,
            memory_bytes_max: 1023 << 20,
            ..Task::default()
        }];
        let state = State { workers: vec![Some(worker)], tasks, ..state() };
        let mut screen = Screen::new("http://127.0.0.1:8888".to_owned(), false);
        let text = drawn(&mut screen, &Ok(state), 80, 30);
        for words in [
            "unblock 9.9.9 at http://127.0.0.1:8888, up 3m 12s",
            "1234 calls/s, 0.2 failed/s, 0 cancelled/s",
            "p50 100 µs, p99 12 ms",
            "4 wait for a slot (1011 of 4000 taken)",
            "0 preemptions/s",
            "100.0 %    1234 100.0 %  100.0 s 1000.0 s     10000  1023 MiB│",
            "n name",
        ] {
            assert!(text.contains(words), "{words:?} is missing in\n{text}");
        }
        assert!(text.contains("│a-name-") && text.contains('…') && !text.contains("0123"), "{text}");
    }

    #[test]
    fn any_size_and_any_state_can_be_drawn() {
        let many = State {
            tasks: (0..500).map(|n| Task { name: format!("t{n}"), ..Task::default() }).collect(),
            workers: vec![None; 200],
            ..state()
        };
        let mut screen = Screen::new(String::new(), false);
        for (width, height) in [(1, 1), (5, 3), (40, 12), (120, 10), (300, 80)] {
            for seen in [Ok(State::default()), Ok(many.clone()), Err("not there".to_owned())] {
                screen.first = 10_000;
                drawn(&mut screen, &seen, width, height);
                assert!(screen.first < 500 || seen.is_err(), "it stays within the list");
            }
        }
    }

    #[test]
    fn trouble_is_told_over_what_was_seen_last() {
        let mut screen = Screen::new("http://here".to_owned(), false);
        screen.trouble = Some("it cannot be reached".to_owned());
        let text = drawn(&mut screen, &Ok(state()), 100, 30);
        assert!(
            text.contains("what follows is old: it cannot be reached") && text.contains("primes"),
            "{text}"
        );
    }

    #[test]
    fn one_look_is_plain_text() {
        let text = text(&state());
        assert!(text.starts_with("unblock 9.9.9, up 3m 12s · 1234 calls/s"), "{text}");
        assert!(text.contains("worker 0  primes/count · level 3"), "{text}");
        assert!(text.contains("not loaded: bad.wasm: it is no module"), "{text}");
        assert!(!text.contains('\u{1b}'), "{text}");
    }
}
