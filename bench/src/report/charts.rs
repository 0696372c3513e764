//! The charts: horizontal bars, drawn from the samples of a run by plotters.
//!
//! Dark text on a light ground, a value beside each bar, and room at the left for the longest name.
//! A chart whose rows were not measured is not drawn, and an old one of that name is removed.

use crate::figure::number;
use crate::table::Sample;
use anyhow::{Context as _, anyhow};
use plotters::prelude::*;
use plotters::style::text_anchor::{HPos, Pos, VPos};
use std::path::Path;

const WIDTH: u32 = 860;
const BAR: i32 = 26;
const GAP: i32 = 8;
const HEADING: i32 = 30;
const LABELS: i32 = 300;
const RIGHT: i32 = 100;
const TOP: i32 = 52;
const BOTTOM: i32 = 58;

const GROUND: RGBColor = RGBColor(255, 255, 255);
const INK: RGBColor = RGBColor(36, 41, 47);
const FAINT: RGBColor = RGBColor(216, 222, 228);
const OURS: RGBColor = RGBColor(9, 105, 218);
const THEIRS: RGBColor = RGBColor(140, 149, 159);

const FONT: &str = "sans-serif";

/// A bar of a chart.
struct Bar {
    label: String,
    value: f64,
    least: f64,
    most: f64,
    ours: bool,
}

impl Bar {
    fn new(label: String, sample: &Sample) -> Self {
        let (value, least, most) = (sample.figure.median(), sample.figure.least(), sample.figure.most());
        Self { label, value, least, most, ours: sample.who.starts_with("gateway") }
    }
}

/// Bars under one heading.
struct Group {
    heading: String,
    bars: Vec<Bar>,
}

/// A chart before it is drawn.
struct Chart {
    file: &'static str,
    title: &'static str,
    axis: &'static str,
    logarithmic: bool,
    /// How a value is written.
    show: fn(f64) -> String,
    /// Bars that belong together stand together, below a heading if it is not empty.
    groups: Vec<Group>,
}

/// Draws all charts for which there are samples; their files and titles.
pub fn draw(folder: &Path, samples: &[Sample]) -> anyhow::Result<Vec<(&'static str, &'static str)>> {
    let mut drawn = Vec::new();
    for chart in [contenders(samples), saturation(samples), guests(samples), overload(samples)] {
        let path = folder.join(chart.file);
        if chart.groups.iter().all(|group| group.bars.is_empty()) {
            // The chart of another run would be taken for one of this.
            let _ = std::fs::remove_file(&path);
            continue;
        }
        render(&path, &chart).map_err(|error| anyhow!("drawing {}: {error}", path.display()))?;
        normalize(&path)?;
        drawn.push((chart.file, chart.title));
    }
    Ok(drawn)
}

/// Row h.
fn contenders(samples: &[Sample]) -> Chart {
    let chosen = samples.iter().filter(|sample| {
        sample.row == "h" && sample.quantity == "throughput" && sample.what.starts_with("trivial call")
    });
    let mut bars: Vec<Bar> = chosen.map(|sample| Bar::new(sample.who.clone(), sample)).collect();
    bars.sort_by(|a, b| b.value.total_cmp(&a.value));
    Chart {
        file: "throughput.svg",
        title: "A trivial call over HTTP, 64 connections",
        axis: "calls per second; more is better",
        logarithmic: false,
        show: number,
        groups: vec![Group { heading: String::new(), bars }],
    }
}

/// Row b: a group per number of loops.
fn saturation(samples: &[Sample]) -> Chart {
    let groups = ["0 loops", "32 loops", "1,000 loops"].into_iter().map(|loops| {
        let end = format!("/s, {loops}");
        let bars = ["p50", "p99"].into_iter().flat_map(|quantity| {
            let chosen = samples.iter().filter(move |sample| {
                // Those with a target are there a second time.
                sample.row == "b" && sample.bound.is_none() && sample.quantity == quantity
            });
            let calls =
                chosen.filter(|sample| sample.what.starts_with("call at") && sample.what.ends_with(&end));
            calls.map(move |sample| Bar::new(format!("{}, {quantity}", sample.who), sample))
        });
        Group { heading: format!("{loops} in flight"), bars: bars.collect() }
    });
    Chart {
        file: "saturation.svg",
        title: "Latency of a trivial call at 500/s while endless loops compute",
        axis: "logarithmic; less is better; a request without an answer counts with the time it waited",
        logarithmic: true,
        show: time,
        groups: groups.collect(),
    }
}

