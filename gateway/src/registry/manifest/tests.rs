//! Manifests: all that may stand in one, and every mistake told at once.

use super::*;
use crate::grants::{Dir, Peer, Target};

fn parse(text: &str) -> Result<Manifest, String> {
    Manifest::parse("demo.toml", text.as_bytes()).map_err(|error| error.reason)
}

#[test]
fn everything_a_manifest_may_say_is_read() {
    let manifest = parse(
        r#"
        description = "Sleeps."
        [limits]
        wall = "1h"
        cpu = "1500ms"
        memory = "16MiB"
        input = "0B"
        output = "1KiB"
        concurrency = 100_000
        queue = 0
        queue_wait = "2s"
        [grants]
        env = []
        [[route]]
        method = "GET"
        path = "/sleep/{seconds}"
        function = "sleep"
        [[route]]
        method = "POST"
        path = "/sleep/{other}"
        [functions.sleep]
        description = "Waits."
        params = ["seconds"]
        "#,
    )
    .unwrap();
    assert_eq!(manifest.limits.wall, Some(Duration::from_secs(3600)));
    assert_eq!(manifest.limits.cpu, Some(Duration::from_millis(1500)));
    assert_eq!(manifest.limits.memory, Some(16 << 20));
    assert_eq!(manifest.limits.input, Some(0));
    assert_eq!(manifest.limits.concurrency, Some(100_000));
    assert_eq!(manifest.limits.queue, Some(0));
    assert_eq!(manifest.routes.len(), 2);
    assert_eq!(manifest.routes[0].pattern.to_string(), "/sleep/{seconds}");
    assert_eq!(manifest.routes[0].function.as_deref(), Some("sleep"));
    assert_eq!(manifest.routes[1].function, None);
    assert_eq!(manifest.notes.description.as_deref(), Some("Sleeps."));
    assert_eq!(manifest.notes.functions["sleep"].params, ["seconds"]);
    assert_eq!(parse("").unwrap(), Manifest::default());
}

#[test]
fn all_mistakes_are_told_at_once_with_line_key_and_remedy() {
    let reason = parse(
        "descripton = \"x\"\n\
         [limits]\n\
         wal = \"1s\"\n\
         cpu = 10\n\
         memory = \"128\"\n\
         wall = \"0s\"\n\
         concurrency = 0\n\
         queue = \"many\"\n\
         [grants]\n\
         env = [\"HOME\"]\n\
         disks = []\n\
         [[route]]\n\
         method = \"get\"\n\
         path = \"sleep\"\n\
         [[route]]\n\
         path = \"/tasks/x\"\n\
         [functions.f]\n\
         params = [\"a b\", \"c\", \"c\"]\n",
    )
    .unwrap_err();
    let lines: Vec<&str> = reason.lines().collect();
    assert_eq!(lines[0], "demo.toml has 15 mistakes:", "{reason}");
    for (start, part) in [
        ("line 1: descripton: unknown key", "did you mean `description`?"),
        ("line 3: limits.wal: unknown key", "did you mean `wall`?"),
        ("line 4: limits.cpu: found 10", "\"30s\""),
        ("line 5: limits.memory: found \"128\"", "\"128MiB\""),
        ("line 6: limits.wall: found \"0s\"", "more than zero"),
        ("line 7: limits.concurrency: found 0", "at least 1"),
        ("line 8: limits.queue: found \"many\"", "a whole number"),
        ("line 10: grants.env:", "cannot be granted in this version"),
        ("line 11: grants.disks: unknown key", "env, dirs, http, sockets"),
        ("line 13: route[0].method: found \"get\"", "GET"),
        ("line 14: route[0].path: found \"sleep\"", "starts with '/'"),
        ("line 15: route[1]: found no method", "method and path"),
        ("line 16: route[1].path: found \"/tasks/x\"", "belongs to the gateway"),
        ("line 18: functions.f.params[0]: found \"a b\"", "letters"),
        ("line 18: functions.f.params[2]: found \"c\"", "once"),
    ] {
        assert!(
            lines.iter().any(|line| line.trim().starts_with(start) && line.contains(part)),
            "{start} … {part} is missing in:\n{reason}"
        );
    }
}

#[test]
fn a_text_that_is_no_toml_names_its_lines() {
    let reason = parse("[limits]\nwall = 1s\n").unwrap_err();
    assert!(reason.contains("line 2: no TOML"), "{reason}");
    let error = Manifest::parse("demo.toml", b"a = 1\n\xff").unwrap_err();
    assert!(error.reason.contains("line 2: found bytes that are no UTF-8"), "{error}");
}

#[test]
fn a_route_stands_once_whatever_its_parameters_are_called() {
    let reason = parse(
        "[[route]]\nmethod = \"GET\"\npath = \"/a/{x}\"\n[[route]]\nmethod = \"GET\"\npath = \"/a/{y}\"\n",
    )
    .unwrap_err();
    assert!(reason.contains("GET /a/{y} is the same route as /a/{x} on line 1"), "{reason}");
}

#[test]
fn wrong_sorts_are_mistakes_and_never_ignored() {
    for (text, part) in [
        ("limits = 3", "expected a table [limits]"),
        ("route = 3", "doubled brackets"),
        ("[route]\nmethod = \"GET\"", "doubled brackets"),
        ("functions = []", "tables [functions.<name>]"),
        ("[functions]\nf = \"x\"", "functions.f: found \"x\""),
        ("description = \"\"", "found \"\", expected a text"),
        ("[grants]\nhttp = true", "cannot be granted"),
        ("[limits]\nconcurrency = -1", "at least 1"),
        ("[limits]\nqueue = 99999999999999999999999", "a whole number"),
    ] {
        let reason = parse(text).unwrap_err();
        assert!(reason.contains(part), "{text}: {reason}");
    }
}
