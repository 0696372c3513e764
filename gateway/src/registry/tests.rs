//! The registry as a whole, over real folders: what is dropped in is served, what is broken is
//! told, and nothing that serves is lost on the way. Timing is by condition, never by guess.

use super::*;
use crate::runtime::Runtime;
use std::fs;
use std::io::Write as _;
use std::num::NonZeroUsize;
use std::path::Path;
use std::sync::{Condvar, Mutex, OnceLock};
use std::time::Instant;
use tempfile::TempDir;
use unblock_pool::{Config, Pool};

const SETTLE: Duration = Duration::from_millis(25);

/// Longest wait for anything, far above what is needed on a busy machine.
const PATIENCE: Duration = Duration::from_secs(20);

fn runtime() -> &'static Runtime {
    static RUNTIME: OnceLock<Arc<Runtime>> = OnceLock::new();
    RUNTIME.get_or_init(|| {
        // Nothing is run here, so the slots are few.
        let mut settings = crate::runtime::engine::Settings::default();
        settings.runs.count = 16;
        Runtime::new(&settings, None).expect("a runtime")
    })
}

fn pool() -> &'static Pool {
    static POOL: OnceLock<Pool> = OnceLock::new();
    POOL.get_or_init(|| {
        let config = Config { workers: NonZeroUsize::MIN, ..Config::default() };
        Pool::new(config, Arc::new(|| {}), Arc::new(|life: &mut dyn FnMut()| life())).expect("a pool")
    })
}

/// Prepares for real, counts, and can be held up.
#[derive(Default)]
struct TestLoader {
    prepared: Mutex<usize>,
    held: Mutex<bool>,
    let_go: Condvar,
}

impl TestLoader {
    fn prepared(&self) -> usize {
        *self.prepared.lock().unwrap()
    }

    fn hold(&self, held: bool) {
        *self.held.lock().unwrap() = held;
        self.let_go.notify_all();
    }
}

impl Loader for TestLoader {
    fn prepare(&self, bytes: &[u8], notes: &Notes) -> Result<Prepared, LoadError> {
        *self.prepared.lock().unwrap() += 1;
        if contains(bytes, ";; slow") {
            drop(self.let_go.wait_while(self.held.lock().unwrap(), |held| *held).unwrap());
        }
        assert!(!contains(bytes, ";; panic"), "as the module asks for");
        runtime().prepare(bytes, notes)
    }

    fn share(&self, _: &TaskName, limits: &Limits) -> Share {
        pool().share(share_limits(limits))
    }
}

fn contains(bytes: &[u8], text: &str) -> bool {
    bytes.windows(text.len()).any(|window| window == text.as_bytes())
}

struct Scene {
    registry: Arc<Registry>,
    loader: Arc<TestLoader>,
    parent: TempDir,
}

impl Scene {
    fn new(files: &[(&str, &str)]) -> Self {
        let parent = tempfile::tempdir().unwrap();
        fs::create_dir(parent.path().join("tasks")).unwrap();
        for (name, text) in files {
            fs::write(parent.path().join("tasks").join(name), text).unwrap();
        }
        let loader = Arc::new(TestLoader::default());
        let registry =
            Registry::open(settings(&parent.path().join("tasks")), Arc::clone(&loader) as _).unwrap();
        let scene = Self { registry, loader, parent };
        scene.until("ready", |_| scene.registry.ready());
        scene
    }

    fn path(&self, name: &str) -> PathBuf {
        self.parent.path().join("tasks").join(name)
    }

    fn write(&self, name: &str, text: &str) {
        fs::write(self.path(name), text).unwrap();
    }

    /// Replaces a file the way deployments do: whole.
    fn put(&self, name: &str, text: &str) {
        let aside = self.parent.path().join("aside");
        fs::write(&aside, text).unwrap();
        fs::rename(aside, self.path(name)).unwrap();
    }

    fn remove(&self, name: &str) {
        fs::remove_file(self.path(name)).unwrap();
    }

    #[track_caller]
    fn until(&self, what: &str, mut done: impl FnMut(&Snapshot) -> bool) {
        let start = Instant::now();
        while !done(&self.registry.snapshot()) {
            assert!(start.elapsed() < PATIENCE, "never {what}; {}", self.describe());
            std::thread::sleep(Duration::from_millis(2));
        }
    }

