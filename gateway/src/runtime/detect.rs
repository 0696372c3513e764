//! Bytes → kind: what a file is, decided once at load and before anything expensive.
//!
//! Reads the module's sections (nested modules too) without compiling: kind, imports, exports,
//! memory and table minimums, doc comments. What cannot be served is refused here with what was
//! looked for and what would help. Knows no engine, no files and no manifest.

use super::command::{RUN, START};
use super::docs::Docs;
use super::http_guest::{HANDLER_P2, HANDLER_P3};
use super::raw::Raw;
use crate::error::LoadError;
use std::borrow::Cow;
use std::fmt::{self, Write as _};
use unblock_host::CORE_MODULES;
use wasmparser::{
    ComponentTypeRef, Encoding, ExternalKind, Parser, Payload, TypeBounds, Validator, WasmFeatures,
};

/// Bytes of a WebAssembly page, unless a module asks for another size.
const PAGE_BYTES: u64 = 65_536;

/// Bytes of a table element at run time.
const TABLE_ELEMENT_BYTES: u64 = 8;

/// What a module says of itself.
#[derive(Debug, Default)]
pub struct Survey {
    /// Whether it is a component.
    pub component: bool,
    /// What it imports at the top level: `(module, name)` for core modules, `(name, "")` for components.
    pub imports: Vec<(String, String)>,
    /// What it exports at the top level.
    pub exports: Vec<Export>,
    /// Bytes that its memories and tables, nested modules included, need at the start.
    pub memory_min: u64,
    /// Doc comments found in it.
    pub docs: Docs,
    /// Whose bodies are raw.
    pub raw: Raw,
    /// Whether it was compiled by Go, whose programs ask for their directories at start.
    pub go: bool,
    carries_component_types: bool,
}

/// A top-level export.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Export {
    /// Its name.
    pub name: String,
    /// Whether it is a function; components export interfaces too.
    pub function: bool,
}

/// What a component is called for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role<'a> {
    /// Its functions.
    Typed,
    /// The named `wasi:http` handler.
    Http(&'a str),
    /// The named `wasi:cli/run`.
    Command(&'a str),
}

impl Survey {
    /// What it is called for: a handler of requests comes before a main function, and both before
    /// typed functions, which are then listed as not callable.
    #[must_use]
    pub fn role(&self) -> Role<'_> {
        let export = |interface: &str| {
            let of = |name: &&str| name.split_once('@').map_or(*name, |(name, _)| name) == interface;
            self.exports.iter().map(|export| export.name.as_str()).find(of)
        };
        if let Some(handler) = export(HANDLER_P3).or_else(|| export(HANDLER_P2)) {
            return Role::Http(handler);
        }
        export(RUN).map_or(Role::Typed, Role::Command)
    }

    /// Whether it is a core module to be run from its main function: a program of WASI, or a module that
    /// has no other function to call.
    #[must_use]
    pub fn program(&self) -> bool {
        let wasi = || self.imports.iter().any(|(module, _)| CORE_MODULES.contains(&module.as_str()));
        let alone = || self.exports.iter().filter(|export| export.function).count() == 1;
        !self.component && self.exports_start() && (wasi() || alone())
    }

    fn exports_start(&self) -> bool {
        self.exports.iter().any(|export| export.function && export.name == START)
    }
}