/// µs in the unit that suits them.
fn time(us: f64) -> String {
    let (value, unit) = match us {
        us if us < 1e3 => (us, "µs"),
        us if us < 1e6 => (us / 1e3, "ms"),
        us => (us / 1e6, "s"),
    };
    // Two digits at least, and none after a point that say nothing.
    let text = if value < 10.0 { format!("{value:.1}") } else { format!("{value:.0}") };
    format!("{} {unit}", text.strip_suffix(".0").unwrap_or(&text))
}

/// Row f.
fn guests(samples: &[Sample]) -> Chart {
    let groups = ["64 connections", "1 connection"].into_iter().map(|connections| {
        let chosen = samples.iter().filter(|sample| {
            sample.row == "f" && sample.quantity == "throughput" && sample.what.ends_with(connections)
        });
        let bars = chosen.map(|sample| Bar::new(sample.who.clone(), sample)).collect();
        Group { heading: connections.to_owned(), bars }
    });
    Chart {
        file: "wasi-http.svg",
        title: "One wasi:http guest under the gateway and under wasmtime serve",
        axis: "requests per second; more is better",
        logarithmic: false,
        show: number,
        groups: groups.collect(),
    }
}

/// Row n.
fn overload(samples: &[Sample]) -> Chart {
    let of = |quantity: &'static str| {
        samples.iter().filter(move |sample| sample.row == "n" && sample.quantity == quantity)
    };
    let bar = |sample: &Sample| {
        // `… of CPU, 10 × the capacity`: the task is the same everywhere.
        let label = sample.what.split_once(", ").map_or(sample.what.as_str(), |(_, load)| load);
        Bar::new(label.to_owned(), sample)
    };
    let bars = of("throughput").chain(of("finished")).map(bar).collect();
    Chart {
        file: "overload.svg",
        title: "Calls of 1–2 ms of CPU that are finished, at more and more load",
        axis: "calls per second; load generator on the same cores; more is better",
        logarithmic: false,
        show: number,
        groups: vec![Group { heading: String::new(), bars }],
    }
}

type Drawing<'a> = DrawingArea<SVGBackend<'a>, plotters::coord::Shift>;
type Drawn = Result<(), DrawingAreaErrorKind<std::io::Error>>;

/// How values become pixels.
struct Axis {
    least: f64,
    most: f64,
    logarithmic: bool,
}

impl Axis {
    fn new(chart: &Chart) -> Self {
        let bars = || chart.groups.iter().flat_map(|group| &group.bars);
        let most = bars().map(|bar| bar.most).fold(f64::MIN_POSITIVE, f64::max);
        if !chart.logarithmic {
            return Self { least: 0.0, most, logarithmic: false };
        }
        let least = bars().map(|bar| bar.least).filter(|value| *value > 0.0).fold(most, f64::min);
        let whole = |value: f64| 10_f64.powf(value);
        Self {
            least: whole((least / 2.0).log10().floor()),
            most: whole(most.log10().ceil()),
            logarithmic: true,
        }
    }

    fn at(&self, value: f64) -> i32 {
        let room = f64::from(WIDTH as i32 - LABELS - RIGHT);
        let part = if self.logarithmic {
            (value.max(self.least) / self.least).log10() / (self.most / self.least).log10()
        } else {
            value / self.most
        };
        LABELS + (part * room) as i32
    }

    /// Round values along it.
    fn ticks(&self) -> Vec<f64> {
        if self.logarithmic {
            let decades = (self.most / self.least).log10().round() as i32;
            return (0..=decades).map(|decade| self.least * 10_f64.powi(decade)).collect();
        }
        let size = 10_f64.powf((self.most / 4.0).log10().floor());
        let steps = [1.0, 2.0, 5.0, 10.0].map(|factor| factor * size);
        let step = steps.into_iter().find(|step| self.most / step <= 6.0).unwrap_or(size);
        (0..=(self.most / step) as i32).map(|index| f64::from(index) * step).collect()
    }
}

