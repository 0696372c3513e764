//! `unblock top`: one look at a gateway as text, with and without tokens, and at what is none.

use crate::access::Tokens;
use crate::support::crowd::{LOOPS, LOOPS_MANIFEST};
use crate::support::process::{Ended, run, taken_port};
use crate::support::{Gateway, client, until};
use std::num::NonZeroUsize;

/// Off the async runtime's thread: the program asks a gateway of this process.
async fn look(arguments: &[&str]) -> Ended {
    let arguments: Vec<String> =
        ["top", "--once"].iter().chain(arguments).map(|&word| word.to_owned()).collect();
    let looked = move || run(&arguments.iter().map(String::as_str).collect::<Vec<_>>(), b"");
    tokio::task::spawn_blocking(looked).await.unwrap()
}

#[tokio::test]
async fn one_look_shows_who_runs_which_task_is_hungry_and_what_is_not_loaded() {
    let server = Gateway::new()
        .set(|config| config.workers = NonZeroUsize::new(2).unwrap())
        .wat("loops", LOOPS)
        .manifest("loops", LOOPS_MANIFEST)
        .wat("broken", "(module (nonsense))")
        .start();
    let caller = tokio::spawn(client().get(server.url("/tasks/loops/endless")).send());
    until("it runs", async || server.pool().running == 1).await;
    let url = server.url("/");
    let Ended { code, stdout, stderr } = look(&[&url]).await;
    assert_eq!((code, stderr.as_str()), (Some(0), ""), "{stdout}");
    let lines: Vec<&str> = stdout.lines().collect();
    let has =
        |start: &str, words: &str| lines.iter().any(|line| line.starts_with(start) && line.contains(words));
    assert!(has("unblock ", "calls/s"), "{stdout}");
    assert!(has("1 in flight", "of 2 workers busy"), "{stdout}");
    assert!(has("worker 0", "loops/endless · level") || has("worker 1", "loops/endless · level"), "{stdout}");
    assert!(has("not loaded: broken.wat:", ""), "{stdout}");
    let task = lines.iter().find(|line| line.starts_with("loops ")).unwrap_or_else(|| panic!("{stdout}"));
    let share: f64 = task.split(" %").next().unwrap().rsplit(' ').next().unwrap().parse().unwrap();
    assert!(share > 10.0, "one of two workers is taken: {task}");
    caller.abort();
}

#[tokio::test]
async fn a_token_is_read_from_its_file_and_asked_for_where_one_is_needed() {
    let tokens = Tokens::new();
    let (read, call) = (tokens.with(&["read"]), tokens.with(&["call:*"]));
    let server = tokens.guard(Gateway::new().wat("loops", LOOPS)).start();
    let url = server.url("");
    let folder = tempfile::tempdir().unwrap();
    let file = |name: &str, token: &str| {
        let path = folder.path().join(name);
        std::fs::write(&path, format!("{token}\n")).unwrap();
        path.to_str().unwrap().to_owned()
    };
    let seen = look(&[&url, "--token", &file("read", &read)]).await;
    assert!(seen.code == Some(0) && seen.stdout.contains("loops"), "{} {}", seen.stdout, seen.stderr);
    for arguments in [vec![url.as_str()], vec![url.as_str(), "--token", &file("call", &call)]] {
        let seen = look(&arguments).await;
        assert_eq!(seen.code, Some(1), "{arguments:?}");
        assert!(seen.stderr.contains("--token FILE") && seen.stdout.is_empty(), "{}", seen.stderr);
        assert!(!seen.stderr.contains(&call), "no token is shown: {}", seen.stderr);
    }
}

#[tokio::test]
async fn what_is_no_gateway_is_told_from_one() {
    let (held, address) = taken_port();
    let silent = look(&[&address, "--interval", "500ms"]).await;
    assert_eq!(silent.code, Some(1));
    assert!(silent.stderr.contains("did not answer within 5 s"), "{}", silent.stderr);
    drop(held);
    let gone = look(&[&address]).await;
    assert_eq!(gone.code, Some(1));
    assert!(
        gone.stderr.contains("cannot be reached") && gone.stderr.contains("is it running?"),
        "{}",
        gone.stderr
    );
    for wrong in ["ftp://x", "http://", "://"] {
        let seen = look(&[wrong]).await;
        assert_eq!(seen.code, Some(2), "{wrong}");
        assert!(seen.stderr.contains("expected the gateway's address"), "{}", seen.stderr);
    }
}
