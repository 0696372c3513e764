//! The raw data: a line per round of each figure, comma-separated (RFC 4180).
//!
//! Nothing is left out and nothing is rounded away: whoever doubts a median finds the rounds behind
//! it here, and the charts can be drawn from it again. Knows samples only.

use crate::figure::Figure;
use crate::table::Sample;
use anyhow::{Context as _, bail};
use csv::{ReaderBuilder, Terminator, WriterBuilder};
use std::collections::HashSet;

const HEAD: [&str; 7] = ["row", "what", "who", "quantity", "unit", "round", "value"];

/// All rounds of all figures.
pub fn text(samples: &[Sample]) -> anyhow::Result<String> {
    let mut writer = WriterBuilder::new().terminator(Terminator::Any(b'\n')).from_writer(Vec::new());
    writer.write_record(HEAD)?;
    for sample in samples {
        for (index, value) in sample.figure.rounds().iter().enumerate() {
            let (round, value) = ((index + 1).to_string(), format!("{value:.6}"));
            let words = [sample.row, &sample.what, &sample.who, sample.quantity, sample.unit, &round, &value];
            writer.write_record(words)?;
        }
    }
    let bytes = writer.into_inner().context("writing into memory")?;
    String::from_utf8(bytes).context("samples are text")
}

/// The samples of such a text, without their targets.
pub fn samples(text: &str) -> anyhow::Result<Vec<Sample>> {
    let mut reader = ReaderBuilder::new().from_reader(text.as_bytes());
    if reader.headers()? != HEAD.as_slice() {
        bail!("found the columns {:?}, expected {HEAD:?}", reader.headers()?);
    }
    let mut samples: Vec<Sample> = Vec::new();
    for (index, record) in reader.records().enumerate() {
        let record = record?;
        let at = |column: usize| record.get(column).unwrap_or_default();
        let value: f64 =
            at(6).parse().with_context(|| format!("line {}: no number: {:?}", index + 2, at(6)))?;
        // Round 1 begins a figure: the same words may name another one further down.
        if let (Some(last), false) = (samples.last_mut(), at(5) == "1") {
            last.figure.push(value);
            continue;
        }
        samples.push(Sample {
            row: kept(at(0)),
            what: at(1).to_owned(),
            who: at(2).to_owned(),
            quantity: kept(at(3)),
            unit: kept(at(4)),
            figure: Figure::of(value),
            bound: None,
        });
    }
    // A figure that was judged is there a second time.
    let key = |sample: &Sample| (sample.row, sample.what.clone(), sample.who.clone(), sample.quantity);
    let mut seen = HashSet::new();
    samples.retain(|sample| seen.insert(key(sample)));
    Ok(samples)
}

/// A measured sample's words are those of the program; what is read lives as long.
fn kept(text: &str) -> &'static str {
    String::leak(text.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_round_is_a_line_commas_are_quoted_and_it_is_read_as_it_was_written() {
        let sample = Sample {
            row: "a",
            what: "call, trivial".to_owned(),
            who: "us".to_owned(),
            quantity: "p50",
            unit: "µs",
            figure: Figure::from(vec![1.5, 2.0]),
            bound: None,
        };
        let written = text(&[sample.clone(), sample.clone()]).expect("written");
        let head = "row,what,who,quantity,unit,round,value\n";
        let lines = "a,\"call, trivial\",us,p50,µs,1,1.500000\na,\"call, trivial\",us,p50,µs,2,2.000000\n";
        assert_eq!(written, format!("{head}{lines}{lines}"));
        let read = samples(&written).expect("read");
        assert_eq!(read.len(), 1, "once, though it was judged");
        for read in read {
            assert_eq!((read.row, read.unit, read.figure.rounds()), ("a", "µs", sample.figure.rounds()));
        }
        assert!(samples("a,b\n1,2\n").is_err());
    }
}