fn render(path: &Path, chart: &Chart) -> Drawn {
    let groups: Vec<&Group> = chart.groups.iter().filter(|group| !group.bars.is_empty()).collect();
    let room = |group: &&Group| heading_height(group) + group.bars.len() as i32 * (BAR + GAP);
    let bars = groups.iter().map(room).sum::<i32>();
    let height = TOP + bars + BOTTOM;
    let area = SVGBackend::new(path, (WIDTH, height as u32)).into_drawing_area();
    area.fill(&GROUND)?;
    let title = (FONT, 20).into_font().color(&INK);
    area.draw(&Text::new(chart.title, (16, 14), title))?;
    let axis = Axis::new(chart);
    frame(&area, &axis, chart, TOP + bars)?;
    let mut y = TOP;
    for group in groups {
        if !group.heading.is_empty() {
            let bold = (FONT, 14, FontStyle::Bold).into_font().color(&INK);
            let bold = bold.pos(Pos::new(HPos::Right, VPos::Center));
            area.draw(&Text::new(group.heading.as_str(), (LABELS - 10, y + HEADING / 2), bold))?;
        }
        y += heading_height(group);
        for bar in &group.bars {
            draw_bar(&area, &axis, bar, chart.show, y)?;
            y += BAR + GAP;
        }
    }
    area.present()
}

fn heading_height(group: &Group) -> i32 {
    if group.heading.is_empty() { 0 } else { HEADING }
}

fn frame(area: &Drawing<'_>, axis: &Axis, chart: &Chart, bottom: i32) -> Drawn {
    let small = (FONT, 13).into_font().color(&INK);
    let centred = small.pos(Pos::new(HPos::Center, VPos::Top));
    for tick in axis.ticks() {
        let x = axis.at(tick);
        area.draw(&PathElement::new(vec![(x, TOP - 6), (x, bottom)], FAINT))?;
        let text = if tick == 0.0 { "0".to_owned() } else { (chart.show)(tick) };
        area.draw(&Text::new(text, (x, bottom + 6), centred.clone()))?;
    }
    let middle = LABELS + (WIDTH as i32 - LABELS - RIGHT) / 2;
    area.draw(&Text::new(chart.axis, (middle, bottom + 28), centred))
}

fn draw_bar(area: &Drawing<'_>, axis: &Axis, bar: &Bar, show: fn(f64) -> String, y: i32) -> Drawn {
    let text = |size: i32| (FONT, size).into_font().color(&INK);
    let middle = y + BAR / 2;
    let label = text(14).pos(Pos::new(HPos::Right, VPos::Center));
    area.draw(&Text::new(bar.label.as_str(), (LABELS - 10, middle), label))?;
    let colour = if bar.ours { OURS } else { THEIRS };
    area.draw(&Rectangle::new([(LABELS, y), (axis.at(bar.value), y + BAR)], colour.filled()))?;
    // From the least to the most of the rounds.
    let (from, to) = (axis.at(bar.least), axis.at(bar.most));
    area.draw(&PathElement::new(vec![(from, middle), (to, middle)], INK))?;
    for x in [from, to] {
        area.draw(&PathElement::new(vec![(x, middle - 4), (x, middle + 4)], INK))?;
    }
    let value = text(14).pos(Pos::new(HPos::Left, VPos::Center));
    let x = axis.at(bar.value).max(to) + 8;
    area.draw(&Text::new(show(bar.value), (x, middle), value))
}

/// Ends the file as text files end.
fn normalize(path: &Path) -> anyhow::Result<()> {
    let text = std::fs::read_to_string(path).with_context(|| format!("reading {}", path.display()))?;
    let text = format!("{}\n", text.trim_end());
    std::fs::write(path, text).with_context(|| format!("writing {}", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::figure::Figure;

    fn sample(row: &'static str, what: &str, who: &str, value: f64) -> Sample {
        let (what, who) = (what.to_owned(), who.to_owned());
        let figure = Figure::of(value);
        Sample { row, what, who, quantity: "throughput", unit: "/s", figure, bound: None }
    }

    #[test]
    fn a_chart_is_drawn_of_what_was_measured_and_only_of_that() {
        let folder = tempfile::tempdir().unwrap();
        let old = folder.path().join("wasi-http.svg");
        std::fs::write(&old, "of another run").unwrap();
        let what = "trivial call, 64 connections";
        let samples =
            [sample("h", what, "gateway, WAT module", 60_000.0), sample("h", what, "workerd", 15_000.0)];
        let drawn = draw(folder.path(), &samples).unwrap();
        assert_eq!(drawn.iter().map(|(file, _)| *file).collect::<Vec<_>>(), ["throughput.svg"]);
        let text = std::fs::read_to_string(folder.path().join("throughput.svg")).unwrap();
        assert!(
            ["gateway, WAT module", "workerd", "60,000", "15,000"].iter().all(|word| text.contains(word))
        );
        assert!(!old.exists());
    }

    #[test]
    fn times_have_the_unit_that_suits_them() {
        assert_eq!([55.0, 1_000.0, 1_120.0, 3_300_000.0].map(time), ["55 µs", "1 ms", "1.1 ms", "3.3 s"]);
    }
}