    /// Watches for a while that must be long enough for the registry to have acted.
    #[track_caller]
    fn never(&self, what: &str, span: Duration, mut bad: impl FnMut(&Snapshot) -> bool) {
        let start = Instant::now();
        while start.elapsed() < span {
            assert!(!bad(&self.registry.snapshot()), "{what}; {}", self.describe());
            std::thread::sleep(Duration::from_millis(2));
        }
    }

    fn describe(&self) -> String {
        let snapshot = self.registry.snapshot();
        format!("tasks {:?}, failures {:#?}", snapshot.tasks.keys().collect::<Vec<_>>(), snapshot.failures)
    }

    fn task(&self, name: &str) -> Arc<Task> {
        Arc::clone(self.registry.snapshot().task(name).unwrap())
    }

    #[track_caller]
    fn failure(&self, file: &str) -> Failure {
        let found = self.registry.snapshot().failures.iter().find(|failure| failure.file == file).cloned();
        found.unwrap_or_else(|| panic!("no failure of {file}; {}", self.describe()))
    }
}

fn settings(tasks: &Path) -> Settings {
    Settings {
        tasks: tasks.to_owned(),
        poll: Duration::from_millis(50),
        settle: SETTLE,
        module_bytes_max: 100_000,
        ..Settings::default()
    }
}

/// A module with functions of one number each; `mark` makes its content unique.
fn module(functions: &[&str], mark: &str) -> String {
    let functions: String = functions
        .iter()
        .map(|name| format!("(func (export \"{name}\") (param i32) (result i32) local.get 0)\n"))
        .collect();
    format!("(module ;; {mark}\n{functions})")
}

fn serves(snapshot: &Snapshot, name: &str) -> bool {
    snapshot.tasks.contains_key(name)
}

fn fails(snapshot: &Snapshot, file: &str) -> bool {
    snapshot.failures.iter().any(|failure| failure.file == file)
}

fn found(snapshot: &Snapshot, method: &str, path: &str) -> Option<String> {
    match snapshot.route(method, path) {
        RouteMatch::Found { task, function, pairs, .. } => {
            Some(format!("{}.{} {pairs:?}", task.name, task.prepared.functions[function?].name))
        }
        RouteMatch::MethodNotAllowed { .. } | RouteMatch::None => None,
    }
}

const NAP_ROUTE: &str = "[limits]\nwall = \"2s\"\nmemory = \"9GiB\"\n\
    [[route]]\nmethod = \"GET\"\npath = \"/nap/{n}\"\n\
    [functions.nap]\nparams = [\"n\"]\n";

#[test]
fn what_lies_in_the_folder_is_served_with_its_manifest() {
    let scene = Scene::new(&[
        ("nap.wat", &module(&["nap"], "1")),
        ("nap.toml", NAP_ROUTE),
        ("plain.wat", &module(&["a", "b"], "1")),
        ("README.md", "not a task"),
        ("Cargo.toml", "not = 'a manifest'"),
        (".hidden.wat", "nothing"),
    ]);
    let snapshot = scene.registry.snapshot();
    assert_eq!(snapshot.tasks.keys().map(TaskName::as_str).collect::<Vec<_>>(), ["nap", "plain"]);
    assert!(snapshot.failures.is_empty(), "{}", scene.describe());
    let nap = snapshot.task("nap").unwrap();
    assert_eq!(nap.limits.wall, Duration::from_secs(2));
    assert_eq!(nap.limits.memory, Ceilings::default().0.memory);
    assert!(nap.warnings[0].contains("--max-memory"), "{:?}", nap.warnings);
    assert_eq!(nap.routes[0].path, "/nap/{n}");
    assert_eq!(found(&snapshot, "GET", "/nap/7").as_deref(), Some("nap.nap [(\"n\", \"7\")]"));
    assert_eq!(found(&snapshot, "HEAD", "/nap/7").as_deref(), Some("nap.nap [(\"n\", \"7\")]"));
    let RouteMatch::MethodNotAllowed { allow } = snapshot.route("POST", "/nap/7") else { panic!("405") };
    assert_eq!(allow, ["GET", "HEAD"]);
    let Err(error) = snapshot.task("plane") else { panic!("an unknown task") };
    assert_eq!((error.kind, error.nearest.as_slice()), (Kind::UnknownTask, &["plain".to_owned()][..]));
}

