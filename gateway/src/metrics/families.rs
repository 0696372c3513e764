//! How a metric is written down: its description once, then a line for each set of labels.
//!
//! A thin layer over the encoder, which knows names, units and escapes. Nothing here knows what is
//! measured.

use crate::observe::histogram::{BOUNDED, Histogram, bound};
use prometheus_client::encoding::{
    DescriptorEncoder, EncodeCounterValue, EncodeGaugeValue, EncodeMetric, MetricEncoder, NoLabelSet,
};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::counter::ConstCounter;
use prometheus_client::metrics::gauge::ConstGauge;
use prometheus_client::registry::Unit;
use std::fmt::Result;

/// What is said of a metric: its name without prefix, unit and suffix, its unit, and what it tells.
pub type About<'a> = (&'a str, Option<Unit>, &'a str);

/// Labels, each with its value.
pub type Labels<'a, const N: usize> = [(&'static str, &'a str); N];

/// The metrics of one part of the text.
pub struct Families<'a>(pub DescriptorEncoder<'a>);

impl Families<'_> {
    fn family<'s>(
        &'s mut self,
        about: &'s About<'_>,
        kind: MetricType,
    ) -> std::result::Result<MetricEncoder<'s>, std::fmt::Error> {
        let (name, unit, help) = about;
        self.0.encode_descriptor(name, help, unit.as_ref(), kind)
    }

    /// A gauge without labels.
    pub fn gauge<V: EncodeGaugeValue>(&mut self, about: About<'_>, value: V) -> Result {
        ConstGauge::new(value).encode(self.family(&about, MetricType::Gauge)?)
    }

    /// A gauge by labels.
    pub fn gauges<'l, const N: usize, V: EncodeGaugeValue>(
        &mut self,
        about: About<'_>,
        series: impl IntoIterator<Item = (Labels<'l, N>, V)>,
    ) -> Result {
        let mut family = self.family(&about, MetricType::Gauge)?;
        for (labels, value) in series {
            ConstGauge::new(value).encode(family.encode_family(&labels)?)?;
        }
        Ok(())
    }

    /// A counter without labels.
    pub fn counter<V: EncodeCounterValue>(&mut self, about: About<'_>, value: V) -> Result {
        ConstCounter::new(value).encode(self.family(&about, MetricType::Counter)?)
    }

    /// A counter by labels.
    pub fn counters<'l, const N: usize, V: EncodeCounterValue>(
        &mut self,
        about: About<'_>,
        series: impl IntoIterator<Item = (Labels<'l, N>, V)>,
    ) -> Result {
        let mut family = self.family(&about, MetricType::Counter)?;
        for (labels, value) in series {
            ConstCounter::new(value).encode(family.encode_family(&labels)?)?;
        }
        Ok(())
    }

    /// What is always 1 and tells by its labels.
    pub fn infos<'l, const N: usize>(
        &mut self,
        about: About<'_>,
        series: impl IntoIterator<Item = Labels<'l, N>>,
    ) -> Result {
        let mut family = self.family(&about, MetricType::Info)?;
        series.into_iter().try_for_each(|labels| family.encode_info(&labels))
    }

    /// A histogram without labels.
    pub fn histogram(&mut self, about: About<'_>, histogram: &Histogram) -> Result {
        let bounds = bounds();
        let mut family = self.family(&about, MetricType::Histogram)?;
        encode(&mut family, histogram, &bounds)
    }

    /// A histogram by labels.
    pub fn histograms<'l, const N: usize>(
        &mut self,
        about: About<'_>,
        series: impl IntoIterator<Item = (Labels<'l, N>, &'l Histogram)>,
    ) -> Result {
        let bounds = bounds();
        let mut family = self.family(&about, MetricType::Histogram)?;
        for (labels, histogram) in series {
            encode(&mut family.encode_family(&labels)?, histogram, &bounds)?;
        }
        Ok(())
    }
}

/// Every second bound of a [`Histogram`], in seconds, and infinity.
fn bounds() -> Vec<f64> {
    // Divided once: the nearest number to the decimal one, which is written with few digits.
    let seconds = (0..BOUNDED).step_by(2).map(|index| bound(index).as_nanos() as f64 / 1e9);
    seconds.chain([f64::INFINITY]).collect()
}

fn encode(family: &mut MetricEncoder<'_>, histogram: &Histogram, bounds: &[f64]) -> Result {
    // The first bucket is whole; after it, two at a time have a bound that is shown.
    let (first, rest) = histogram.counts().split_at(1);
    let counts = std::iter::once(first).chain(rest.chunks(2)).map(|counts| counts.iter().sum());
    let buckets: Vec<(f64, u64)> = bounds.iter().copied().zip(counts).collect();
    family.encode_histogram::<NoLabelSet>(histogram.sum().as_secs_f64(), histogram.count(), &buckets, None)
}

#[cfg(test)]
mod tests {
    use super::*;
    use prometheus_client::collector::Collector;
    use prometheus_client::encoding::text::encode;
    use prometheus_client::registry::Registry;
    use std::time::Duration;

    #[derive(Debug)]
    struct Seconds(Vec<Duration>);

    impl Collector for Seconds {
        fn encode(&self, encoder: DescriptorEncoder<'_>) -> Result {
            let mut histogram = Histogram::default();
            self.0.iter().for_each(|duration| histogram.record(*duration));
            Families(encoder).histograms(
                ("taken", Some(Unit::Seconds), "Time."),
                [([("who", "a \"quoted\"\\\nname")], &histogram)],
            )
        }
    }

    #[test]
    fn a_histogram_counts_up_to_each_bound_and_escapes_what_it_is_told() {
        let mut registry = Registry::with_prefix("x");
        let taken = [1, 10, 11, 20, 21, 1_310_720, 83_886_080, 90_000_000].map(Duration::from_micros);
        registry.register_collector(Box::new(Seconds(taken.into())));
        let mut text = String::new();
        encode(&mut text, &registry).expect("a text");
        let at = |bound: &str| {
            let labels =
                format!("x_taken_seconds_bucket{{le=\"{bound}\",who=\"a \\\"quoted\\\"\\\\\\nname\"}} ");
            let line = text.lines().find_map(|line| line.strip_prefix(&labels));
            line.unwrap_or_else(|| panic!("no {labels} in\n{text}")).parse::<u64>().expect("a count")
        };
        let bounds = ["0.00001", "0.00002", "0.00004", "1.31072", "83.88608", "+Inf"];
        assert_eq!(bounds.map(at), [2, 4, 5, 6, 7, 8], "{text}");
        assert_eq!(text.lines().filter(|line| line.contains("_bucket")).count(), 25);
        assert!(text.contains("# UNIT x_taken_seconds seconds"), "{text}");
    }
}
