//! The loop: take an input, change it, feed it, keep it if it reached new code.
//!
//! A panic on any thread, an input that takes too long and a process that grows too large are findings: the input is
//! written to a file, and the process ends with an error. Knows no target.

use crate::coverage::Coverage;
use crate::mutate::{INPUT_BYTES_MAX, Random, mutate};
use crate::targets::Target;
use anyhow::Context as _;
use std::collections::hash_map::DefaultHasher;
use std::hash::{Hash as _, Hasher as _};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

/// Longest time for one input, on a machine that is busy with other things: 30 s, in looks of [`WATCH`].
const INPUT_LOOKS_MAX: u32 = 30;

/// Time between two looks at the input that is being fed. Counted in looks and not by the clock, so that a process
/// that was stopped for a while (SIGSTOP, a suspended machine) is not taken for one that hangs.
const WATCH: Duration = Duration::from_secs(1);

/// Largest process, in pages of 4 KiB: 3 GiB.
const PAGES_MAX: u64 = 3 << 18;

/// Inputs between two looks at that.
const LOOK: u64 = 256;

/// What is being fed now: the target's name, the input, looks at it so far.
static CURRENT: Mutex<Option<(&'static str, Vec<u8>, u32)>> = Mutex::new(None);

/// What came of a run.
#[derive(Debug)]
pub struct Done {
    /// Inputs fed.
    pub executions: u64,
    /// Inputs kept.
    pub inputs: usize,
    /// Edges reached, of how many; both 0 without instrumentation.
    pub edges: (usize, usize),
}

/// Makes panics, on whatever thread, and standstills findings that end the process.
pub fn watch() {
    let usual = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |panic| {
        usual(panic);
        finding("a panic");
    }));
    std::thread::spawn(|| {
        loop {
            std::thread::sleep(WATCH);
            let mut current = CURRENT.lock().unwrap_or_else(PoisonError::into_inner);
            let late = current.as_mut().is_some_and(|(_, _, looks)| {
                *looks += 1;
                *looks > INPUT_LOOKS_MAX
            });
            drop(current);
            if late {
                finding("no end in 30 s");
            }
        }
    });
}

fn finding(what: &str) -> ! {
    let current = CURRENT.lock().unwrap_or_else(PoisonError::into_inner).take();
    if let Some((target, input, _)) = current {
        let file = grown(target).with_file_name(format!("finding-{target}-{:016x}", digest(&input)));
        let written = std::fs::write(&file, &input);
        eprintln!("fuzz: {what} in target {target}; the input: {} ({written:?})", file.display());
    }
    std::process::exit(1);
}

fn digest(input: &[u8]) -> u64 {
    let mut hasher = DefaultHasher::new();
    input.hash(&mut hasher);
    hasher.finish()
}

/// The committed inputs of a target.
#[must_use]
pub fn seeds(target: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("seeds").join(target)
}

/// Where inputs are kept that reached new code.
fn grown(target: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../target/fuzz").join(target)
}

fn read(folder: &Path) -> anyhow::Result<Vec<Vec<u8>>> {
    let mut paths = Vec::new();
    for entry in std::fs::read_dir(folder).with_context(|| format!("reading {}", folder.display()))? {
        paths.push(entry?.path());
    }
    paths.sort();
    paths.iter().map(|path| std::fs::read(path).with_context(|| path.display().to_string())).collect()
}

/// Feeds all seeds, and changed ones until `time` is over. With `keep`, inputs that reached new code are stored, and
/// those of earlier runs are taken up.
///
/// # Errors
/// The seeds cannot be read, or an input cannot be written.
pub fn run(target: &Target, time: Duration, seed: u64, keep: bool) -> anyhow::Result<Done> {
    let folder = grown(target.name);
    std::fs::create_dir_all(&folder)?;
    let mut inputs = read(&seeds(target.name))?;
    anyhow::ensure!(!inputs.is_empty(), "target {} has no seeds", target.name);
    if keep {
        inputs.extend(read(&folder)?);
    }
    let (mut random, mut coverage, mut executions) = (Random::new(seed), Coverage::default(), 0);
    let mut feed = |input: &[u8], coverage: &mut Coverage| {
        *CURRENT.lock().unwrap_or_else(PoisonError::into_inner) = Some((target.name, input.to_vec(), 0));
        Coverage::clear();
        (target.feed)(input);
        executions += 1;
        if executions % LOOK == 0 && pages() > PAGES_MAX {
            finding("more than 3 GiB of memory");
        }
        coverage.take()
    };
    for input in &inputs {
        feed(input.get(..INPUT_BYTES_MAX * 64).unwrap_or(input), &mut coverage);
    }
    let end = Instant::now() + time;
    while Instant::now() < end {
        let (one, other) = (&inputs[random.below(inputs.len())], &inputs[random.below(inputs.len())]);
        let input = mutate(one, other, &mut random);
        if feed(&input, &mut coverage) {
            if keep {
                std::fs::write(folder.join(format!("{:016x}", digest(&input))), &input)?;
            }
            inputs.push(input);
        }
    }
    *CURRENT.lock().unwrap_or_else(PoisonError::into_inner) = None;
    Ok(Done { executions, inputs: inputs.len(), edges: (coverage.reached(), Coverage::edges()) })
}

fn pages() -> u64 {
    let text = std::fs::read_to_string("/proc/self/statm").unwrap_or_default();
    text.split_whitespace().nth(1).and_then(|field| field.parse().ok()).unwrap_or(0)
}