/// WebAssembly text or binary → binary.
///
/// # Errors
/// Neither text nor binary, or text with a mistake (line and column named).
pub fn assemble(bytes: &[u8]) -> Result<Cow<'_, [u8]>, LoadError> {
    if bytes.starts_with(b"\0asm") {
        return Ok(Cow::Borrowed(bytes));
    }
    if bytes.is_empty() {
        return Err(LoadError::new("the file is empty", "copy the module again"));
    }
    // Zeros are valid UTF-8, and what a hole in a file reads as.
    let text = std::str::from_utf8(bytes).ok().filter(|text| !text.starts_with('\0'));
    let Some(text) = text.filter(|text| text.trim_start().starts_with(TEXT_STARTS)) else {
        let found = match text {
            Some(text) => format!("{:?}", text.chars().take(HEAD_CHARS).collect::<String>()),
            None => {
                let head: Vec<String> = bytes.iter().take(4).map(|byte| format!("{byte:02x}")).collect();
                format!("the bytes {}", head.join(" "))
            }
        };
        return Err(LoadError::new(
            format!(
                "not WebAssembly: found {found} at the start, expected 00 61 73 6d (\"\\0asm\"), or a parenthesis where it is text"
            ),
            "build for wasm32-wasip2, not for this machine, and copy the module again",
        ));
    };
    wat::parse_str(text).map(Cow::Owned).map_err(|error| {
        // It repeats the line, and the line may be the whole file: 200 MB of it were seen.
        let mut told = Head::default();
        let _ = write!(told, "{error}");
        LoadError::new(
            format!("not WebAssembly text: {}", told.0),
            "mend the text at the line and column named",
        )
    })
}

/// What WebAssembly text begins with: a parenthesis, or a comment of a line.
const TEXT_STARTS: [char; 2] = ['(', ';'];

/// Characters that are repeated of what is no WebAssembly.
const HEAD_CHARS: usize = 20;

/// Bytes of an assembler's message that are kept: the mistake, its place and a line of code.
const TEXT_ERROR_BYTES_MAX: usize = 1_000;

/// Takes the head of what is written, and refuses the rest.
#[derive(Default)]
struct Head(String);

impl fmt::Write for Head {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        let room = TEXT_ERROR_BYTES_MAX.saturating_sub(self.0.len());
        let end = text.floor_char_boundary(room);
        self.0.push_str(text.get(..end).unwrap_or_default());
        if end < text.len() {
            self.0.push('…');
            return Err(fmt::Error);
        }
        Ok(())
    }
}

/// Core modules that carry component types (what `wit-bindgen` leaves in them) → components.
///
/// # Errors
/// The types do not fit the module.
pub fn componentize(binary: Cow<'_, [u8]>, survey: &Survey) -> Result<Option<Vec<u8>>, LoadError> {
    if survey.component || !survey.carries_component_types {
        return Ok(None);
    }
    use wasi_preview1_component_adapter_provider as adapter;
    let bytes = if survey.exports_start() {
        adapter::WASI_SNAPSHOT_PREVIEW1_COMMAND_ADAPTER
    } else {
        adapter::WASI_SNAPSHOT_PREVIEW1_REACTOR_ADAPTER
    };
    wit_component::ComponentEncoder::default()
        .validate(true)
        .module(&binary)
        .and_then(|encoder| encoder.adapter(adapter::WASI_SNAPSHOT_PREVIEW1_ADAPTER_NAME, bytes))
        .and_then(|mut encoder| encoder.encode())
        .map(Some)
        .map_err(|error| {
            LoadError::new(
                format!("a core module that cannot be made a component: {error:#}"),
                "rebuild it with one version of wit-bindgen and its own WIT; `wasm-tools component new` shows the same error",
            )
        })
}

