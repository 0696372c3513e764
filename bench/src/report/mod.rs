//! What a run leaves in `docs/`: the page, its charts, and the raw data.
//!
//! Reads the table and knows no measuring. The page is written whole by a whole run; nothing in it is
//! kept by hand.

mod charts;
mod csv;

use crate::table::Table;
use anyhow::Context as _;
use std::fs::read_to_string;
use std::path::Path;

const INTRODUCTION: &str = "\
# Benchmarks

Written by the benchmark itself; `just bench` writes it anew. Everything below was measured in one run on one machine:
contenders in turns (A B C A B C …), each in a process of its own, on the same cores as the load generator. A cell shows
the median of the rounds with the least and the most of them. Ratios are taken round by round, so that both sides share
the machine's mood. Latencies are those of an open loop: a request has an appointed time and counts from that.
Every answer was checked. The targets are those of issue 4; a row that we lose is shown like any other. Parts headed
“Again” are later runs of some rows, each by itself.

";

const READING: &str = "\
## The rows

- **a** a trivial typed call; **b** the same, and `GET /`, among endless loops; **c** thousands of sleeping calls
- **d** from a client's hang-up to the end of its run; **e** idle CPU; **f** one `wasi:http` guest here and under
  `wasmtime serve`, and a streamed echo; **g** a command per request
- **h** the trivial call and 1 ms of CPU beside what one would take instead, each of them one process;
  **i** guests that compute beside native code; **j** tasks in Python and JavaScript
- **k** start and drop-in; **l** what grows with tasks, parked calls, finished calls and workers
- **n** an open loop of more calls than fit ([what that means](reliability.md#overload))
- **o** what it costs that calls are seen, and a scrape of `/metrics`; **p** the page's stream of events

";

/// Writes `benchmarks.md`, `benchmarks.csv` and `charts/*.svg` into a folder.
pub fn write(folder: &Path, table: &Table, command: &str) -> anyhow::Result<()> {
    let into = folder.join("charts");
    std::fs::create_dir_all(&into).with_context(|| format!("making {}", into.display()))?;
    let drawn = charts::draw(&into, table.samples())?;
    let mut page = INTRODUCTION.to_owned();
    for (file, title) in drawn {
        page.push_str(&format!("![{title}](charts/{file})\n\n"));
    }
    page.push_str(READING);
    page.push_str(&format!(
        "## The figures\n\nMeasured by `{command}`. All rounds: [benchmarks.csv](benchmarks.csv).\n\n"
    ));
    page.push_str(&table.render());
    let path = folder.join("benchmarks.md");
    std::fs::write(&path, page).with_context(|| format!("writing {}", path.display()))?;
    let path = folder.join("benchmarks.csv");
    std::fs::write(&path, csv::text(table.samples())?).with_context(|| format!("writing {}", path.display()))
}

/// What begins the part of the page that tells of rows which were measured again.
const AGAIN: &str = "\n## Again: ";

/// Adds some rows, measured later than the whole, to a page that is there: a part of its own at the end, in place of one of
/// the same rows. In the raw data and in the charts they take the place of the older ones.
pub fn again(folder: &Path, table: &Table, rows: &[&str], command: &str) -> anyhow::Result<()> {
    let (page, raw) = (folder.join("benchmarks.md"), folder.join("benchmarks.csv"));
    let read = |path: &Path| {
        read_to_string(path).with_context(|| format!("reading {}; `just bench` writes it", path.display()))
    };
    let told = format!("Measured by `{command}`, later than what stands above.\n\n{}", table.render());
    let written = with_part(&read(&page)?, &rows.join(", "), &told);
    std::fs::write(&page, written).with_context(|| format!("writing {}", page.display()))?;
    let others = read(&raw)?;
    let others = others.lines().filter(|line| !rows.iter().any(|row| line.starts_with(&format!("{row},"))));
    let now = csv::text(table.samples())?;
    let text: Vec<&str> = others.chain(now.lines().skip(1)).collect();
    std::fs::write(&raw, text.join("\n") + "\n").with_context(|| format!("writing {}", raw.display()))?;
    redraw(folder).map(|_| ())
}

/// A page whose part on these rows says something else now.
fn with_part(page: &str, rows: &str, told: &str) -> String {
    let mut parts = page.split(AGAIN);
    let whole = parts.next().unwrap_or_default();
    let others = parts.filter(|part| part.lines().next() != Some(rows)).map(|part| format!("{AGAIN}{part}"));
    let mut written = format!("{}\n{}", whole.trim_end(), others.collect::<String>());
    written.push_str(&format!("{AGAIN}{rows}\n\n{told}"));
    written
}

/// Draws the charts of a folder from its `benchmarks.csv` again. Returns how many there are.
pub fn redraw(folder: &Path) -> anyhow::Result<usize> {
    let path = folder.join("benchmarks.csv");
    let text = read_to_string(&path).with_context(|| format!("reading {}", path.display()))?;
    let samples = csv::samples(&text).with_context(|| format!("reading {}", path.display()))?;
    Ok(charts::draw(&folder.join("charts"), &samples)?.len())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_part_takes_the_place_of_the_one_on_the_same_rows() {
        let page = with_part("whole\n", "n, o", "first\n");
        assert_eq!(page, "whole\n\n## Again: n, o\n\nfirst\n");
        let page = with_part(&with_part(&page, "p", "other\n"), "n, o", "second\n");
        assert_eq!(page, "whole\n\n## Again: p\n\nother\n\n## Again: n, o\n\nsecond\n");
    }
}
