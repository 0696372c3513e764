//! The tasks folder while it is served: modules and manifests that come, change, break and go.
//!
//! No call may fail because a file changed: a call in flight ends on the version it began with, a
//! broken file leaves the previous version serving, and a file that is still being written is not
//! looked at. What could not be loaded is listed with what would help.

use crate::support::guests::{Gate, gated};
use crate::support::{Gateway, Server, client, until};
use serde_json::{Value, json};
use std::io::Write as _;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::time::Duration;

fn version(number: u32) -> String {
    format!("(module (func (export \"version\") (param i32) (result i32) i32.const {number}))")
}

/// Puts a file in place in one step, as `mv` does.
fn replace(folder: &Path, name: &str, content: &str) {
    let aside = folder.join(format!(".{name}.new"));
    std::fs::write(&aside, content).unwrap();
    std::fs::rename(aside, folder.join(name)).unwrap();
}

/// Waits until a path answers with that text.
async fn answers(server: &Server, path: &str, expected: &str) {
    until(&format!("{path} = {expected}"), async || server.get(path).await.text() == expected).await;
}

/// Waits until a path answers with that status.
async fn status(server: &Server, path: &str, expected: u16) {
    until(&format!("{path}: {expected}"), async || server.get(path).await.status == expected).await;
}

/// Waits for an entry in the list of what failed.
async fn failure(server: &Server, file: &str) -> Value {
    let mut found = Value::Null;
    until(&format!("a failure of {file}"), async || {
        let listed = server.get("/tasks").await.json();
        let entry = listed["failures"].as_array().unwrap().iter().find(|failure| failure["file"] == file);
        found = entry.cloned().unwrap_or_default();
        !found.is_null()
    })
    .await;
    assert!(!found["remedies"].as_array().unwrap().is_empty(), "{found:#}");
    found
}

async fn no_failures(server: &Server) {
    until("no failures", async || server.get("/tasks").await.json()["failures"] == json!([])).await;
}

#[tokio::test]
async fn a_module_that_comes_is_served_and_one_that_goes_is_not() {
    let server = Gateway::new().start();
    server.get("/tasks/late/version?0=0").await.problem(404, "unknown-task");
    std::fs::write(server.folder().join("late.wat"), version(1)).unwrap();
    answers(&server, "/tasks/late/version?0=0", "1").await;
    std::fs::write(server.folder().join("late.wat"), version(2)).unwrap();
    answers(&server, "/tasks/late/version?0=0", "2").await;
    std::fs::remove_file(server.folder().join("late.wat")).unwrap();
    status(&server, "/tasks/late", 404).await;
    let listed = server.get("/tasks").await.json();
    assert_eq!((&listed["tasks"], &listed["failures"]), (&json!([]), &json!([])), "{listed:#}");
}

#[tokio::test]
async fn a_manifest_that_comes_changes_and_goes_takes_effect() {
    let server = Gateway::new().wat("late", &version(1)).start();
    let folder = server.folder();
    let named = |name: &str, path: &str| {
        format!(
            "[limits]\nwall = \"7s\"\n[functions.version]\nparams = [\"{name}\"]\n\
             [[route]]\nmethod = \"GET\"\npath = \"{path}/{{{name}}}\"\n"
        )
    };
    assert_eq!(server.get("/first/0").await.status, 404);
    std::fs::write(folder.join("late.toml"), named("a", "/first")).unwrap();
    answers(&server, "/first/0", "1").await;
    assert_eq!(server.get("/tasks/late/version?a=0").await.ok(), "1");
    assert_eq!(server.get("/tasks/late").await.json()["limits"]["wall"], "7s");
    std::fs::write(folder.join("late.toml"), named("b", "/second")).unwrap();
    answers(&server, "/second/0", "1").await;
    assert_eq!(server.get("/first/0").await.status, 404);
    assert_eq!(server.get("/tasks/late/version?a=0").await.problem(400, "bad-arguments")["pointer"], "/a");
    std::fs::remove_file(folder.join("late.toml")).unwrap();
    status(&server, "/second/0", 404).await;
    assert_eq!(server.get("/tasks/late/version?0=0").await.ok(), "1");
    assert_eq!(server.get("/tasks/late").await.json()["limits"]["wall"], "30s");
}