/// Reads the sections of `binary`.
///
/// # Errors
/// It is truncated or malformed, or uses a proposal that is off.
pub fn survey(binary: &[u8], features: WasmFeatures) -> Result<Survey, LoadError> {
    let mut survey = Survey::default();
    let mut depth = 0_u32;
    for payload in Parser::new(0).parse_all(binary) {
        let payload = payload.map_err(malformed)?;
        match payload {
            Payload::Version { encoding, .. } => {
                if depth == 0 {
                    survey.component = encoding == Encoding::Component;
                }
                depth += 1;
            }
            Payload::End(_) => depth = depth.saturating_sub(1),
            Payload::ImportSection(reader) if depth == 1 => {
                for import in reader.into_imports() {
                    let import = import.map_err(malformed)?;
                    survey.imports.push((import.module.to_owned(), import.name.to_owned()));
                }
            }
            Payload::ComponentImportSection(reader) if depth == 1 => {
                for import in reader {
                    let import = import.map_err(malformed)?;
                    // A type that a world declares is imported by name, and whole: nobody has to satisfy it.
                    if !matches!(import.ty, ComponentTypeRef::Type(TypeBounds::Eq(_))) {
                        survey.imports.push((import.name.name.to_owned(), String::new()));
                    }
                }
            }
            Payload::ExportSection(reader) if depth == 1 => {
                for export in reader {
                    let export = export.map_err(malformed)?;
                    let function = matches!(export.kind, ExternalKind::Func | ExternalKind::FuncExact);
                    survey.exports.push(Export { name: export.name.to_owned(), function });
                }
            }
            Payload::ComponentExportSection(reader) if depth == 1 => {
                for export in reader {
                    let export = export.map_err(malformed)?;
                    let function = export.kind == wasmparser::ComponentExternalKind::Func;
                    survey.exports.push(Export { name: export.name.name.to_owned(), function });
                }
            }
            Payload::MemorySection(reader) => {
                for memory in reader {
                    let memory = memory.map_err(malformed)?;
                    if memory.shared {
                        // Valid for the engine, which would refuse it only after compiling.
                        return Err(shared_memory());
                    }
                    let page = memory
                        .page_size_log2
                        .map_or(PAGE_BYTES, |log2| 1_u64.checked_shl(log2).unwrap_or(u64::MAX));
                    survey.memory_min = survey.memory_min.saturating_add(memory.initial.saturating_mul(page));
                }
            }
            Payload::TableSection(reader) => {
                for table in reader {
                    let initial = table.map_err(malformed)?.ty.initial;
                    survey.memory_min =
                        survey.memory_min.saturating_add(initial.saturating_mul(TABLE_ELEMENT_BYTES));
                }
            }
            Payload::CustomSection(section) => {
                survey.carries_component_types |= depth == 1 && section.name().starts_with("component-type");
                survey.go |= section.name() == "go:buildid";
                survey.docs.read(section.name(), section.data());
                survey.raw.read(section.name(), section.data());
            }
            _ => {}
        }
    }
    Validator::new_with_features(features).validate_all(binary).map_err(malformed)?;
    Ok(survey)
}

fn shared_memory() -> LoadError {
    LoadError::new(
        "its memory is shared between threads, which is off",
        "rebuild without threads: a run has one thread; call the task several times instead",
    )
}

/// What helps, by a word of the parser's or validator's message.
const FEATURE_REMEDIES: [(&str, &str); 8] = [
    ("legacy", "rebuild with the final exception handling (clang: -mllvm -wasm-use-legacy-eh=false)"),
    ("shared memor", "rebuild without threads: a run has one thread; call the task several times instead"),
    ("shared tables", "rebuild without threads: a run has one thread"),
    ("threads", "rebuild without threads: a run has one thread; call the task several times instead"),
    ("unexpected end", "the file is cut short: copy it again, best to another name and then `mv`"),
    ("unexpected-eof", "the file is cut short: copy it again, best to another name and then `mv`"),
    ("map", "the component type `map` is off in this version: use a list of tuples"),
    ("fixed", "fixed-length lists are off in this version: use a tuple or a list"),
];

fn malformed(error: wasmparser::BinaryReaderError) -> LoadError {
    let message = error.message();
    let remedy = FEATURE_REMEDIES.iter().find(|(word, _)| message.contains(word)).map_or(
        "rebuild it with a current toolchain, or copy it again if it was cut short",
        |(_, remedy)| remedy,
    );
    LoadError::new(
        format!("not a module this engine runs: {message} (at byte {:#x})", error.offset()),
        remedy,
    )
}
