//! The result: lines of figures, each with its target, written as an aligned Markdown table.
//!
//! Readable on a terminal as it is. Knows no measuring.

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
}

impl Table {
    /// An empty table of a machine.
    pub fn new(machine: Vec<String>) -> Self {
        Self { machine, lines: Vec::new(), notes: Vec::new() }
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

    /// A remark below the table.
    pub fn note(&mut self, text: impl Into<String>) {
        let text = text.into();
        if !self.notes.contains(&text) {
            self.notes.push(text);
        }
    }

    /// The whole as Markdown.
    pub fn render(&self) -> String {
        let mut text = String::from("# Benchmark\n\n");
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
