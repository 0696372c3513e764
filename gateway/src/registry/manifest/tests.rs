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
        weight = 3
        [grants]
        env = { LANG = "C" }
        env_from = ["API_TOKEN"]
        dirs = [{ host = "data", guest = "/data", write = true }, { host = "/srv/ro", guest = "/ro" }]
        http = ["api.example.com", "*.example.org:8443", "10.0.0.5:9000"]
        sockets = ["10.0.0.5:5432"]
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
    assert_eq!(manifest.limits.weight, Some(3));
    assert_eq!(manifest.asked.env["LANG"], "C");
    assert!(manifest.asked.env_from.contains("API_TOKEN"));
    let dir = |host: &str, guest: &str, write| Dir { host: host.into(), guest: guest.to_owned(), write };
    assert_eq!(manifest.asked.dirs, [dir("data", "/data", true), dir("/srv/ro", "/ro", false)]);
    let [name, below, address] = manifest.asked.http.as_slice() else { panic!("three hosts") };
    assert_eq!(*name, Target { peer: Peer::Name("api.example.com".to_owned()), port: None });
    assert_eq!(*below, Target { peer: Peer::Below("example.org".to_owned()), port: Some(8443) });
    assert_eq!(address.peer, Peer::Address([10, 0, 0, 5].into()));
    assert_eq!(manifest.asked.sockets.len(), 1);
    assert_eq!(manifest.routes.len(), 2);
    assert_eq!(manifest.routes[0].pattern.to_string(), "/sleep/{seconds}");
    assert_eq!(manifest.routes[0].function.as_deref(), Some("sleep"));
    assert_eq!(manifest.routes[1].function, None);
    assert_eq!(manifest.notes.description.as_deref(), Some("Sleeps."));
    assert_eq!(manifest.notes.functions["sleep"].params, ["seconds"]);
    let empty = parse("").unwrap();
    assert_eq!(Manifest { digest: None, ..empty.clone() }, Manifest::default());
    // What says the same in other words is another text, and so is none at all.
    assert!(empty.same_settings(&parse("").unwrap()));
    assert!(!empty.same_settings(&parse("# nothing").unwrap()) && !empty.same_settings(&Manifest::default()));
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
        ("line 10: grants.env: found a list", "{ LANG = \"C\" }"),
        ("line 11: grants.disks: unknown key", "env, env_from, dirs, http, sockets"),
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
        ("[grants]\nhttp = true", "found true, expected a list of hosts"),
        ("[grants]\nhttps = []", "did you mean `http`?"),
        ("[limits]\nconcurrency = -1", "at least 1"),
        ("[limits]\nweight = 0", "a whole number from 1 to 100"),
        ("[limits]\nweight = 101", "found 101, expected a whole number from 1 to 100"),
        ("[limits]\nweight = 1.5", "a whole number from 1 to 100"),
        ("[limits]\nqueue = 99999999999999999999999", "a whole number"),
    ] {
        let reason = parse(text).unwrap_err();
        assert!(reason.contains(part), "{text}: {reason}");
    }
}

#[test]
fn every_mistake_of_grants_is_told() {
    let reason = parse(
        "[grants]\n\
         env = { \"A B\" = \"x\", PORT = 80, OK = \"\" }\n\
         env_from = [\"OK\", \"TOKEN\", \"TOKEN\", 3]\n\
         dirs = [\n\
         { host = \"data\" },\n\
         { host = \"data\", guest = \"data\" },\n\
         { host = \"data\", guest = \"/a/../b\" },\n\
         { host = \"data\", guest = \"/data\", writ = true },\n\
         { host = \"data\", guest = \"/data\", write = \"yes\" },\n\
         { host = \"more\", guest = \"/data\" },\n\
         \"data\",\n\
         ]\n\
         http = [\"https://example.com/\", \"a b\", \"example.com\", \"Example.com.\", 5]\n\
         sockets = [\"example.com\"]\n",
    )
    .unwrap_err();
    for (start, part) in [
        ("line 2: grants.env.A B:", "the name of a variable"),
        ("line 2: grants.env.PORT: found 80", "a text in quotes"),
        ("line 3: grants.env_from[0]: OK has a value", "remove one"),
        ("line 3: grants.env_from[2]:", "once"),
        ("line 3: grants.env_from[3]: found 3", "the name of a variable"),
        ("line 5: grants.dirs[0]: found no guest", "host and guest"),
        ("line 6: grants.dirs[1].guest: found \"data\"", "a path from the root"),
        ("line 7: grants.dirs[2].guest: found \"/a/../b\"", "a path from the root"),
        ("line 8: grants.dirs[3].writ: unknown key", "did you mean `write`?"),
        ("line 9: grants.dirs[4].write: found \"yes\"", "true or false"),
        ("line 10: grants.dirs[5].guest: found \"/data\" twice", "once"),
        ("line 11: grants.dirs[6]: found \"data\"", "a directory, such as"),
        ("line 13: grants.http[0]: found the URL", "without scheme and path"),
        ("line 13: grants.http[1]: found \"a b\"", "a host such as"),
        ("line 13: grants.http[3]: found \"Example.com.\"", "once"),
        ("line 13: grants.http[4]: found 5", "in quotes"),
        ("line 14: grants.sockets[0]: found \"example.com\" without a port", "5432"),
    ] {
        assert!(
            reason.lines().any(|line| line.trim().starts_with(start) && line.contains(part)),
            "{start} … {part} is missing in:\n{reason}"
        );
    }
}