#[test]
fn a_new_version_follows_while_calls_keep_theirs() {
    let scene = Scene::new(&[("nap.wat", &module(&["nap"], "1"))]);
    let old = scene.task("nap");
    scene.put("nap.wat", &module(&["nap", "doze"], "2"));
    scene.until("replaced", |s| s.task("nap").is_ok_and(|task| task.prepared.functions.len() == 2));
    let new = scene.task("nap");
    assert_eq!(old.prepared.functions.len(), 1, "the old version is as it was");
    assert!(Arc::ptr_eq(&old.figures, &new.figures), "it counts on");
    scene.remove("nap.wat");
    scene.until("removed", |s| !serves(s, "nap"));
    assert_eq!(new.prepared.functions.len(), 2);
}

#[test]
fn a_broken_file_leaves_the_previous_version_serving() {
    let scene = Scene::new(&[("nap.wat", &module(&["nap"], "1"))]);
    let version = scene.task("nap").version();
    scene.put("nap.wat", "(module ;; broken");
    scene.until("reported", |s| fails(s, "nap.wat"));
    let failure = scene.failure("nap.wat");
    assert_eq!((failure.task.as_deref(), failure.serving.as_deref()), (Some("nap"), Some(version.as_str())));
    assert_eq!(scene.task("nap").version(), version);
    scene.put("nap.wat", &module(&["nap"], "1"));
    scene.until("mended", |s| s.failures.is_empty() && serves(s, "nap"));
}

#[test]
fn a_task_that_never_loaded_is_a_bad_module_with_the_reason() {
    let scene = Scene::new(&[("nap.wat", "(module ;; broken"), ("empty.wasm", "")]);
    scene.until("reported", |s| fails(s, "nap.wat") && fails(s, "empty.wasm"));
    assert_eq!(scene.registry.snapshot().task("nap").err().map(|e| e.kind), Some(Kind::BadModule));
    assert!(scene.failure("empty.wasm").error.reason.contains("is empty"));
}

#[test]
fn limits_and_routes_change_without_preparing_again() {
    let scene = Scene::new(&[("nap.wat", &module(&["nap"], "1"))]);
    let old = scene.task("nap");
    scene.put(
        "nap.toml",
        "[limits]\nwall = \"3s\"\nconcurrency = 2\n[[route]]\nmethod = \"GET\"\npath = \"/nap\"\n",
    );
    scene.until("changed", |s| found(s, "GET", "/nap").is_some());
    let new = scene.task("nap");
    assert_eq!((new.limits.wall, new.limits.concurrency), (Duration::from_secs(3), 2));
    assert!(Arc::ptr_eq(&old.prepared, &new.prepared));
    let permits = [new.share.try_enter().is_ok(), old.share.try_enter().is_ok()];
    assert_eq!(permits, [true, true], "permits are returned at once");
    let held = [new.share.try_enter(), old.share.try_enter()];
    assert!(held.iter().all(Result::is_ok));
    assert!(new.share.try_enter().is_err(), "old and new version share two slots");
    scene.remove("nap.toml");
    scene.until("default again", |s| s.task("nap").is_ok_and(|t| t.limits == Limits::default()));
    assert_eq!(scene.loader.prepared(), 1);
    // Touched, not changed: read again, and that is all.
    let before = scene.task("nap");
    scene.put("nap.wat", &module(&["nap"], "1"));
    assert!(scene.registry.rescan_blocking());
    assert!(Arc::ptr_eq(&before, &scene.task("nap")));
    assert_eq!(scene.loader.prepared(), 1);
    // What the module is prepared with does prepare it again.
    scene.put("nap.toml", "[functions.nap]\nparams = [\"seconds\"]\n");
    scene
        .until("named", |s| s.task("nap").is_ok_and(|t| t.prepared.functions[0].params[0].name == "seconds"));
    assert_eq!(scene.loader.prepared(), 2);
}

#[test]
fn a_broken_manifest_changes_nothing_and_tells_every_mistake() {
    let scene = Scene::new(&[("nap.wat", &module(&["nap"], "1")), ("nap.toml", NAP_ROUTE)]);
    scene.put("nap.toml", "[limits]\nwal = \"1s\"\ncpu = \"5\"\n");
    scene.until("reported", |s| fails(s, "nap.toml"));
    let failure = scene.failure("nap.toml");
    assert!(
        failure.error.reason.contains("`wall`") && failure.error.reason.contains("limits.cpu"),
        "{failure:?}"
    );
    assert!(failure.serving.is_some());
    assert_eq!(scene.task("nap").limits.wall, Duration::from_secs(2));
    assert!(found(&scene.registry.snapshot(), "GET", "/nap/1").is_some());
    scene.put("nap.toml", NAP_ROUTE);
    scene.until("mended", |s| s.failures.is_empty());
    assert_eq!(scene.loader.prepared(), 1);
}

