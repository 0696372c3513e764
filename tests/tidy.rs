//! Architecture as a test: who may import whom, what stays behind which fence, how files open.
//!
//! Reads the sources as text, so that it needs nothing but the standard library and explains itself
//! when it fails. Sizes are advice and are not checked.

use crate::support::repository;
use std::path::{Path, PathBuf};

/// Modules of the gateway and their ranks; a module may use only what stands below it.
const RANKS: [(&str, u8); 26] = [
    ("main", 10),
    ("lib", 10),
    ("cli", 9),
    ("app", 8),
    ("new", 1),
    ("config", 7),
    ("http", 6),
    ("local", 6),
    ("jobs", 5),
    ("invoke", 5),
    ("metrics", 5),
    ("registry", 4),
    ("observe", 3),
    ("runtime", 2),
    ("access", 1),
    ("reload", 1),
    ("tls", 1),
    ("traces", 1),
    ("values", 1),
    ("allocator", 0),
    ("error", 0),
    ("exchange", 0),
    ("grants", 0),
    ("limits", 0),
    ("task", 0),
    ("telemetry", 0),
];

/// Words that only some modules may contain, and why.
const FENCES: [(&str, &[&str], &str); 10] = [
    ("wasmtime::", &["runtime", "values"], "only the runtime and the value mapping know the engine"),
    ("wasmtime_wasi::", &["runtime"], "only the runtime knows WASI"),
    ("unblock_host", &["runtime"], "the store's data is the runtime's"),
    ("opentelemetry", &["traces"], "everybody else sees a call that is traced"),
    ("axum::", &["http"], "only the edge knows the web framework"),
    ("StatusCode", &["http"], "status codes are chosen at the edge"),
    ("env::var", &["config", "cli"], "the environment is read in one place"),
    (
        "SystemTime",
        &[
            "access",
            "observe",
            "registry",
            "traces",
            "http/access.rs",
            "http/events.rs",
            "http/probes.rs",
            "runtime/cache.rs",
        ],
        "the clock may jump; durations are measured with Instant",
    ),
    ("spawn_blocking", &[], "blocking work belongs to guests, on the pool"),
    (
        "std::fs",
        &[
            "registry",
            "config",
            "cli",
            "metrics/process.rs",
            "new",
            "access",
            "reload",
            "tls",
            "observe/resident.rs",
            "runtime/cache.rs",
            "runtime/engine.rs",
        ],
        "only these read files",
    ),
];

fn sources(folder: &str) -> Vec<(PathBuf, String)> {
    fn walk(folder: &Path, found: &mut Vec<PathBuf>) {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                walk(&path, found);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                found.push(path);
            }
        }
    }
    let root = repository().join(folder);
    let mut found = Vec::new();
    walk(&root, &mut found);
    assert!(!found.is_empty(), "no sources under {}", root.display());
    found.sort();
    found
        .into_iter()
        .map(|path| {
            let text = std::fs::read_to_string(&path).unwrap();
            (path.strip_prefix(&root).unwrap().to_owned(), text)
        })
        .collect()
}

/// The module a file of `gateway/src` belongs to: `http/body.rs` → `http`.
fn module(path: &Path) -> String {
    let first = path.iter().next().unwrap().to_str().unwrap();
    first.strip_suffix(".rs").unwrap_or(first).to_owned()
}

fn rank(module: &str) -> Option<u8> {
    RANKS.iter().find(|(name, _)| *name == module).map(|(_, rank)| *rank)
}

/// The file's code without comments and without its unit tests, which may reach anywhere.
fn code(text: &str) -> String {
    let text = text.split("#[cfg(test)]\nmod tests {").next().unwrap();
    text.lines().filter(|line| !line.trim_start().starts_with("//")).collect::<Vec<_>>().join("\n")
}

fn is_test_file(path: &Path) -> bool {
    path.iter().any(|part| part == "tests" || part.to_str().is_some_and(|part| part.ends_with("tests.rs")))
}

