//! The raw data: a line per round of each figure, comma-separated (RFC 4180).
//!
//! Nothing is left out and nothing is rounded away: whoever doubts a median finds the rounds behind
//! it here. Knows samples only.

use crate::table::Sample;

const HEAD: &str = "row,what,who,quantity,unit,round,value\n";

/// All rounds of all figures.
pub fn text(samples: &[Sample]) -> String {
    let mut text = HEAD.to_owned();
    for sample in samples {
        let words =
            [sample.row, &sample.what, &sample.who, sample.quantity, sample.unit].map(field).join(",");
        for (index, value) in sample.figure.rounds().iter().enumerate() {
            text.push_str(&format!("{words},{},{value:.6}\n", index + 1));
        }
    }
    text
}

/// A field, in quotes if it holds what separates fields.
fn field(text: &str) -> String {
    if text.contains([',', '"', '\n']) {
        format!("\"{}\"", text.replace('"', "\"\""))
    } else {
        text.to_owned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::figure::Figure;

    #[test]
    fn a_round_is_a_line_and_commas_are_quoted() {
        let sample = Sample {
            row: "a",
            what: "call, trivial".to_owned(),
            who: "us".to_owned(),
            quantity: "p50",
            unit: "µs",
            figure: Figure::of(1.5),
            bound: None,
        };
        assert_eq!(text(&[sample]), format!("{HEAD}a,\"call, trivial\",us,p50,µs,1,1.500000\n"));
    }
}
