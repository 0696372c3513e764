//! `unblock new`: a task's folder out of a template, ready to be built, tested and called.
//!
//! Owns what is written where, and what is refused. The templates and what belongs to each language
//! stand in `languages.rs`. Builds nothing, starts nothing, and overwrites nothing.

mod languages;

pub use languages::{Kit, Language};

use crate::task::TaskName;
use std::fmt::Write as _;
use std::io::{ErrorKind, Write as _};
use std::path::{Path, PathBuf};

/// The crate that a Rust task stands on, and the folder that it has beside the sample tasks.
const SDK: &str = "unblock-sdk";
const SDK_FOLDER: &str = "sdk";

/// Where a task outside of this repository gets the crate from.
const REPOSITORY: &str = env!("CARGO_PKG_REPOSITORY");

/// What was made.
#[derive(Debug)]
pub struct Made {
    /// For people: the files, and the next three commands.
    pub report: String,
}

/// Makes the task `name` in the folder of tasks `tasks`, which is made, too, if it is missing.
/// `program` is the command that runs this program.
///
/// # Errors
/// A bad name, a task of that name that is there already, or what the file system says. Files of a
/// task that could not be made whole are taken away again.
pub fn create(name: &str, language: Language, tasks: &Path, program: &str) -> Result<Made, String> {
    let name = TaskName::new(name).map_err(|_| refuse_name(name))?;
    let name = name.as_str();
    let kit = language.kit();
    let folder = tasks.join(name);
    let beside = |extension: &str| tasks.join(format!("{name}.{extension}"));
    for taken in [folder.clone(), beside("toml"), beside("wat"), beside("wasm")] {
        if taken.symlink_metadata().is_ok() {
            return Err(format!(
                "{} is there already, and nothing is overwritten: choose another name, or move it away",
                taken.display()
            ));
        }
    }

    let (dependency, hint) = dependency(tasks);
    let extension = if kit.module.is_some() { "wat" } else { "wasm" };
    let curl = format!("curl 'localhost:8888/tasks/{name}{}'", kit.call);
    let folder_shown = shown(&folder);
    let build = match kit.module {
        Some(_) => "nothing to build".to_owned(),
        None => "`./build.sh`".to_owned(),
    };
    let source = match kit.module {
        Some(_) => format!("`../{name}.wat`"),
        None => format!("`{}`", kit.source),
    };
    let words = [
        ("name", name),
        ("language", kit.name),
        ("lang", kit.flag),
        ("dependency", &dependency),
        ("native", kit.native_test),
        ("memory", kit.memory),
        ("source", &source),
        ("build", &build),
        ("curl", &curl),
        ("extension", extension),
    ];

    let mut made = Undo::default();
    made.folders(&folder)?;
    for file in kit.files {
        made.file(&folder.join(file.path), &fill(file.text, &words), file.runs)?;
    }
    made.file(&folder.join("README.md"), &fill(include_str!("templates/README.md"), &words), false)?;
    if let Some(module) = kit.module {
        made.file(&beside("wat"), &fill(module, &words), false)?;
    }
    made.file(&beside("toml"), &fill(kit.manifest, &words), false)?;
    made.keep();

    let mut report = format!("made a task in {}:\n", kit.name);
    // Writing to a String cannot fail.
    for file in kit.files.iter().map(|file| file.path).chain(["README.md"]) {
        let _ = writeln!(report, "  {folder_shown}/{file}");
    }
    let tasks_shown = shown(tasks);
    for extension in kit.module.map(|_| "wat").into_iter().chain(["toml"]) {
        let _ = writeln!(report, "  {tasks_shown}/{name}.{extension}");
    }
    if language == Language::Rust {
        let _ = writeln!(report, "{hint}");
    }
    report.push_str("\nnext:\n");
    if kit.module.is_none() {
        let _ = writeln!(report, "  {folder_shown}/build.sh     # needs: {}", kit.needs);
    }
    let variable = if program == "unblock" { String::new() } else { format!("UNBLOCK={} ", quoted(program)) };
    let _ = writeln!(report, "  {variable}{folder_shown}/test.sh");
    if kit.module.is_some() {
        let _ = writeln!(report, "  {} check {tasks_shown}/{name}.wat", quoted(program));
    }
    let _ = writeln!(
        report,
        "  {} serve --tasks {tasks_shown}     # elsewhere; a gateway that runs already loads it by itself",
        quoted(program)
    );
    let _ = writeln!(report, "  {curl}");
    Ok(Made { report })
}

fn refuse_name(name: &str) -> String {
    let mut plain: String = name
        .chars()
        .map(|c| if c.is_ascii_alphanumeric() { c.to_ascii_lowercase() } else { '-' })
        .take(crate::task::NAME_BYTES_MAX)
        .collect();
    plain = plain.trim_matches('-').to_owned();
    let hint = if TaskName::new(&plain).is_ok() { format!(", as in {plain}") } else { String::new() };
    format!(
        "{name:?} is no task name: expected lower-case letters, digits and '-', not starting with '-', \
         at most {} bytes{hint}",
        crate::task::NAME_BYTES_MAX
    )
}

