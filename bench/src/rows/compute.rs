//! Row i: guests that compute, beside the same code as native code.
//!
//! The guest's time is that of the whole call over HTTP, with the body's way in and out; the native
//! one is the function's alone. Both are measured in turns, on an otherwise idle machine.

use crate::children::contender::Contender;
use crate::children::work::Work;
use crate::figure::Figure;
use crate::folder::Folder;
use crate::load::connection::{Connection, get, post};
use crate::scale::Scale;
use crate::table::{Bound, Table};
use anyhow::{Context as _, bail};
use std::time::Instant;

/// The longest time of the guest, in that of native code.
const TARGET: f64 = 1.35;

const WIDTH: u32 = 320;

/// One kind of work.
struct Task {
    what: &'static str,
    /// The guest's call.
    request: Vec<u8>,
    /// The native command.
    command: String,
    /// How often it is done in a turn: what takes a few ms is easily disturbed.
    repeats: usize,
    /// Whether the answer of the guest agrees with the native result.
    agree: fn(&[u8], &str) -> bool,
    guest: Figure,
    native: Figure,
}

impl Task {
    /// Once native and once as a guest; both times in ms.
    fn turn(&self, work: &mut Work, connection: &mut Connection) -> anyhow::Result<(f64, f64)> {
        let (native, result) = work.ask(&self.command)?;
        let start = Instant::now();
        let answer = connection.ask_with(&self.request)?;
        let guest = start.elapsed().as_secs_f64() * 1e3;
        if answer.status != 200 || !(self.agree)(&answer.body, &result) {
            let body = String::from_utf8_lossy(&answer.body);
            bail!("{} {body:.200?}, where native code gives {result}", answer.status);
        }
        Ok((native / 1e3, guest))
    }
}

/// Measures and judges.
pub fn run(scale: &Scale, table: &mut Table) -> anyhow::Result<()> {
    let mut work = match Work::start() {
        Ok(work) => work,
        Err(error) => {
            table.line("i", "the same code native", "bench-native", format!("missing: {error:#}"));
            return Ok(());
        }
    };
    let folder = Folder::empty()?;
    for name in
        ["primes.wat", "primes.toml", "password.wasm", "password.toml", "thumbnail.wasm", "thumbnail.toml"]
    {
        folder.sample(name)?;
    }
    let mut tasks = tasks(&folder, &mut work)?;
    let gateway = Contender::gateway(folder.path())?;
    let mut connection = Connection::open(gateway.address)?;
    // The first turn checks the answers and warms both sides up.
    for round in 0..=scale.compute_rounds {
        for task in &mut tasks {
            for _ in 0..task.repeats {
                let (native, guest) = task.turn(&mut work, &mut connection).with_context(|| task.what)?;
                if round > 0 {
                    task.native.push(native);
                    task.guest.push(guest);
                }
            }
        }
    }
    for task in &tasks {
        table.parts("i", task.what, "native", &[("time", &task.native, "ms")]);
        table.parts("i", task.what, "gateway", &[("time", &task.guest, "ms")]);
        let ratio = task.guest.with(&task.native, |guest, native| guest / native);
        table.ratio("i", task.what, "gateway / native", &ratio, Bound::AtMost(TARGET));
    }
    table.note(
        "i: native is the release profile (opt-level 3, no -C target-cpu; argon2 and the JPEG decoder choose AVX2 when \
         they run); guests are the samples as tasks/build.sh builds them (opt-level s, thumbnail's codecs 3, without \
         simd128). Native: the function alone; gateway: the whole call over HTTP.",
    );
    Ok(())
}

fn tasks(folder: &Folder, work: &mut Work) -> anyhow::Result<[Task; 3]> {
    let picture = folder.path().join("picture.jpg");
    let picture = picture.to_string_lossy();
    work.ask(&format!("picture {picture}"))?;
    let bytes = std::fs::read(&*picture).context("reading the picture")?;
    let task = |what, repeats, request, command, agree| Task {
        what,
        request,
        command,
        repeats,
        agree,
        guest: Figure::default(),
        native: Figure::default(),
    };
    Ok([
        task(
            "primes below 10,000,000",
            5,
            get("/tasks/primes/count?n=10000000"),
            "primes 10000000".to_owned(),
            |body, native| body == native.as_bytes(),
        ),
        task(
            "password, Argon2id of 19 MiB",
            2,
            post("/tasks/password/hash", "application/json", br#"{"password": "horse"}"#),
            "password horse".to_owned(),
            // Salts differ, costs do not.
            |body, native| {
                let cost = |hash: &[u8]| hash.split(|byte| *byte == b'$').nth(3).map(<[u8]>::to_vec);
                cost(body).is_some() && cost(body) == cost(native.as_bytes())
            },
        ),
        task(
            "thumbnail of a JPEG of 12 megapixels",
            1,
            post(&format!("/tasks/thumbnail/thumbnail?width={WIDTH}"), "image/jpeg", &bytes),
            format!("thumbnail {picture} {WIDTH}"),
            // The same picture has the same size to a few bytes: only floating-point sums may differ.
            |body, native| {
                let near = |length: usize| length.abs_diff(body.len()) * 100 <= length;
                body.starts_with(&[0xff, 0xd8]) && native.parse().is_ok_and(near)
            },
        ),
    ])
}