#[test]
fn modules_use_only_what_stands_below_them() {
    let mut wrong = Vec::new();
    for (path, text) in sources("gateway/src") {
        let own = module(&path);
        let own_rank =
            rank(&own).unwrap_or_else(|| panic!("{}: give `{own}` a rank in tests/tidy.rs", path.display()));
        let code = code(&text).replace("crate::{", "crate:: {");
        let mut used: Vec<String> = Vec::new();
        for (at, _) in code.match_indices("crate::") {
            let rest = code[at + 7..].trim_start();
            if let Some(group) = rest.strip_prefix('{') {
                // Top-level names of a group such as {http, limits::{self, Limits}}.
                let mut depth = 0;
                let mut name = String::new();
                for character in group.chars() {
                    match character {
                        '{' => depth += 1,
                        '}' if depth == 0 => break,
                        '}' => depth -= 1,
                        ',' if depth == 0 => used.push(std::mem::take(&mut name)),
                        _ if depth == 0 => name.push(character),
                        _ => {}
                    }
                }
                used.push(name);
            } else {
                used.push(rest.to_owned());
            }
        }
        for name in used {
            let other: String =
                name.trim().chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect();
            let Some(other_rank) = rank(&other) else { continue };
            let sibling = own == other || (own_rank == 0 && other_rank == 0);
            let allowed = sibling || other_rank < own_rank;
            if !allowed {
                wrong.push(format!(
                    "{} (rank {own_rank}) uses crate::{other} (rank {other_rank})",
                    path.display()
                ));
            }
        }
    }
    assert!(wrong.is_empty(), "upward imports; move the shared part down:\n{}", wrong.join("\n"));
}

#[test]
fn fences_hold() {
    let mut wrong = Vec::new();
    for (path, text) in sources("gateway/src") {
        if is_test_file(&path) {
            continue;
        }
        let own = module(&path);
        for (word, allowed, why) in FENCES {
            let inside = allowed.iter().any(|place| own == *place || path == Path::new(place));
            if !inside && code(&text).contains(word) {
                wrong.push(format!("{}: {word} ({why})", path.display()));
            }
        }
    }
    assert!(wrong.is_empty(), "words outside of their fence:\n{}", wrong.join("\n"));
}

#[test]
fn the_crates_below_know_nothing_above_them() {
    let unknown: [(&str, &[&str]); 2] = [
        ("gateway/pool/src", &["wasmtime", "tokio::", "axum", "gateway::"]),
        ("gateway/host/src", &["axum", "std::fs", "std::thread"]),
    ];
    for (folder, words) in unknown {
        for (path, text) in sources(folder) {
            for word in words {
                assert!(!code(&text).contains(word), "{folder}/{}: {word}", path.display());
            }
        }
    }
}

/// Lines that a file opens with at least: what it owns and what it must not know. A test file only
/// says what it tests.
const OPENING_LINES_MIN: usize = 3;

#[test]
fn every_file_opens_by_saying_what_it_owns() {
    let mut wrong = Vec::new();
    for folder in [
        "gateway/src",
        "gateway/host/src",
        "gateway/pool/src",
        "gateway/pool/tests",
        "tasks/sdk/src",
        "tasks/sdk/macros/src",
        "tests",
        "bench",
    ] {
        for (path, text) in sources(folder) {
            let opening = text.lines().take_while(|line| line.starts_with("//!")).count();
            let test = folder.ends_with("tests") || is_test_file(&path);
            if opening < if test { 1 } else { OPENING_LINES_MIN } {
                wrong.push(format!("{folder}/{}: {opening} lines", path.display()));
            }
        }
    }
    assert!(wrong.is_empty(), "files that do not open by saying what they own:\n{}", wrong.join("\n"));
}

#[test]
fn every_problem_stands_in_the_readme() {
    let readme = std::fs::read_to_string(repository().join("README.md")).unwrap();
    let missing: Vec<&str> = gateway::error::Kind::ALL
        .iter()
        .map(|kind| kind.slug())
        .filter(|slug| *slug != "cancelled" && !readme.contains(&format!("`{slug}`")))
        .collect();
    assert!(missing.is_empty(), "problems that no page explains: {missing:?}");
}