#[tokio::test]
async fn a_call_in_flight_ends_on_the_version_it_began_with() {
    let (gate, extra) = Gate::new();
    let server = Gateway::new().wat("gated", &gated(1)).imports(extra).start();
    let call = || {
        let request = client().get(server.url("/tasks/gated/slow")).send();
        tokio::spawn(async move {
            let response = request.await.unwrap();
            let version = response.headers()["unblock-task"].to_str().unwrap().to_owned();
            (response.status().as_u16(), version, response.text().await.unwrap())
        })
    };
    let digest = async || server.get("/tasks/gated").await.json()["digest"].as_str().unwrap().to_owned();
    let (old, first) = (call(), digest().await);
    until("a run", async || server.get("/tasks/gated").await.json()["counts"]["running"] == 1).await;
    replace(server.folder(), "gated.wat", &gated(2));
    answers(&server, "/tasks/gated/version", "2").await;
    let (new, second) = (call(), digest().await);
    assert_ne!(first, second);
    until("another", async || server.get("/tasks/gated").await.json()["counts"]["running"] == 2).await;
    // Even without its file.
    std::fs::remove_file(server.folder().join("gated.wat")).unwrap();
    status(&server, "/tasks/gated", 404).await;
    gate.open(2);
    assert_eq!(old.await.unwrap(), (200, format!("gated@{first}"), "1".to_owned()));
    assert_eq!(new.await.unwrap(), (200, format!("gated@{second}"), "2".to_owned()));
}

#[tokio::test]
async fn a_broken_file_leaves_the_previous_version_and_is_listed_with_what_helps() {
    let server = Gateway::new().wat("task", &version(1)).start();
    let serving = format!("task@{}", server.get("/tasks/task").await.json()["digest"].as_str().unwrap());
    for (content, word) in [
        ("(module (func $f (export \"f\") (call $g)))", "1:37"),
        ("(module (memory 1))", "without a callable function"),
        ("(module (import \"env\" \"print\" (func)) (func (export \"f\")))", "env.print"),
    ] {
        std::fs::write(server.folder().join("task.wat"), content).unwrap();
        let mut found = Value::Null;
        until(word, async || {
            found = failure(&server, "task.wat").await;
            found["reason"].as_str().unwrap().contains(word)
        })
        .await;
        assert_eq!((&found["task"], &found["serving"]), (&json!("task"), &json!(serving)), "{found:#}");
        assert_eq!(server.get("/tasks/task/version?0=0").await.ok(), "1");
    }
    std::fs::write(server.folder().join("task.wat"), version(2)).unwrap();
    answers(&server, "/tasks/task/version?0=0", "2").await;
    no_failures(&server).await;
    // A manifest with several mistakes: all of them, and the settings stay.
    let mistakes = "[limits]\nwal = \"1s\"\nmemory = 12\n[[route]]\nmethod = \"get\"\npath = \"/tasks/x\"\n";
    std::fs::write(server.folder().join("task.toml"), mistakes).unwrap();
    let found = failure(&server, "task.toml").await;
    let reason = found["reason"].as_str().unwrap();
    for word in ["line 2", "`wall`", "line 3", "line 5", "line 6", "belongs to the gateway"] {
        assert!(reason.contains(word), "{word}: {reason}");
    }
    assert_eq!(server.get("/tasks/task/version?0=0").await.ok(), "2");
    std::fs::remove_file(server.folder().join("task.toml")).unwrap();
    no_failures(&server).await;
}

#[tokio::test]
async fn a_file_that_is_still_being_written_is_not_looked_at() {
    let server = Gateway::new().wat("task", &version(1)).start();
    // Each third of it is a mistake by itself, and the first two would load as another version.
    let text = version(2).replace("i32.const 2", "i32.const 2000");
    let cut = text.find("000").unwrap();
    let thirds = [&text[..20], &text[20..cut], &text[cut..]];
    let mut file = std::fs::File::create(server.folder().join("task.wat")).unwrap();
    for third in thirds {
        file.write_all(third.as_bytes()).unwrap();
        // Several settle times pass between the pieces, and all the while the old version answers.
        let pause = std::time::Instant::now();
        while pause.elapsed() < Duration::from_millis(150) {
            let listed = server.get("/tasks").await.json();
            assert_eq!(listed["failures"], json!([]), "{listed:#}");
            assert_eq!(server.get("/tasks/task/version?0=0").await.ok(), "1");
        }
    }
    drop(file);
    answers(&server, "/tasks/task/version?0=0", "2000").await;
    no_failures(&server).await;
}

