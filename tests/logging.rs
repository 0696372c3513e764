//! The log's lines about calls and of guests: what they say, how many there are, and the page that lists their
//! fields.

use crate::support::process::Program;
use crate::support::{client, eventually, guest, repository, until};
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::time::Duration;

const TASK: &str = r#"(module
  (memory (export "memory") 2)
  (func (export "double") (param i32) (result i32) (i32.mul (local.get 0) (i32.const 2)))
  (func (export "fail") unreachable)
  (func (export "spin") (loop (br 0))))"#;

/// Writes so many lines of 69 bytes to standard error.
const CHATTY: &str = r#"(module
  (import "wasi_snapshot_preview1" "fd_write" (func $write (param i32 i32 i32 i32) (result i32)))
  (memory (export "memory") 1)
  (data (i32.const 64) "\1b[2J\09bold and long, and long, and long, and long, and long, longer..\n")
  (func (export "say") (param $lines i32)
    (i32.store (i32.const 0) (i32.const 64))
    (i32.store (i32.const 4) (i32.const 69))
    (loop $again
      (drop (call $write (i32.const 2) (i32.const 0) (i32.const 1) (i32.const 16)))
      (br_if $again (local.tee $lines (i32.sub (local.get $lines) (i32.const 1)))))))"#;

fn folder() -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("task.wat"), TASK).unwrap();
    std::fs::write(folder.path().join("chatty.wat"), CHATTY).unwrap();
    std::fs::write(folder.path().join("guest.wasm"), guest("http-p2")).unwrap();
    folder
}

async fn serve(folder: &Path, flags: &[&str]) -> Program {
    let all: Vec<&str> = ["--log-format", "json"].iter().chain(flags).copied().collect();
    Program::serve(folder, &all).await
}

/// The lines under a target.
fn lines(program: &Program, target: &str) -> Vec<Value> {
    let lines = program.log();
    let lines =
        lines.lines().map(|line| serde_json::from_str::<Value>(line).unwrap_or_else(|_| panic!("{line}")));
    lines.filter(|line| line["target"] == target).collect()
}

/// The line about a call.
async fn about(program: &Program, id: &str) -> Value {
    let mut found = Vec::new();
    until("the call's line", async || {
        found = lines(program, "call").into_iter().filter(|line| line["call.id"] == id).collect();
        !found.is_empty()
    })
    .await;
    assert_eq!(found.len(), 1, "{found:#?}");
    found.remove(0)
}

async fn call(program: &Program, path: &str, id: &str) -> u16 {
    let request = client().get(program.url(path)).header("x-request-id", id);
    let response = request.send().await.unwrap();
    let status = response.status().as_u16();
    // A caller who leaves a body unread has gone.
    response.bytes().await.unwrap();
    status
}

#[tokio::test]
async fn each_call_has_a_line_that_says_what_it_took() {
    let folder = folder();
    let mut program = serve(folder.path(), &["--log-calls", "all", "--log", "info,call=debug"]).await;
    assert_eq!(call(&program, "/tasks/task/double?0=77777", "good").await, 200);
    let line = about(&program, "good").await;
    for (name, value) in [
        ("level", Value::from("INFO")),
        ("task.name", Value::from("task")),
        ("task.function", Value::from("double")),
        ("outcome", Value::from("ok")),
        ("received_bytes", Value::from(6)),
        ("sent_bytes", Value::from(6)),
        ("memory_bytes", Value::from(2 * 65_536)),
        ("slices", Value::from(1)),
        ("preemptions", Value::from(0)),
    ] {
        assert_eq!(line[name], value, "{name} of {line:#}");
    }
    let ms = |name: &str| line[name].as_f64().unwrap_or_else(|| panic!("{name} of {line:#}"));
    let phases = ["queue_ms", "instantiate_ms", "run_ms", "encode_ms"].map(ms);
    assert!(phases.iter().sum::<f64>() <= ms("total_ms") + 0.01 && ms("cpu_ms") > 0.0, "{line:#}");
    assert!(line.get("problem").is_none() && line.get("trace.id").is_none(), "{line:#}");

    assert_eq!(call(&program, "/tasks/task/fail", "trapped").await, 500);
    let line = about(&program, "trapped").await;
    assert_eq!(
        (&line["level"], &line["problem"], &line["phase"]),
        (&"WARN".into(), &"trap".into(), &"run".into())
    );
    assert!(line["cause"].as_str().unwrap().contains("unreachable"), "{line:#}");
    assert_eq!(call(&program, "/tasks/task/double?0=secret", "callers").await, 400);
    assert_eq!(about(&program, "callers").await["level"], "DEBUG");
    let caller = client().get(program.url("/tasks/task/spin")).header("x-request-id", "left");
    caller.timeout(Duration::from_millis(300)).send().await.expect_err("it is endless");
    assert_eq!(about(&program, "left").await["outcome"], "cancelled");
    // A guest of streams, which fails after its head: one line, at its end.
    let broken = client().get(program.url("/tasks/guest/trap-after")).header("x-request-id", "late");
    if let Ok(response) = broken.send().await {
        response.bytes().await.expect_err("it breaks off");
    }
    let line = about(&program, "late").await;
    assert_eq!((&line["problem"], line.get("task.function")), (&"trap".into(), None), "{line:#}");
    program.terminate();
    program.wait();
    let log = program.log();
    assert!(!log.contains("77777") && !log.contains("secret"), "{log}");
    for id in ["good", "trapped", "callers", "left", "late"] {
        let of = |line: &&str| line.contains(&format!("\"{id}\"")) && !line.contains("\"target\":\"guest\"");
        let lines = log.lines().filter(of).count();
        assert_eq!(lines, 1, "{id} is told of once: {log}");
    }
}

