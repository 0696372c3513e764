//! One measured quantity over several rounds: its median, its least and its most.
//!
//! Pure. Knows how a number is written, not where it comes from.

/// The rounds' values of one quantity.
#[derive(Clone, Debug, Default)]
pub struct Figure(Vec<f64>);

impl From<Vec<f64>> for Figure {
    fn from(rounds: Vec<f64>) -> Self {
        Self(rounds)
    }
}

impl Figure {
    /// The figure of one value.
    pub fn of(value: f64) -> Self {
        Self(vec![value])
    }

    /// Adds a round.
    pub fn push(&mut self, value: f64) {
        self.0.push(value);
    }

    /// The values in their order.
    pub fn rounds(&self) -> &[f64] {
        &self.0
    }

    /// The middle value; of an even number of them the mean of the two in the middle.
    pub fn median(&self) -> f64 {
        let mut sorted = self.0.clone();
        sorted.sort_by(f64::total_cmp);
        let at = |index: usize| sorted.get(index).copied().unwrap_or(f64::NAN);
        let half = sorted.len() / 2;
        if sorted.len() % 2 == 1 { at(half) } else { (at(half.saturating_sub(1)) + at(half)) / 2.0 }
    }

    /// The least.
    pub fn least(&self) -> f64 {
        self.0.iter().copied().fold(f64::INFINITY, f64::min)
    }

    /// The most.
    pub fn most(&self) -> f64 {
        self.0.iter().copied().fold(f64::NEG_INFINITY, f64::max)
    }

    /// Two figures round by round, for ratios and differences: rounds side by side share the
    /// machine's mood.
    pub fn with(&self, other: &Self, how: impl Fn(f64, f64) -> f64) -> Self {
        Self(self.0.iter().zip(&other.0).map(|(a, b)| how(*a, *b)).collect())
    }

    /// `median (least–most) unit`.
    pub fn show(&self, unit: &str) -> String {
        let space = if unit.is_empty() { "" } else { " " };
        if self.0.len() == 1 {
            return format!("{}{space}{unit}", number(self.median()));
        }
        let (least, most) = (number(self.least()), number(self.most()));
        format!("{}{space}{unit} ({least}–{most})", number(self.median()))
    }
}

/// Three significant digits, thousands separated.
pub fn number(value: f64) -> String {
    let size = value.abs();
    if !value.is_finite() {
        return "–".to_owned();
    }
    if size >= 1_000.0 {
        let whole = format!("{:.0}", size);
        let mut text = String::new();
        for (index, digit) in whole.chars().enumerate() {
            if index > 0 && (whole.len() - index).is_multiple_of(3) {
                text.push(',');
            }
            text.push(digit);
        }
        return if value < 0.0 { format!("-{text}") } else { text };
    }
    match size {
        _ if size >= 100.0 => format!("{value:.0}"),
        _ if size >= 10.0 => format!("{value:.1}"),
        _ => format!("{value:.2}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_median_is_the_middle_and_the_spread_is_beside_it() {
        let figure = Figure(vec![3.0, 1.0, 2.0]);
        assert_eq!(figure.show("µs"), "2.00 µs (1.00–3.00)");
        assert_eq!(Figure(vec![1.0, 2.0]).median(), 1.5);
    }

    #[test]
    fn numbers_have_three_digits_and_separators() {
        assert_eq!(number(64_123.4), "64,123");
        assert_eq!(number(1_234_567.0), "1,234,567");
        assert_eq!(number(87.25), "87.2");
        assert_eq!(number(-5.0), "-5.00");
    }
}
