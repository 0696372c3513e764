//! Unpacks the viewer that `GET /docs` shows (Swagger UI) out of the crate that carries it.
//!
//! Owns which of its files become part of the binary. It reads nothing but that crate, so that a
//! build needs no network.

use std::io::{Cursor, Error, Read as _};
use std::path::Path;

/// The files that `http/docs.rs` serves.
const FILES: [&str; 2] = ["swagger-ui-bundle.js", "swagger-ui.css"];

#[allow(clippy::print_stdout, reason = "Cargo reads it there")]
fn main() -> Result<(), Box<dyn std::error::Error>> {
    println!("cargo::rerun-if-changed=build.rs");
    let out = std::env::var("OUT_DIR")?;
    let mut archive = zip::ZipArchive::new(Cursor::new(utoipa_swagger_ui_vendored::SWAGGER_UI_VENDORED))?;
    for file in FILES {
        let end = format!("/dist/{file}");
        let name = archive.file_names().find(|name| name.ends_with(&end)).map(str::to_owned);
        let name = name.ok_or_else(|| Error::other(format!("Swagger UI has no file …{end} any more")))?;
        let mut bytes = Vec::new();
        archive.by_name(&name)?.read_to_end(&mut bytes)?;
        std::fs::write(Path::new(&out).join(file), bytes)?;
    }
    Ok(())
}