#[tokio::test]
async fn so_many_calls_are_logged_as_the_operator_says_and_the_rest_is_counted() {
    let folder = folder();
    for (which, good, failed) in [("off", 0, 0), ("failures", 0, 5), ("1/s", 1, 5), ("all", 40, 5)] {
        let mut program = serve(folder.path(), &["--log-calls", which]).await;
        for _ in 0..40 {
            assert_eq!(call(&program, "/tasks/task/double?0=1", "good").await, 200);
        }
        for _ in 0..5 {
            assert_eq!(call(&program, "/tasks/task/fail", "trapped").await, 500);
        }
        program.terminate();
        program.wait();
        let lines = lines(&program, "call");
        let of = |id: &str| lines.iter().filter(|line| line["call.id"] == id).count();
        // The forty may take some seconds.
        let most = if which == "1/s" { 39 } else { good };
        assert!((good..=most).contains(&of("good")) && of("trapped") == failed, "{which}: {lines:#?}");
        let left_out: u64 = lines.iter().filter_map(|line| line["left_out.ok"].as_u64()).sum();
        let expected = if which == "off" { 0 } else { 40 - of("good") as u64 };
        assert_eq!(left_out, expected, "{which}: {lines:#?}");
    }
}

#[tokio::test]
async fn what_guests_print_is_logged_and_cannot_flood_it_or_act_on_it() {
    let folder = folder();
    let mut program = serve(folder.path(), &[]).await;
    assert_eq!(call(&program, "/tasks/guest/stdio", "both").await, 200);
    let of = |program: &Program, id: &str| -> Vec<Value> {
        lines(program, "guest").into_iter().filter(|line| line["call.id"] == id).collect()
    };
    eventually("both streams", || of(&program, "both").len() == 2);
    let both = of(&program, "both");
    for (line, stream) in both.iter().zip(["stdout", "stderr"]) {
        assert_eq!(line["stream"], stream);
        assert_eq!(line["message"], format!("to {stream}"));
        assert_eq!((&line["task.name"], line.get("left_out_bytes")), (&"guest".into(), None), "{line:#}");
    }
    assert!(call(&program, "/tasks/chatty/say?0=10000", "much").await < 300);
    eventually("its last lines", || of(&program, "much").len() == 20);
    let much = of(&program, "much");
    assert_eq!(much[0]["left_out_bytes"], 69 * 9_980, "{much:#?}");
    assert!(much.iter().skip(1).all(|line| line.get("left_out_bytes").is_none()), "{much:#?}");
    assert!(much[0]["message"].as_str().unwrap().starts_with("\\u{1b}[2J\\tbold"), "{:#}", much[0]);
    for _ in 0..100 {
        assert!(call(&program, "/tasks/chatty/say?0=100", "flood").await < 300);
    }
    program.terminate();
    program.wait();
    let written = of(&program, "flood").len() as u64;
    let told =
        |name: &str| lines(&program, "guest").iter().filter_map(|line| line[name].as_u64()).sum::<u64>();
    assert!(written < 100 * 20, "{written} lines");
    assert_eq!(written + told("left_out.lines"), 100 * 20);
    let quiet = serve(folder.path(), &["--log", "info,guest=off"]).await;
    assert_eq!(call(&quiet, "/tasks/guest/stdio", "both").await, 200);
    about(&quiet, "both").await;
    assert!(of(&quiet, "both").is_empty());
}

