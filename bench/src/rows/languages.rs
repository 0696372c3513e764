//! Row j: tasks in Python and JavaScript: a warm call, and from the dropped file to its first answer.
//!
//! The first answer waits for the compiler, or, when the same file comes again, for the compile
//! cache. A sample that is not built is a line that says so.

use crate::children::contender::Contender;
use crate::figure::Figure;
use crate::folder::{Folder, root};
use crate::load::connection::{Connection, post};
use crate::scale::Scale;
use crate::table::Table;
use anyhow::{Context as _, bail};
use std::path::Path;
use std::time::{Duration, Instant};

/// Longest wait for a module of many megabytes to be compiled.
const COMPILING_MAX: Duration = Duration::from_secs(300);

/// Time between two looks for a new task.
const LOOK: Duration = Duration::from_millis(5);

/// Time for compiled code to be written to the cache.
const SETTLING: Duration = Duration::from_secs(1);

/// A sample.
struct Sample {
    name: &'static str,
    language: &'static str,
    target: &'static str,
    body: &'static str,
    /// What its answer holds.
    expected: &'static str,
}

const SAMPLES: [Sample; 2] = [
    Sample {
        name: "markdown",
        language: "Python",
        target: "/tasks/markdown/html",
        body: r##"{"markdown": "# Hello"}"##,
        expected: "<h1",
    },
    Sample {
        name: "jsonata",
        language: "JavaScript",
        target: "/tasks/jsonata?expression=a.b",
        body: r#"{"a": {"b": 1}}"#,
        expected: "1",
    },
];

/// Measures.
pub fn run(scale: &Scale, table: &mut Table) -> anyhow::Result<()> {
    for sample in &SAMPLES {
        let who = format!("gateway, `{}` in {}", sample.name, sample.language);
        let module = root().join("tasks").join(format!("{}.wasm", sample.name));
        if !module.exists() {
            let file = format!("missing: tasks/{}.wasm is not built; just build-tasks all", sample.name);
            table.line("j", "warm call", &who, file);
            continue;
        }
        measure(sample, &module, &who, scale, table).with_context(|| sample.name)?;
    }
    Ok(())
}

fn measure(
    sample: &Sample,
    module: &Path,
    who: &str,
    scale: &Scale,
    table: &mut Table,
) -> anyhow::Result<()> {
    let folder = Folder::new()?;
    let gateway = Contender::gateway(folder.path())?;
    let mut connection = Connection::open(gateway.address)?;
    let request = post(sample.target, "application/json", sample.body.as_bytes());
    folder.sample(&format!("{}.toml", sample.name))?;
    let dropped = folder.tasks().join(format!("{}.wasm", sample.name));
    let mut drop_in = || -> anyhow::Result<f64> {
        let start = Instant::now();
        std::fs::copy(module, &dropped).context("copying the module")?;
        let (time, answer) = connection.until_ok(&request, start, LOOK, COMPILING_MAX)?;
        check(sample, &answer.body)?;
        Ok(time.as_secs_f64())
    };
    let cold = Figure::of(drop_in()?);
    let mut warm = Figure::default();
    for _ in 0..scale.drop_rounds {
        std::thread::sleep(SETTLING);
        std::fs::remove_file(&dropped).context("removing the module")?;
        gone(&gateway, sample)?;
        warm.push(drop_in()?);
    }
    let mut times = Figure::default();
    for _ in 0..scale.warm_calls {
        let start = Instant::now();
        let answer = connection.ask_with(&request)?;
        times.push(start.elapsed().as_secs_f64() * 1e6);
        check(sample, &answer.body)?;
    }
    let size = std::fs::metadata(module).context("the module's size")?.len() as f64 / f64::from(1 << 20);
    let what = format!("dropped file of {size:.0} MiB to first answer");
    table.parts("j", "warm call, 1 connection", who, &[("p50", &times, "µs")]);
    table.parts("j", &format!("{what}, compiled"), who, &[("time", &cold, "s")]);
    table.parts("j", &format!("{what}, from the cache"), who, &[("time", &warm, "s")]);
    Ok(())
}

fn check(sample: &Sample, body: &[u8]) -> anyhow::Result<()> {
    let body = String::from_utf8_lossy(body);
    if !body.contains(sample.expected) {
        bail!("{} answered {body:?}, without {:?}", sample.target, sample.expected);
    }
    Ok(())
}

/// Waits until a removed task is unknown.
fn gone(gateway: &Contender, sample: &Sample) -> anyhow::Result<()> {
    let mut connection = Connection::open(gateway.address)?;
    let deadline = Instant::now() + Duration::from_secs(20);
    // Its manifest is still there, so that it may be known as one that failed.
    while connection.ask(&format!("/tasks/{}", sample.name))?.status == 200 {
        if Instant::now() > deadline {
            bail!("{} is still served 20 s after its file was removed", sample.name);
        }
        std::thread::sleep(LOOK);
    }
    Ok(())
}
