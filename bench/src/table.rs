//! The result: lines of figures, each with its target, written as an aligned Markdown table.
//!
//! Readable on a terminal as it is. The rounds behind the figures are kept beside the lines, for the
//! raw data, the charts and the guard. Knows no measuring.

use crate::figure::{Figure, number};

/// What became of a target.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Reached.
    Met,
    /// Not reached.
    Missed,
    /// A reference, or nothing was asked for.
    None,
}

/// What a figure is to reach.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Bound {
    /// So much or more.
    AtLeast(f64),
    /// So much or less.
    AtMost(f64),
}

impl Bound {
    fn holds(self, value: f64) -> bool {
        match self {
            Self::AtLeast(least) => value >= least,
            Self::AtMost(most) => value <= most,
        }
    }

    fn show(self, unit: &str) -> String {
        let (sign, value) = match self {
            Self::AtLeast(least) => ("≥", least),
            Self::AtMost(most) => ("≤", most),
        };
        let space = if unit.is_empty() { "" } else { " " };
        format!("{sign} {}{space}{unit}", number(value))
    }
}

/// A figure with all its rounds, and what it is of.
#[derive(Clone)]
pub struct Sample {
    /// The row's letter.
    pub row: &'static str,
    /// What was done.
    pub what: String,
    /// By whom.
    pub who: String,
    /// What was measured: "throughput", "p50", "ratio".
    pub quantity: &'static str,
    /// Its unit; a ratio has none.
    pub unit: &'static str,
    /// The rounds.
    pub figure: Figure,
    /// The target, if there is one.
    pub bound: Option<Bound>,
}

/// The quantity that the guard looks at.
pub const RATIO: &str = "ratio";

/// A figure among several of one line: what it is, its rounds, its unit.
pub type Part<'a> = (&'static str, &'a Figure, &'static str);

/// One line.
struct Line {
    row: &'static str,
    cells: [String; 4],
    verdict: Verdict,
}

/// All lines and the remarks around them.
pub struct Table {
    machine: Vec<String>,
    lines: Vec<Line>,
    notes: Vec<String>,
    samples: Vec<Sample>,
}

impl Table {
    /// An empty table of a machine.
    pub fn new(machine: Vec<String>) -> Self {
        Self { machine, lines: Vec::new(), notes: Vec::new(), samples: Vec::new() }
    }

    /// A figure without a target.
    pub fn line(&mut self, row: &'static str, what: &str, who: &str, figure: String) {
        let cells = [what.to_owned(), who.to_owned(), figure, String::new()];
        self.lines.push(Line { row, cells, verdict: Verdict::None });
    }

    /// A figure with its target.
    pub fn target(
        &mut self,
        row: &'static str,
        what: &str,
        who: &str,
        figure: String,
        target: &str,
        met: bool,
    ) {
        let cells = [what.to_owned(), who.to_owned(), figure, target.to_owned()];
        let verdict = if met { Verdict::Met } else { Verdict::Missed };
        self.lines.push(Line { row, cells, verdict });
    }

    /// A ratio of two contenders, with what it is to reach. The guard watches it.
    pub fn ratio(&mut self, row: &'static str, what: &str, who: &str, figure: &Figure, bound: Bound) {
        self.judged(row, what, who, (RATIO, figure, ""), bound);
    }

    /// A figure with a unit and what it is to reach.
    pub fn judged(&mut self, row: &'static str, what: &str, who: &str, part: Part<'_>, bound: Bound) {
        let (_, figure, unit) = part;
        let met = bound.holds(figure.median());
        self.target(row, what, who, figure.show(unit), &bound.show(unit), met);
        self.keep(row, what, who, part, Some(bound));
    }

    /// Several figures in one line, without a target.
    pub fn parts(&mut self, row: &'static str, what: &str, who: &str, parts: &[Part<'_>]) {
        self.parts_and(row, what, who, parts, "");
    }

    /// The same with a remark at its end.
    pub fn parts_and(&mut self, row: &'static str, what: &str, who: &str, parts: &[Part<'_>], remark: &str) {
        let shown: Vec<String> = parts
            .iter()
            .map(|(quantity, figure, unit)| match *quantity {
                // What a figure with this unit is, nobody asks.
                "throughput" => figure.show(unit),
                quantity => format!("{quantity} {}", figure.show(unit)),
            })
            .collect();
        self.line(row, what, who, format!("{}{remark}", shown.join(", ")));
        self.raw(row, what, who, parts);
    }

    /// Rounds that stand in the raw data only.
    pub fn raw(&mut self, row: &'static str, what: &str, who: &str, parts: &[Part<'_>]) {
        for part in parts {
            self.keep(row, what, who, *part, None);
        }
    }

    fn keep(&mut self, row: &'static str, what: &str, who: &str, part: Part<'_>, bound: Option<Bound>) {
        let (quantity, figure, unit) = part;
        let (what, who, figure) = (what.to_owned(), who.to_owned(), figure.clone());
        self.samples.push(Sample { row, what, who, quantity, unit, figure, bound });
    }

    /// All figures with their rounds.
    pub fn samples(&self) -> &[Sample] {
        &self.samples
    }

    /// Takes over what another run measured, in place of what stands here of its rows.
    pub fn replace(&mut self, other: Self) {
        let again = |row: &str| other.samples.iter().any(|sample| sample.row == row);
        self.lines.retain(|line| !again(line.row));
        self.samples.retain(|sample| !again(sample.row));
        self.lines.extend(other.lines);
        self.samples.extend(other.samples);
    }

    /// A remark below the table.
    pub fn note(&mut self, text: impl Into<String>) {
        let text = text.into();
        if !self.notes.contains(&text) {
            self.notes.push(text);
        }
    }

    /// The whole as Markdown.
    pub fn render(&self) -> String {
        let mut text = String::new();
        for line in &self.machine {
            text.push_str(&format!("- {line}\n"));
        }
        text.push('\n');
        let head = ["", "what", "who", "median (least–most)", "target", ""].map(str::to_owned);
        let rows: Vec<[String; 6]> = std::iter::once(head).chain(self.lines.iter().map(cells)).collect();
        let mut widths = [0_usize; 6];
        for row in &rows {
            for (width, cell) in widths.iter_mut().zip(row) {
                *width = (*width).max(cell.chars().count());
            }
        }
        for (index, row) in rows.iter().enumerate() {
            text.push('|');
            for (cell, width) in row.iter().zip(widths) {
                let gap = " ".repeat(width - cell.chars().count());
                text.push_str(&format!(" {cell}{gap} |"));
            }
            text.push('\n');
            if index == 0 {
                let dashes: String =
                    widths.iter().map(|width| format!("{}|", "-".repeat(width + 2))).collect();
                text.push_str(&format!("|{dashes}\n"));
            }
        }
        let count = |verdict| self.lines.iter().filter(|line| line.verdict == verdict).count();
        text.push_str(&format!(
            "\nTargets: {} met, {} missed.\n\n",
            count(Verdict::Met),
            count(Verdict::Missed)
        ));
        for note in &self.notes {
            text.push_str(&format!("- {note}\n"));
        }
        text
    }
}

fn cells(line: &Line) -> [String; 6] {
    let verdict = match line.verdict {
        Verdict::Met => "met",
        Verdict::Missed => "MISSED",
        Verdict::None => "",
    };
    let [what, who, figure, target] = line.cells.clone();
    [line.row.to_owned(), what, who, figure, target, verdict.to_owned()]
}