#[tokio::test]
async fn a_task_replaced_twenty_times_under_load_fails_no_call() {
    const VERSIONS: u32 = 20;
    let server = Arc::new(Gateway::new().wat("task", &version(1)).start());
    let (stop, calls) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU32::new(0)));
    let load: Vec<_> = (0..4)
        .map(|_| {
            let (server, stop, calls) = (Arc::clone(&server), Arc::clone(&stop), Arc::clone(&calls));
            tokio::spawn(async move {
                let (client, url, mut last) = (client(), server.url("/tasks/task/version?0=0"), 0);
                loop {
                    // One more call once the load is to stop: it sees the last version.
                    let stopping = stop.load(Ordering::Relaxed);
                    let reply = server.send(client.get(&url)).await;
                    let version: u32 = reply.ok().parse().unwrap();
                    assert!(version >= last, "{version} after {last}");
                    last = version;
                    calls.fetch_add(1, Ordering::Relaxed);
                    if stopping {
                        return last;
                    }
                }
            })
        })
        .collect();
    for number in 2..=VERSIONS + 1 {
        let before = calls.load(Ordering::Relaxed);
        // Half of them in place, as an editor or `cp` does.
        if number % 2 == 0 {
            replace(server.folder(), "task.wat", &version(number));
        } else {
            std::fs::write(server.folder().join("task.wat"), version(number)).unwrap();
        }
        answers(&server, "/tasks/task/version?0=0", &number.to_string()).await;
        until("calls of that version", async || calls.load(Ordering::Relaxed) > before + 4).await;
    }
    stop.store(true, Ordering::Relaxed);
    for worker in load {
        assert_eq!(worker.await.unwrap(), VERSIONS + 1);
    }
}

#[tokio::test]
async fn two_files_of_one_stem_are_refused_until_one_goes() {
    let server = Gateway::new().wat("twin", &version(1)).start();
    std::fs::write(server.folder().join("twin.wasm"), wat::parse_str(version(2)).unwrap()).unwrap();
    let mut found = Value::Null;
    until("the failure", async || {
        found = server.get("/tasks").await.json()["failures"][0].clone();
        !found.is_null()
    })
    .await;
    assert!(found["reason"].as_str().unwrap().contains("expected one module"), "{found:#}");
    assert!(found["file"].as_str().unwrap().contains("twin.wasm"), "{found:#}");
    assert_eq!(server.get("/tasks/twin/version?0=0").await.ok(), "1", "what served goes on");
    std::fs::remove_file(server.folder().join("twin.wat")).unwrap();
    answers(&server, "/tasks/twin/version?0=0", "2").await;
    no_failures(&server).await;
}

#[tokio::test]
async fn a_manifest_without_its_module_and_a_name_that_is_none_are_listed() {
    let manifest = "[limits]\nwall = \"1s\"\n";
    let server = Gateway::new().manifest("alone", manifest).wat("Upper_Case", &version(1)).start();
    let found = failure(&server, "alone.toml").await;
    assert!(found["reason"].as_str().unwrap().contains("manifest without its module"), "{found:#}");
    let found = failure(&server, "Upper_Case.wat").await;
    assert!(found["reason"].as_str().unwrap().contains("lower-case letters"), "{found:#}");
    std::fs::write(server.folder().join("alone.wat"), version(3)).unwrap();
    answers(&server, "/tasks/alone/version?0=0", "3").await;
    // And the other way round: the module goes, its manifest stays.
    std::fs::remove_file(server.folder().join("alone.wat")).unwrap();
    failure(&server, "alone.toml").await;
    server.get("/tasks/alone/version?0=0").await.problem(503, "bad-module");
}

#[tokio::test]
async fn a_route_that_another_task_has_is_refused_until_it_is_free() {
    let manifest =
        "[functions.version]\nparams = [\"a\"]\n[[route]]\nmethod = \"GET\"\npath = \"/mine/{a}\"\n";
    let server = Gateway::new().wat("one", &version(1)).manifest("one", manifest).start();
    assert_eq!(server.get("/mine/0").await.ok(), "1");
    std::fs::write(server.folder().join("two.wat"), version(2)).unwrap();
    std::fs::write(server.folder().join("two.toml"), manifest).unwrap();
    let found = failure(&server, "two.toml").await;
    assert!(found["reason"].as_str().unwrap().contains("/mine/{a}"), "{found:#}");
    assert_eq!(server.get("/mine/0").await.ok(), "1");
    std::fs::remove_file(server.folder().join("one.toml")).unwrap();
    answers(&server, "/mine/0", "2").await;
    no_failures(&server).await;
}

