//! `bench-native`: what the sample tasks compute, native, at the release profile's optimisation.
//!
//! Reads a command per line, answers each with the time that the work took in µs and a word about
//! the result. The pictures are made by the task's own source, passwords by the crate it uses,
//! primes by the same algorithm in Rust. Knows nothing of the gateway.

#[path = "../../../tasks/thumbnail/src/picture.rs"]
mod picture;
mod primes;

use anyhow::{Context as _, bail};
use argon2::{Algorithm, Argon2, Params, PasswordHasher as _, Version};
use std::io::Write as _;
use std::time::Instant;

/// How a picture is encoded: the task's type, without what makes it callable.
#[derive(Clone, Copy)]
enum Format {
    #[allow(dead_code, reason = "the task's source names both")]
    Png,
    Jpeg,
}

/// Why there is no thumbnail: the task's type, likewise.
#[derive(Debug)]
#[allow(dead_code, reason = "the texts are read by Debug alone")]
enum ThumbnailError {
    NotAPicture(String),
    TooLarge(String),
    InvalidParameter(String),
    Failed(String),
}

/// The picture that is made for the benchmark: 12 megapixels.
const WIDTH: u32 = 4_000;
const HEIGHT: u32 = 3_000;

fn main() -> anyhow::Result<()> {
    let mut output = std::io::stdout().lock();
    for line in std::io::stdin().lines() {
        let line = line.context("reading a command")?;
        let words: Vec<&str> = line.split(' ').collect();
        let (time_us, result) = match words.as_slice() {
            ["primes", below] => {
                let below = below.parse().with_context(|| format!("{below:?} is no number"))?;
                timed(|| Ok(primes::count(below).to_string()))?
            }
            ["password", password] => timed(|| hash(password))?,
            ["thumbnail", path, width] => {
                let bytes = std::fs::read(path).with_context(|| format!("reading {path}"))?;
                let width = width.parse().with_context(|| format!("{width:?} is no width"))?;
                timed(|| Ok(thumbnail(bytes, width)?.len().to_string()))?
            }
            ["picture", path] => timed(|| picture_file(path))?,
            _ => bail!("{line:?} is not one of: primes N, password TEXT, thumbnail PATH WIDTH, picture PATH"),
        };
        writeln!(output, "{time_us} {result}").and_then(|()| output.flush()).context("answering")?;
    }
    Ok(())
}

fn timed(work: impl FnOnce() -> anyhow::Result<String>) -> anyhow::Result<(f64, String)> {
    let start = Instant::now();
    let result = work()?;
    Ok((start.elapsed().as_secs_f64() * 1e6, result))
}

/// What `tasks/password` does without a cost.
fn hash(password: &str) -> anyhow::Result<String> {
    let hash = Argon2::new(Algorithm::Argon2id, Version::V0x13, Params::default())
        .hash_password(password.as_bytes())
        .map_err(|error| anyhow::anyhow!("hashing: {error}"))?;
    Ok(hash.to_string())
}

/// What `tasks/thumbnail` does between its body and its answer.
fn thumbnail(bytes: Vec<u8>, width: u32) -> anyhow::Result<Vec<u8>> {
    let failed = |error: ThumbnailError| anyhow::anyhow!("no thumbnail: {error:?}");
    let wanted = picture::Wanted::new(width, None, Some(Format::Jpeg), None).map_err(failed)?;
    let picture = picture::decode(bytes).map_err(failed)?.scale(&wanted);
    Ok(picture.encode(&wanted).map_err(failed)?.1)
}

/// A picture with large shapes and fine grain, so that it compresses about as a photo does.
fn picture_file(path: &str) -> anyhow::Result<String> {
    let mut noise = 1_u32;
    let pixels = image::RgbImage::from_fn(WIDTH, HEIGHT, |x, y| {
        noise = noise.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        let grain = noise >> 28;
        let wave = (x as f32 / 170.0).sin() * (y as f32 / 230.0).cos() * 90.0 + 120.0;
        let tone = wave as u32 + grain;
        image::Rgb([tone as u8, (tone / 2 + y / 30) as u8, (240 - tone + x / 300) as u8])
    });
    let mut file = std::io::BufWriter::new(std::fs::File::create(path).context("creating the picture")?);
    let encoder = image::codecs::jpeg::JpegEncoder::new_with_quality(&mut file, 90);
    pixels.write_with_encoder(encoder).context("encoding the picture")?;
    file.into_inner().context("writing the picture")?;
    Ok(std::fs::metadata(path).context("the picture")?.len().to_string())
}