#[test]
fn a_manifest_must_fit_its_module() {
    let scene = Scene::new(&[
        ("nap.wat", &module(&["nap", "doze"], "1")),
        (
            "nap.toml",
            "[[route]]\nmethod = \"GET\"\npath = \"/a/{secs}\"\nfunction = \"nap\"\n\
             [[route]]\nmethod = \"GET\"\npath = \"/b\"\nfunction = \"dose\"\n\
             [[route]]\nmethod = \"GET\"\npath = \"/c\"\n\
             [functions.nap]\nparams = [\"a\", \"b\"]\n\
             [functions.snooze]\ndescription = \"x\"\n",
        ),
        ("big.wat", "(module (memory 32) (func (export \"f\")))"),
        ("big.toml", "[limits]\nmemory = \"1MiB\"\n"),
    ]);
    let reason = scene.failure("nap.toml").error.reason;
    for part in [
        "line 1: route GET /a/{secs}: found the parameter {secs}",
        "line 5: route GET /b: ",
        "line 9: route GET /c: ",
        "functions.nap.params: found 2 names, expected at most 1",
        "functions.snooze: the module has no such function, expected one of nap, doze",
    ] {
        assert!(reason.contains(part), "{part} is missing in {reason}");
    }
    let big = scene.failure("big.toml").error;
    assert!(big.reason.contains("starts with 2MiB") && big.reason.contains("1MiB"), "{big}");
}

#[test]
fn deleting_the_module_removes_the_task_and_a_lonely_manifest_is_told() {
    let scene = Scene::new(&[("nap.wat", &module(&["nap"], "1")), ("nap.toml", NAP_ROUTE)]);
    scene.remove("nap.wat");
    scene.until("removed", |s| !serves(s, "nap") && fails(s, "nap.toml"));
    assert!(scene.failure("nap.toml").error.to_string().contains("just build-tasks"));
    assert!(found(&scene.registry.snapshot(), "GET", "/nap/1").is_none());
    scene.put("nap.wat", &module(&["nap"], "2"));
    scene.until("back", |s| found(s, "GET", "/nap/1").is_some() && s.failures.is_empty());
    scene.remove("nap.wat");
    scene.remove("nap.toml");
    scene.until("gone", |s| s.tasks.is_empty() && s.failures.is_empty());
}

#[test]
fn two_files_of_one_stem_and_bad_names_are_told() {
    let scene = Scene::new(&[("nap.wat", &module(&["nap"], "1"))]);
    scene.put("nap.wasm", &module(&["nap"], "2"));
    scene.put("My_Task.wat", &module(&["x"], "1"));
    scene.until("reported", |s| s.failures.len() == 2);
    let twins = scene.failure("nap.wasm, nap.wat");
    assert_eq!(twins.serving, Some(scene.task("nap").version()), "the one that served goes on");
    let bad = scene.failure("My_Task.wat");
    assert_eq!(bad.task, None);
    assert!(bad.error.to_string().contains("my-task"), "{}", bad.error);
    scene.remove("nap.wat");
    scene.remove("My_Task.wat");
    scene.until("resolved", |s| s.failures.is_empty());
    assert!(serves(&scene.registry.snapshot(), "nap"));
}

#[test]
fn a_file_that_is_still_being_written_is_neither_loaded_nor_reported() {
    let scene = Scene::new(&[("nap.wat", &module(&["nap"], "1"))]);
    let whole = module(&["nap", "doze"], "2");
    let (head, tail) = whole.split_at(whole.len() / 2);
    let version = scene.task("nap").version();
    let mut over = fs::File::create(scene.path("nap.wat")).unwrap();
    let mut fresh = fs::File::create(scene.path("fresh.wat")).unwrap();
    // Each of its halves is a whole manifest.
    let mut manifest = fs::File::create(scene.path("fresh.toml")).unwrap();
    over.write_all(head.as_bytes()).unwrap();
    fresh.write_all(head.as_bytes()).unwrap();
    manifest.write_all(b"[limits]\nwall = \"1s\"\n").unwrap();
    scene.never("a half file was looked at", SETTLE * 20, |s| {
        !s.failures.is_empty()
            || serves(s, "fresh")
            || s.task("nap").is_ok_and(|task| task.version() != version)
    });
    assert!(serves(&scene.registry.snapshot(), "nap"));
    over.write_all(tail.as_bytes()).unwrap();
    fresh.write_all(tail.as_bytes()).unwrap();
    manifest.write_all(b"cpu = \"2s\"\n").unwrap();
    drop((over, fresh, manifest));
    scene.until("loaded", |s| {
        serves(s, "fresh") && s.task("nap").is_ok_and(|task| task.prepared.functions.len() == 2)
    });
    assert_eq!(scene.task("fresh").limits.cpu, Duration::from_secs(2));
}