#[tokio::test]
async fn a_folder_that_goes_is_told_and_one_that_comes_back_is_served() {
    let above = tempfile::tempdir().unwrap();
    let folder = above.path().join("tasks");
    std::fs::create_dir(&folder).unwrap();
    std::fs::write(folder.join("task.wat"), version(1)).unwrap();
    let tasks = folder.clone();
    let server = Gateway::new().set(move |config| config.registry.tasks = tasks).start();
    assert_eq!(server.get("/tasks/task/version?0=0").await.ok(), "1");
    std::fs::rename(&folder, above.path().join("away")).unwrap();
    until("the folder among the failures", async || {
        let listed = server.get("/tasks").await.json();
        listed["failures"][0]["reason"].as_str().is_some_and(|reason| reason.contains("tasks"))
    })
    .await;
    assert_eq!(server.get("/tasks/task/version?0=0").await.ok(), "1", "what is loaded goes on");
    std::fs::create_dir(&folder).unwrap();
    std::fs::write(folder.join("task.wat"), version(2)).unwrap();
    answers(&server, "/tasks/task/version?0=0", "2").await;
    no_failures(&server).await;
    // The new folder is watched, too.
    std::fs::write(folder.join("other.wat"), version(3)).unwrap();
    answers(&server, "/tasks/other/version?0=0", "3").await;
}

#[tokio::test]
async fn a_folder_replaced_by_a_file_is_told_and_comes_back() {
    let above = tempfile::tempdir().unwrap();
    let folder = above.path().join("tasks");
    std::fs::create_dir(&folder).unwrap();
    std::fs::write(folder.join("task.wat"), version(1)).unwrap();
    let tasks = folder.clone();
    let server = Gateway::new().set(move |config| config.registry.tasks = tasks).start();
    std::fs::remove_dir_all(&folder).unwrap();
    std::fs::write(&folder, "no folder").unwrap();
    until("the folder among the failures", async || {
        let listed = server.get("/tasks").await.json();
        listed["failures"][0]["reason"].as_str().is_some_and(|reason| reason.contains("is a file"))
    })
    .await;
    assert_eq!(server.get("/tasks/task/version?0=0").await.ok(), "1", "what is loaded goes on");
    assert_eq!(server.get("/readyz").await.status, 200);
    std::fs::remove_file(&folder).unwrap();
    std::fs::create_dir(&folder).unwrap();
    // An empty folder in its place is not believed: it looks like a mount that was lost.
    let found = failure(&server, folder.to_str().unwrap()).await;
    assert!(!found["reason"].as_str().unwrap().is_empty(), "{found:#}");
    assert_eq!(server.get("/tasks/task/version?0=0").await.ok(), "1", "what is loaded goes on");
    std::fs::write(folder.join("task.wat"), version(2)).unwrap();
    answers(&server, "/tasks/task/version?0=0", "2").await;
    no_failures(&server).await;
}

#[tokio::test]
async fn a_file_written_in_pieces_by_closing_it_each_time_never_breaks_what_serves() {
    let server = Gateway::new().wat("task", &version(1)).start();
    let text = version(2).replace("i32.const 2", "i32.const 2000");
    let path = server.folder().join("task.wat");
    std::fs::write(&path, "").unwrap();
    for piece in text.as_bytes().chunks(8) {
        let mut file = std::fs::File::options().append(true).open(&path).unwrap();
        file.write_all(piece).unwrap();
        drop(file);
        // A piece may well lie still for long enough to be tried; it must not replace what serves.
        let answer = server.get("/tasks/task/version?0=0").await.ok();
        assert!(["1", "2000"].contains(&answer.as_str()), "{answer}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    answers(&server, "/tasks/task/version?0=0", "2000").await;
    no_failures(&server).await;
}

#[tokio::test]
async fn files_from_the_future_are_loaded_and_replaced() {
    let ahead = |path: &Path, days: u64| {
        let time = std::time::SystemTime::now() + Duration::from_secs(days * 86_400);
        std::fs::File::options().append(true).open(path).unwrap().set_modified(time).unwrap();
    };
    let above = tempfile::tempdir().unwrap();
    let folder = above.path().to_owned();
    std::fs::write(folder.join("task.wat"), version(1)).unwrap();
    ahead(&folder.join("task.wat"), 4_000);
    let tasks = folder.clone();
    let server = Gateway::new().set(move |config| config.registry.tasks = tasks).start();
    answers(&server, "/tasks/task/version?0=0", "1").await;
    // The clock is right again, so the new version is older than the one it replaces.
    replace(&folder, "task.wat", &version(2));
    answers(&server, "/tasks/task/version?0=0", "2").await;
    replace(&folder, "task.wat", &version(3));
    ahead(&folder.join("task.wat"), 8_000);
    answers(&server, "/tasks/task/version?0=0", "3").await;
}