/// The line of a Rust task's manifest that brings the SDK, and what to say of it.
fn dependency(tasks: &Path) -> (String, String) {
    let sdk = tasks.join(SDK_FOLDER).join("Cargo.toml");
    let here =
        std::fs::read_to_string(&sdk).ok().and_then(|text| text.parse::<toml::Table>().ok()).is_some_and(
            |manifest| manifest.get("package").and_then(|package| package.get("name")?.as_str()) == Some(SDK),
        );
    if here {
        let line = format!("unblock = {{ package = \"{SDK}\", path = \"../{SDK_FOLDER}\" }}");
        return (line, format!("It uses the SDK beside it, {}/{SDK_FOLDER}.", shown(tasks)));
    }
    (
        format!("unblock = {{ package = \"{SDK}\", git = \"{REPOSITORY}\" }}"),
        format!(
            "Its Cargo.toml takes the SDK from {REPOSITORY}; for a checkout of your own put\n\
             unblock = {{ package = \"{SDK}\", path = \"…/tasks/{SDK_FOLDER}\" }} there."
        ),
    )
}

/// Replaces `{{word}}` by its value.
fn fill(text: &str, words: &[(&str, &str)]) -> String {
    words.iter().fold(text.to_owned(), |text, (word, value)| text.replace(&format!("{{{{{word}}}}}"), value))
}

/// A path as the shell takes it.
fn shown(path: &Path) -> String {
    quoted(&path.to_string_lossy())
}

/// A word as the shell takes it.
fn quoted(word: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "/._-+:@%~".contains(c);
    if !word.is_empty() && word.chars().all(plain) {
        return word.to_owned();
    }
    format!("'{}'", word.replace('\'', r"'\''"))
}

/// What was made so far; taken away again unless it is kept.
#[derive(Default)]
struct Undo {
    files: Vec<PathBuf>,
    folders: Vec<PathBuf>,
}

impl Undo {
    /// Makes a folder and those above it that are missing.
    fn folders(&mut self, folder: &Path) -> Result<(), String> {
        if folder.as_os_str().is_empty() || folder.is_dir() {
            return Ok(());
        }
        if let Some(above) = folder.parent() {
            self.folders(above)?;
        }
        match std::fs::create_dir(folder) {
            Ok(()) => self.folders.push(folder.to_owned()),
            Err(error) if error.kind() == ErrorKind::AlreadyExists => {}
            Err(error) => return Err(format!("cannot make the folder {}: {error}", folder.display())),
        }
        Ok(())
    }

    /// Makes a file that must not be there.
    fn file(&mut self, path: &Path, text: &str, runs: bool) -> Result<(), String> {
        use std::os::unix::fs::OpenOptionsExt as _;
        if let Some(folder) = path.parent() {
            self.folders(folder)?;
        }
        let mode = if runs { 0o777 } else { 0o666 };
        std::fs::OpenOptions::new()
            .write(true)
            .create_new(true)
            .mode(mode)
            .open(path)
            .and_then(|mut file| {
                self.files.push(path.to_owned());
                file.write_all(text.as_bytes())
            })
            .map_err(|error| format!("cannot write {}: {error}", path.display()))
    }

    fn keep(&mut self) {
        self.files.clear();
        self.folders.clear();
    }
}

impl Drop for Undo {
    fn drop(&mut self) {
        // As far as it goes: the error that led here is what is told.
        for file in &self.files {
            let _ = std::fs::remove_file(file);
        }
        for folder in self.folders.iter().rev() {
            let _ = std::fs::remove_dir(folder);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::ValueEnum as _;

    #[test]
    fn every_word_of_every_template_is_filled() {
        let folder = tempfile::tempdir().unwrap();
        for language in Language::value_variants() {
            let kit = language.kit();
            let made = create(kit.flag, *language, folder.path(), "unblock").unwrap();
            assert!(made.report.contains("next:\n"), "{}", made.report);
            let mut files: Vec<PathBuf> =
                kit.files.iter().map(|file| folder.path().join(kit.flag).join(file.path)).collect();
            files.push(folder.path().join(format!("{}.toml", kit.flag)));
            files.push(folder.path().join(kit.flag).join("README.md"));
            for file in files {
                let text = std::fs::read_to_string(&file).unwrap();
                assert!(!text.contains("{{"), "{}: {text}", file.display());
            }
        }
    }

    #[test]
    fn what_is_there_is_left_alone() {
        let folder = tempfile::tempdir().unwrap();
        for taken in ["a.toml", "b.wasm", "c.wat", "d"] {
            std::fs::write(folder.path().join(taken), "mine").unwrap();
            let name = taken.split('.').next().unwrap();
            let error = create(name, Language::C, folder.path(), "unblock").unwrap_err();
            assert!(error.contains("is there already"), "{error}");
            assert_eq!(std::fs::read_to_string(folder.path().join(taken)).unwrap(), "mine");
        }
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 4);
    }

    #[test]
    fn a_bad_name_is_refused_with_a_good_one() {
        let folder = tempfile::tempdir().unwrap();
        for (name, hint) in [("My_Task", "as in my-task"), ("../x", "as in x"), ("", "bytes"), ("-", "bytes")]
        {
            let error = create(name, Language::Wat, folder.path(), "unblock").unwrap_err();
            assert!(error.ends_with(hint), "{error}");
        }
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0);
    }

    #[test]
    fn the_sdk_is_the_one_beside_if_there_is_one() {
        let folder = tempfile::tempdir().unwrap();
        assert!(dependency(folder.path()).0.contains(REPOSITORY));
        std::fs::create_dir(folder.path().join("sdk")).unwrap();
        std::fs::write(folder.path().join("sdk/Cargo.toml"), "[package]\nname = \"unblock-sdk\"\n").unwrap();
        assert_eq!(dependency(folder.path()).0, "unblock = { package = \"unblock-sdk\", path = \"../sdk\" }");
    }

    #[test]
    fn words_are_quoted_for_the_shell() {
        assert_eq!(quoted("a/b-c.d"), "a/b-c.d");
        assert_eq!(quoted("it's"), r"'it'\''s'");
        assert_eq!(quoted(""), "''");
    }
}