#[test]
fn routes_belong_to_one_task_and_a_freed_one_is_taken_up() {
    let route = "[[route]]\nmethod = \"GET\"\npath = \"/same/{0}\"\n";
    let scene = Scene::new(&[
        ("b.wat", &module(&["f"], "b")),
        ("b.toml", route),
        ("a.wat", &module(&["f"], "a, and larger")),
        ("a.toml", route),
    ]);
    assert!(serves(&scene.registry.snapshot(), "a"), "{}", scene.describe());
    let rival = scene.failure("b.toml");
    assert!(rival.error.reason.contains("already that of a.toml"), "{}", rival.error);
    scene.remove("a.toml");
    scene.until("taken up", |s| found(s, "GET", "/same/1").is_some_and(|f| f.starts_with("b.")));
    scene.until("clean", |s| s.failures.is_empty());
    // Who serves a route keeps it, whatever the names.
    scene.put("a.toml", route);
    scene.until("refused", |s| fails(s, "a.toml"));
    assert!(scene.failure("a.toml").serving.is_some());
    assert!(found(&scene.registry.snapshot(), "GET", "/same/1").is_some_and(|f| f.starts_with("b.")));
}

#[test]
fn a_folder_that_vanishes_keeps_serving_and_is_taken_up_again() {
    let scene = Scene::new(&[("nap.wat", &module(&["nap"], "1"))]);
    let (tasks, aside) = (scene.parent.path().join("tasks"), scene.parent.path().join("moved"));
    let folder = tasks.display().to_string();
    fs::rename(&tasks, &aside).unwrap();
    scene.until("reported", |s| fails(s, &folder));
    assert!(serves(&scene.registry.snapshot(), "nap"));
    assert!(scene.failure(&folder).error.to_string().contains("mkdir -p"));
    // An empty one in its place is a lost mount, or a deployment under way.
    fs::create_dir(&tasks).unwrap();
    scene.until("told", |s| s.failures.iter().any(|f| f.error.reason.contains("replaced by an empty one")));
    scene.never("tasks were dropped", SETTLE * 8, |s| !serves(s, "nap"));
    scene.write("doze.wat", &module(&["doze"], "1"));
    scene.until("taken up", |s| serves(s, "doze") && !serves(s, "nap") && s.failures.is_empty());
    // Events come from the new folder, and the old one is back in one step.
    fs::remove_dir_all(&tasks).unwrap();
    fs::rename(&aside, &tasks).unwrap();
    scene.until("back", |s| serves(s, "nap") && !serves(s, "doze") && s.failures.is_empty());
}

#[test]
fn a_change_without_events_is_found_by_polling() {
    // The folder is a link: nothing tells that it leads elsewhere.
    let parent = tempfile::tempdir().unwrap();
    for (release, text) in [("one", module(&["nap"], "1")), ("two", module(&["nap", "doze"], "2"))] {
        fs::create_dir(parent.path().join(release)).unwrap();
        fs::write(parent.path().join(release).join("nap.wat"), text).unwrap();
    }
    std::os::unix::fs::symlink("one", parent.path().join("tasks")).unwrap();
    let loader = Arc::new(TestLoader::default());
    let registry = Registry::open(settings(&parent.path().join("tasks")), Arc::clone(&loader) as _).unwrap();
    let scene = Scene { registry, loader, parent };
    scene.until("loaded", |s| serves(s, "nap"));
    std::os::unix::fs::symlink("two", scene.parent.path().join("next")).unwrap();
    fs::rename(scene.parent.path().join("next"), scene.parent.path().join("tasks")).unwrap();
    scene.until("replaced", |s| s.task("nap").is_ok_and(|task| task.prepared.functions.len() == 2));
}

#[test]
fn a_missing_folder_is_an_error_with_remedies() {
    let parent = tempfile::tempdir().unwrap();
    let missing = parent.path().join("missing");
    let error = Registry::open(settings(&missing), Arc::new(TestLoader::default())).err().unwrap();
    assert!(error.to_string().contains("mkdir -p") && error.to_string().contains("--tasks"), "{error}");
    fs::write(&missing, "a file").unwrap();
    let error = Registry::open(settings(&missing), Arc::new(TestLoader::default())).err().unwrap();
    assert!(error.reason.contains("is a file"), "{error}");
}

