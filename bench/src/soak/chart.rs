//! The process's memory over a soak, looked at every second, as a chart.
//!
//! What leaks climbs to the end; what is only kept ready levels off. Knows no clients.

use crate::proc::Process;
use anyhow::{Context as _, anyhow};
use plotters::prelude::*;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{Scope, ScopedJoinHandle};
use std::time::{Duration, Instant};

const SIZE: (u32, u32) = (860, 320);
const INK: RGBColor = RGBColor(36, 41, 47);
const FAINT: RGBColor = RGBColor(216, 222, 228);
const OURS: RGBColor = RGBColor(9, 105, 218);

const LOOK: Duration = Duration::from_secs(1);

/// Seconds since the start, and MiB.
pub type Points = Vec<(f64, f64)>;

/// Looks at a process until it is told to end.
pub fn watch<'scope>(
    scope: &'scope Scope<'scope, '_>,
    process: Process,
    ended: &'scope AtomicBool,
) -> ScopedJoinHandle<'scope, Points> {
    scope.spawn(move || {
        let (start, mut points) = (Instant::now(), Points::new());
        while !ended.load(Ordering::Relaxed) {
            if let Ok(kib) = process.memory_kib() {
                points.push((start.elapsed().as_secs_f64(), kib as f64 / 1024.0));
            }
            std::thread::sleep(LOOK);
        }
        points
    })
}

/// Draws them; `warm` is when the warm-up ended, in seconds.
pub fn draw(path: &Path, points: &Points, warm: f64) -> anyhow::Result<()> {
    let last = points.last().map_or(1.0, |(seconds, _)| *seconds);
    let most = points.iter().map(|(_, mib)| *mib).fold(1.0, f64::max) * 1.1;
    let mut svg = String::new();
    let drawn: Result<(), DrawingAreaErrorKind<std::io::Error>> = (|| {
        let area = SVGBackend::with_string(&mut svg, SIZE).into_drawing_area();
        area.fill(&WHITE)?;
        let mut chart = ChartBuilder::on(&area)
            .caption("Memory of the gateway during a soak", ("sans-serif", 20).into_font().color(&INK))
            .margin(14)
            .x_label_area_size(44)
            .y_label_area_size(60)
            .build_cartesian_2d(0.0..last, 0.0..most)?;
        chart
            .configure_mesh()
            .light_line_style(WHITE)
            .bold_line_style(FAINT)
            .axis_style(INK)
            .label_style(("sans-serif", 13).into_font().color(&INK))
            .x_desc("seconds; the grey line ends the warm-up")
            .y_desc("MiB (PSS)")
            .draw()?;
        chart.draw_series([PathElement::new(vec![(warm, 0.0), (warm, most)], RGBColor(140, 149, 159))])?;
        chart.draw_series([PathElement::new(points.clone(), OURS.stroke_width(2))])?;
        area.present()
    })();
    drawn.map_err(|error| anyhow!("drawing {}: {error}", path.display()))?;
    std::fs::write(path, format!("{}\n", svg.trim_end()))
        .with_context(|| format!("writing {}", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_chart_has_a_line_through_every_point() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("soak.svg");
        let points = vec![(0.0, 30.0), (1.0, 60.0), (2.0, 58.0)];
        draw(&path, &points, 1.0).expect("drawn");
        let svg = std::fs::read_to_string(path).expect("an SVG");
        let line = svg.lines().find(|line| line.contains("#0969DA")).expect("our line");
        assert_eq!(
            line.split("points=\"").nth(1).map(|points| points.split_whitespace().count() - 1),
            Some(3),
            "{line}"
        );
    }
}
