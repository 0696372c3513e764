//! The guard: the ratios of a run beside those recorded in `bench/ratios.toml`.
//!
//! Ratios only, never times: they are what another machine has in common with the one of the record.
//! Knows no measuring and no row; whoever measures says what to compare.

use crate::figure::number;
use crate::table::{Bound, RATIO, Sample};
use anyhow::Context as _;
use serde::{Deserialize, Serialize};
use std::path::{Path, PathBuf};

/// The part of a recorded ratio that may be lost.
const LOSS_MAX: f64 = 0.2;

/// A recorded ratio.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Entry {
    row: String,
    what: String,
    who: String,
    better: Better,
    value: f64,
}

/// What an improvement is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Better {
    Higher,
    Lower,
}

impl Entry {
    fn is(&self, other: &Self) -> bool {
        (&self.row, &self.what, &self.who) == (&other.row, &other.what, &other.who)
    }

    /// What is left of it in `now`: 1 is as much as ever, 0.8 a fifth less.
    fn left(&self, now: &Self) -> f64 {
        match self.better {
            Better::Higher => now.value / self.value,
            Better::Lower => self.value / now.value,
        }
    }
}

#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Record {
    #[serde(default)]
    ratio: Vec<Entry>,
}

const HEAD: &str = "\
# The ratios that `just bench check` compares with: medians of a quick run, written by `just bench record`.
# One that falls by more than 20 % fails the check.

";

/// Where the record is.
pub fn path() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("ratios.toml")
}

fn entries(samples: &[Sample]) -> Vec<Entry> {
    let ratios = samples.iter().filter(|sample| sample.quantity == RATIO);
    ratios
        .map(|sample| Entry {
            row: sample.row.to_owned(),
            what: sample.what.clone(),
            who: sample.who.clone(),
            better: if matches!(sample.bound, Some(Bound::AtMost(_))) {
                Better::Lower
            } else {
                Better::Higher
            },
            // Four digits say all there is to say, and make small differences of the file.
            value: (sample.figure.median() * 1e4).round() / 1e4,
        })
        .collect()
}

/// Rewrites what the record says of the rows measured; others keep their figures.
pub fn record(path: &Path, samples: &[Sample]) -> anyhow::Result<usize> {
    let new = entries(samples);
    let mut record = read(path)?;
    record.ratio.retain(|old| !new.iter().any(|new| new.row == old.row));
    let count = new.len();
    record.ratio.extend(new);
    record.ratio.sort_by(|a, b| a.row.cmp(&b.row));
    let text = toml::to_string(&record).context("writing the ratios as TOML")?;
    std::fs::write(path, format!("{HEAD}{text}")).with_context(|| format!("writing {}", path.display()))?;
    Ok(count)
}

fn read(path: &Path) -> anyhow::Result<Record> {
    match std::fs::read_to_string(path) {
        Ok(text) => {
            toml::from_str(&text).with_context(|| format!("{} is no record of ratios", path.display()))
        }
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(Record::default()),
        Err(error) => Err(error).with_context(|| format!("reading {}", path.display())),
    }
}

/// What came of a comparison.
pub struct Compared {
    /// A line for each ratio that deserves one.
    pub told: Vec<String>,
    /// Rows in which a ratio fell by too much.
    pub fallen: Vec<String>,
}

/// Compares the ratios of `rows` with their record.
pub fn compare(path: &Path, samples: &[Sample], rows: &[&str]) -> anyhow::Result<Compared> {
    Ok(compare_with(&read(path)?, &entries(samples), rows))
}

fn compare_with(record: &Record, now: &[Entry], rows: &[&str]) -> Compared {
    let mut compared = Compared { told: Vec::new(), fallen: Vec::new() };
    for old in record.ratio.iter().filter(|old| rows.contains(&old.row.as_str())) {
        let name = format!("row {}: {}, {}", old.row, old.what, old.who);
        let Some(new) = now.iter().find(|new| new.is(old)) else {
            compared.told.push(format!("not measured  {name}: recorded as {}", number(old.value)));
            continue;
        };
        let left = old.left(new);
        let figures = format!("{} recorded, {} now", number(old.value), number(new.value));
        // A ratio that is no number has fallen, too.
        if left >= 1.0 - LOSS_MAX {
            compared.told.push(format!("ok            {name}: {figures}"));
        } else {
            compared.told.push(format!("FELL by {:>3.0} % {name}: {figures}", (1.0 - left) * 100.0));
            compared.fallen.push(old.row.clone());
        }
    }
    for new in now.iter().filter(|new| !record.ratio.iter().any(|old| old.is(new))) {
        let name = format!("row {}: {}, {}", new.row, new.what, new.who);
        compared.told.push(format!("not recorded  {name}: {} now; `just bench record`", number(new.value)));
    }
    compared.fallen.dedup();
    compared
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(who: &str, better: Better, value: f64) -> Entry {
        let (row, what) = ("a".to_owned(), "throughput".to_owned());
        Entry { row, what, who: who.to_owned(), better, value }
    }

    #[test]
    fn a_fall_of_more_than_a_fifth_is_told_in_either_direction() {
        let record = Record {
            ratio: vec![
                entry("fell", Better::Higher, 1.0),
                entry("kept", Better::Higher, 1.0),
                entry("rose", Better::Lower, 1.0),
                entry("gone", Better::Lower, 1.0),
            ],
        };
        let now = [
            entry("fell", Better::Higher, 0.79),
            entry("kept", Better::Higher, 0.81),
            entry("rose", Better::Lower, 1.3),
            entry("new", Better::Lower, 1.0),
        ];
        let compared = compare_with(&record, &now, &["a"]);
        let starts: Vec<&str> = compared.told.iter().filter_map(|line| line.get(..7)).collect();
        assert_eq!(starts, ["FELL by", "ok     ", "FELL by", "not mea", "not rec"]);
        assert_eq!(compared.fallen, ["a"]);
        assert!(compare_with(&record, &now, &["b"]).fallen.is_empty());
    }

    #[test]
    fn a_record_is_read_as_it_was_written() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("ratios.toml");
        let sample = Sample {
            row: "b",
            what: "p50".to_owned(),
            who: "us".to_owned(),
            quantity: RATIO,
            unit: "",
            figure: crate::figure::Figure::of(1.5),
            bound: Some(Bound::AtMost(2.0)),
        };
        assert_eq!(record(&path, &[sample]).unwrap(), 1);
        let read = read(&path).unwrap();
        let expected =
            Entry { row: "b".to_owned(), what: "p50".to_owned(), ..entry("us", Better::Lower, 1.5) };
        assert_eq!(read.ratio, [expected]);
    }
}