/// The macros' calls in a text: each with what stands between its parentheses.
fn macros(text: &str) -> Vec<String> {
    let mut found = Vec::new();
    for (at, _) in text.match_indices("tracing::") {
        let rest = &text[at + "tracing::".len()..];
        let Some((name, body)) = rest.split_once("!(") else { continue };
        if !["error", "warn", "info", "debug", "trace", "$level"].contains(&name) {
            continue;
        }
        let (mut depth, mut quoted, mut escaped) = (1, false, false);
        let end = body.char_indices().find(|(_, character)| {
            match character {
                _ if escaped => escaped = false,
                '\\' => escaped = true,
                '"' => quoted = !quoted,
                '(' | '{' | '[' if !quoted => depth += 1,
                ')' | '}' | ']' if !quoted => depth -= 1,
                _ => {}
            }
            depth == 0
        });
        found.push(body[..end.unwrap().0].to_owned());
    }
    found
}

/// What stands between commas, where they are not within something.
fn parts(text: &str) -> Vec<String> {
    let (mut parts, mut depth, mut quoted, mut escaped) = (vec![String::new()], 0, false, false);
    for character in text.chars() {
        match character {
            _ if escaped => escaped = false,
            '\\' => escaped = true,
            '"' => quoted = !quoted,
            '(' | '{' | '[' if !quoted => depth += 1,
            ')' | '}' | ']' if !quoted => depth -= 1,
            ',' if depth == 0 && !quoted => {
                parts.push(String::new());
                continue;
            }
            _ => {}
        }
        parts.last_mut().unwrap().push(character);
    }
    parts.iter().map(|part| part.trim().to_owned()).filter(|part| !part.is_empty()).collect()
}

/// Targets and fields of every line that the sources write.
fn written() -> (BTreeSet<String>, BTreeSet<String>) {
    fn walk(folder: &Path, texts: &mut Vec<String>) {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                walk(&path, texts);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                texts.push(std::fs::read_to_string(&path).unwrap());
            }
        }
    }
    let mut texts = Vec::new();
    for folder in ["gateway/src", "gateway/host/src"] {
        walk(&repository().join(folder), &mut texts);
    }
    let (mut targets, mut fields) = (BTreeSet::new(), BTreeSet::new());
    let name = |part: &str| part.chars().all(|c| c.is_ascii_lowercase() || c == '_' || c == '.');
    for text in &texts {
        let code: String = text
            .lines()
            .filter(|line| !line.trim_start().starts_with("//"))
            .map(|line| format!("{line}\n"))
            .collect();
        for body in macros(&code) {
            for part in parts(&body) {
                if let Some(target) = part.strip_prefix("target:") {
                    targets.insert(target.trim().trim_matches('"').to_owned());
                    continue;
                }
                if part.starts_with('"') {
                    // What follows the message are its arguments.
                    break;
                }
                let inside = part.strip_prefix('{').and_then(|part| part.strip_suffix('}'));
                for part in inside.map_or_else(|| vec![part.clone()], parts) {
                    let field = part.split_once(" = ").map_or(part.as_str(), |(field, _)| field);
                    let field = field.trim_start_matches(['%', '?']);
                    if name(field) {
                        fields.insert(field.to_owned());
                    }
                }
            }
        }
    }
    (targets, fields)
}

#[test]
fn the_page_lists_every_field_and_target_and_no_other() {
    let page = std::fs::read_to_string(repository().join("docs/logging.md")).unwrap();
    // Rows of tables begin with the name in backticks.
    let mut tables: BTreeMap<&str, BTreeSet<String>> = BTreeMap::new();
    let mut heading = "";
    for line in page.lines() {
        if let Some(title) = line.strip_prefix("## ") {
            heading = title;
        }
        if let Some(row) = line.strip_prefix("| `") {
            // Several of one sort may share a row.
            let names = row.split(" | ").next().unwrap();
            let names = format!("`{names}");
            tables.entry(heading).or_default().extend(names.split('`').skip(1).step_by(2).map(str::to_owned));
        }
    }
    let (targets, fields) = written();
    let targets: BTreeSet<String> = targets
        .iter()
        .map(|target| if target.contains("AUDIT") { "audit".to_owned() } else { target.clone() })
        .collect();
    assert!(
        targets.len() >= 3 && fields.len() > 30,
        "the sources are not read as they are written: {fields:?}"
    );
    let listed = |heading: &str| tables.get(heading).cloned().unwrap_or_default();
    let own: BTreeSet<String> =
        listed("Targets").into_iter().filter(|target| !target.starts_with("gateway")).collect();
    assert_eq!(own, targets, "docs/logging.md, Targets");
    let missing: Vec<&String> = fields.iter().filter(|field| !listed("Fields").contains(*field)).collect();
    let gone: Vec<String> = listed("Fields").into_iter().filter(|field| !fields.contains(field)).collect();
    assert!(missing.is_empty() && gone.is_empty(), "docs/logging.md lacks {missing:?}, and lists {gone:?}");
}