/// The tables of `docs/flags.md`, from the flags themselves.
fn tables_of_flags() -> String {
    let command = <gateway::config::Flags as clap::Args>::augment_args(clap::Command::new("serve"));
    let mut tables: Vec<(&str, Vec<String>)> = Vec::new();
    for flag in command.get_arguments() {
        let Some(name) = flag.get_long() else { continue };
        let value = flag.get_value_names().filter(|_| flag.get_action().takes_values());
        let value = value.map(|names| format!(" {}", names.join(" "))).unwrap_or_default();
        let variable = flag.get_env().map(|name| format!("`{}`", name.display())).unwrap_or_default();
        let defaults = flag.get_default_values().iter().filter(|value| !value.is_empty());
        let default: Vec<String> = defaults.map(|value| format!("`{}`", value.display())).collect();
        let help = flag.get_help().map(ToString::to_string).unwrap_or_default();
        let (help, found) = match help.rsplit_once(" [default: ") {
            Some((help, found)) => (help.to_owned() + ".", found.trim_end_matches(['.', ']']).to_owned()),
            None => (help, default.join(", ")),
        };
        let help = help.trim_end_matches('.').replace('|', "\\|").replace('\n', " ");
        let row = format!("| `--{name}{value}` | {variable} | {found} | {help} |\n");
        let heading = flag.get_help_heading().unwrap_or("Options");
        match tables.iter_mut().find(|(known, _)| *known == heading) {
            Some((_, rows)) => rows.push(row),
            None => tables.push((heading, vec![row])),
        }
    }
    let head = "| flag | variable | default | what |\n|---|---|---|---|\n";
    tables.iter().map(|(heading, rows)| format!("## {heading}\n\n{head}{}\n", rows.concat())).collect()
}

#[test]
fn every_flag_stands_in_the_docs_as_it_is() {
    const MARK: &str = "<!-- from here on written by tests/tidy.rs -->\n\n";
    let path = repository().join("docs/flags.md");
    let page = std::fs::read_to_string(&path).unwrap();
    let (words, tables) = page.split_once(MARK).expect("the mark");
    let wanted = tables_of_flags();
    if std::env::var_os("UNBLOCK_WRITE_DOCS").is_some() {
        std::fs::write(&path, format!("{words}{MARK}{}", wanted.trim_end().to_owned() + "\n")).unwrap();
        return;
    }
    assert!(
        tables.trim_end() == wanted.trim_end(),
        "docs/flags.md does not say what the flags say; write it anew: UNBLOCK_WRITE_DOCS=1 just test every_flag"
    );
}

/// The file that a page means by `name`: a test's, or one with unit tests.
fn named_on_a_page(name: &str) -> Option<String> {
    ["tests", "gateway", "gateway/src", "gateway/host/src"]
        .iter()
        .find_map(|folder| std::fs::read_to_string(repository().join(folder).join(name)).ok())
}

#[test]
fn every_test_that_the_page_on_reliability_names_exists() {
    let page = std::fs::read_to_string(repository().join("docs/reliability.md")).unwrap();
    let (mut wrong, mut count) = (Vec::new(), 0);
    for line in page.lines() {
        // `file.rs`: `one_test`, `another_test`; what stands between backticks is every second piece.
        let mut file = None;
        for quoted in line.split('`').skip(1).step_by(2) {
            if quoted.ends_with(".rs") {
                let text = named_on_a_page(quoted);
                if text.is_none() {
                    wrong.push(format!("there is no {quoted}"));
                }
                file = text.map(|text| (quoted, text));
            } else if let Some((name, text)) = &file
                && quoted.contains('_')
                && quoted.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_')
            {
                count += 1;
                // Its attribute stands between the end of the item before it and its name.
                let before = text.split_once(&format!("fn {quoted}(")).map(|(before, _)| before);
                let attributes = before.and_then(|before| before.rsplit("\n}").next());
                if !attributes
                    .is_some_and(|attributes| attributes.contains("test]") || attributes.contains("test("))
                {
                    wrong.push(format!("{name} has no test {quoted}"));
                }
            }
        }
    }
    assert!(wrong.is_empty(), "docs/reliability.md names what is not there:\n{}", wrong.join("\n"));
    assert!(count > 50, "{count} tests: the page is not read as it is written any more");
}