#[test]
fn a_slow_compile_holds_up_only_what_must_be_compiled() {
    let scene = Scene::new(&[("nap.wat", &module(&["nap"], "1")), ("gone.wat", &module(&["x"], "1"))]);
    scene.loader.hold(true);
    scene.put("big.wat", &module(&["big"], "slow"));
    scene.until("begun", |_| scene.loader.prepared() == 3);
    scene.put("nap.toml", "[limits]\nwall = \"3s\"\n");
    scene.remove("gone.wat");
    scene.until("other changes made", |s| {
        !serves(s, "gone") && s.task("nap").is_ok_and(|task| task.limits.wall == Duration::from_secs(3))
    });
    // A newer version makes the one that is being compiled worthless.
    scene.put("big.wat", &module(&["big", "bigger"], "2"));
    std::thread::sleep(SETTLE * 4);
    scene.loader.hold(false);
    scene.until("loaded", |s| s.task("big").is_ok_and(|task| task.prepared.functions.len() == 2));
    // An abandoned compile doesn't hold up the end.
    scene.loader.hold(true);
    scene.put("late.wat", &module(&["late"], "slow, late"));
    let before = scene.loader.prepared();
    scene.until("begun", |_| scene.loader.prepared() > before || before >= 5);
    let (loader, start) = (Arc::clone(&scene.loader), Instant::now());
    drop(scene);
    assert!(start.elapsed() < Duration::from_secs(5));
    loader.hold(false);
}

#[test]
fn a_panic_while_preparing_is_a_failure_of_that_file_alone() {
    let scene = Scene::new(&[("bad.wat", &module(&["x"], "panic")), ("nap.wat", &module(&["nap"], "1"))]);
    assert!(scene.failure("bad.wat").error.reason.contains("fault of the gateway"));
    assert!(serves(&scene.registry.snapshot(), "nap"));
}

#[test]
fn files_over_their_bound_are_not_read() {
    let large = "x".repeat(100_001);
    let scene = Scene::new(&[
        ("large.wat", &large),
        ("nap.wat", &module(&["nap"], "1")),
        ("nap.toml", &format!("# {large}\n")),
    ]);
    assert!(scene.failure("large.wat").error.reason.contains("at most 100000B"), "{}", scene.describe());
    assert!(scene.failure("nap.toml").error.reason.contains("at most 64KiB"), "{}", scene.describe());
    assert_eq!(scene.loader.prepared(), 0);
}

#[test]
fn a_rescan_waits_for_what_lies_there_and_tries_failures_again() {
    let scene = Scene::new(&[("bad.wat", "(module ;; broken")]);
    let before = scene.loader.prepared();
    for index in 0..50 {
        scene.write(&format!("task-{index}.wat"), &module(&["f"], &index.to_string()));
    }
    assert!(scene.registry.rescan_blocking());
    assert_eq!(scene.registry.snapshot().tasks.len(), 50);
    assert_eq!(scene.loader.prepared(), before + 51);
}

#[test]
fn a_single_file_is_judged_as_the_folder_would() {
    let folder = tempfile::tempdir().unwrap();
    let load = |name: &str| {
        load_file(&folder.path().join(name), &settings(folder.path()), &TestLoader::default())
            .map_err(|error| error.to_string())
    };
    fs::write(folder.path().join("nap.wat"), module(&["nap"], "1")).unwrap();
    fs::write(folder.path().join("nap.toml"), NAP_ROUTE).unwrap();
    let task = load("nap.wat").unwrap();
    assert_eq!((task.name.as_str(), task.limits.wall), ("nap", Duration::from_secs(2)));
    fs::write(folder.path().join("nap.toml"), "[limit]").unwrap();
    fs::write(folder.path().join("Nap.wat"), module(&["nap"], "1")).unwrap();
    fs::write(folder.path().join("empty.wasm"), "").unwrap();
    for (name, part) in [
        ("nap.wat", "did you mean `limits`?"),
        ("nap.toml", "expected *.wasm or *.wat"),
        ("Nap.wat", "a name that fits: nap"),
        ("empty.wasm", "is empty"),
        ("none.wasm", "there is no file"),
        ("", "is a folder"),
    ] {
        let error = load(name).err().unwrap();
        assert!(error.contains(part), "{name}: {error}");
    }
}
