//! The folder of compiled code: shared by processes, killed over, damaged, full, not ours, bounded.
//!
//! Each test uses the built program, in processes of its own. Whatever happens to the folder, the
//! answers are right and the start succeeds; at worst something is compiled again, and the log says
//! which it was.

use crate::support::process::{Ended, Program, ended, unblock};
use crate::support::{eventually, until};
use std::fs::{self, File, Permissions};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, SystemTime};

/// A folder of small modules, each with its own answer.
fn tasks(numbers: std::ops::Range<u32>) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    numbers.for_each(|number| add(folder.path(), number));
    folder
}

fn add(folder: &Path, number: u32) {
    let text = format!("(module (func (export \"get\") (result i32) i32.const {number}))");
    fs::write(folder.join(format!("t-{number}.wat")), text).unwrap();
}

/// A gateway over both folders, whose log tells of each module what was done.
async fn serve(tasks: &Path, cache: &Path, more: &[&str]) -> Program {
    Program::serve(tasks, &flags(cache, more)).await
}

fn flags<'f>(cache: &'f Path, more: &[&'f str]) -> Vec<&'f str> {
    [&["--cache", cache.to_str().unwrap(), "--log", "gateway=debug"], more].concat()
}

async fn answers(program: &Program, numbers: std::ops::Range<u32>) {
    for number in numbers {
        assert_eq!(program.text(&format!("/tasks/t-{number}/get")).await, number.to_string());
    }
}

fn compiled(program: &Program) -> usize {
    program.log().matches(" compiled in ").count()
}

fn taken(program: &Program) -> usize {
    program.log().matches(" taken from the cache").count()
}

/// The files in the cache folder: whole entries, and those on their way.
fn entries(cache: &Path) -> (Vec<PathBuf>, Vec<PathBuf>) {
    let listed = fs::read_dir(cache.join("code")).into_iter().flatten();
    let mut paths: Vec<PathBuf> = listed.map(|entry| entry.unwrap().path()).collect();
    paths.sort();
    paths.into_iter().partition(|path| path.extension().is_none())
}

/// Bytes in the cache folder; a file that goes meanwhile counts nothing.
fn bytes(cache: &Path) -> u64 {
    let (whole, aside) = entries(cache);
    whole.iter().chain(&aside).filter_map(|path| fs::metadata(path).ok()).map(|meta| meta.len()).sum()
}

/// A local call of a module, whose only function is `get`; warnings are shown.
fn run(cache: &Path, module: &Path) -> Ended {
    ended(
        unblock().env("UNBLOCK_LOG", "warn").arg("run").arg("--cache").arg(cache).arg(module).arg("get"),
        b"",
    )
}

fn is_root() -> bool {
    rustix::process::geteuid().is_root()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn gateways_that_start_at_once_share_one_folder() {
    const COMMON: u32 = 12;
    let (common, cache) = (tasks(0..COMMON), tempfile::tempdir().unwrap());
    // One of them has modules of its own, some under the names and some with the bytes of the others.
    let other = tasks(6..COMMON + 6);
    fs::copy(common.path().join("t-0.wat"), other.path().join("same.wat")).unwrap();
    for round in 0..2 {
        let start = |tasks| serve(tasks, cache.path(), &[]);
        let (a, b, c, d) = tokio::join!(
            start(common.path()),
            start(common.path()),
            start(common.path()),
            start(other.path())
        );
        for program in [&a, &b, &c, &d] {
            let numbers = if std::ptr::eq(program, &d) { 6..COMMON + 6 } else { 0..COMMON };
            answers(program, numbers).await;
            let log = program.log();
            assert!(!log.contains("WARN") && !log.contains("ERROR"), "{log}");
            if round > 0 {
                assert_eq!(compiled(program), 0, "{log}");
            }
        }
        assert_eq!(d.text("/tasks/same/get").await, "0");
        if round > 0 {
            assert_eq!((taken(&a), taken(&d)), (COMMON as usize, COMMON as usize + 1));
        }
        let (whole, aside) = entries(cache.path());
        assert_eq!((whole.len(), aside.len()), (COMMON as usize + 6, 0), "{whole:?} {aside:?}");
    }
}

#[tokio::test]
async fn killed_while_it_compiles_it_goes_on_where_it_was() {
    const MODULES: u32 = 200;
    let (tasks, cache) = (tasks(0..MODULES), tempfile::tempdir().unwrap());
    for least in [0, 1, 40, 120] {
        let mut program = Program::start(tasks.path(), &flags(cache.path(), &[]));
        eventually("entries", || entries(cache.path()).0.len() >= least);
        program.kill();
    }
    let kept = entries(cache.path()).0.len();
    // What a crash leaves behind when it comes in the middle of a write.
    let left = cache.path().join("code/left.new");
    fs::write(&left, "half").unwrap();
    let fresh = cache.path().join("code/fresh.new");
    fs::write(&fresh, "another gateway writes this just now").unwrap();
    // The clock was set back since: a time to come is as old as one gone by.
    File::options()
        .append(true)
        .open(&left)
        .unwrap()
        .set_modified(SystemTime::now() + Duration::from_secs(86_400))
        .unwrap();
    let program = serve(tasks.path(), cache.path(), &[]).await;
    answers(&program, 0..MODULES).await;
    assert!(!program.log().contains("WARN"), "{}", program.log());
    assert_eq!((taken(&program), compiled(&program)), (kept, MODULES as usize - kept));
    assert!(kept >= 120, "{kept}");
    eventually("what was left behind is gone", || !left.exists());
    assert!(fresh.exists());
}

#[test]
fn what_is_no_entry_is_neither_read_nor_waited_for() {
    let (tasks, cache) = (tasks(7..8), tempfile::tempdir().unwrap());
    let module = tasks.path().join("t-7.wat");
    assert_eq!(run(cache.path(), &module).stdout, "7\n");
    let entry = entries(cache.path()).0.remove(0);
    let good = fs::read(&entry).unwrap();
    let elsewhere = cache.path().join("elsewhere");
    fs::write(&elsewhere, &good).unwrap();
    let put = |what: &str| match what {
        "no regular file: a pipe" => {
            let mode = rustix::fs::Mode::from_raw_mode(0o600);
            rustix::fs::mknodat(rustix::fs::CWD, &entry, rustix::fs::FileType::Fifo, mode, 0).unwrap();
        }
        "symbolic links: a link" => std::os::unix::fs::symlink(&elsewhere, &entry).unwrap(),
        "cut short: an empty file" => fs::write(&entry, "").unwrap(),
        "damaged: the checksum alone" => fs::write(&entry, &good[..32]).unwrap(),
        "too large: a hole" => File::create(&entry).unwrap().set_len(2 << 30).unwrap(),
        "others can write to it: a mode" => {
            fs::write(&entry, &good).unwrap();
            fs::set_permissions(&entry, Permissions::from_mode(0o666)).unwrap();
        }
        "others can write to it: an owner" => {
            fs::write(&entry, &good).unwrap();
            std::os::unix::fs::chown(&entry, Some(65_534), None).unwrap();
        }
        "no regular file: a folder" => fs::create_dir(&entry).unwrap(),
        _ => panic!("{what}"),
    };
    let mut hostile = vec![
        "no regular file: a pipe",
        "symbolic links: a link",
        "cut short: an empty file",
        "damaged: the checksum alone",
        "too large: a hole",
        "others can write to it: a mode",
    ];
    if is_root() {
        hostile.push("others can write to it: an owner");
    }
    for what in hostile {
        fs::remove_file(&entry).unwrap();
        put(what);
        let Ended { code, stdout, stderr } = run(cache.path(), &module);
        assert_eq!((code, stdout.as_str()), (Some(0), "7\n"), "{what}: {stderr}");
        assert!(stderr.contains(what.split(": ").next().unwrap()), "{what}: {stderr}");
        assert!(fs::symlink_metadata(&entry).unwrap().is_file(), "{what}: a new entry replaces it");
        assert!(run(cache.path(), &module).stderr.is_empty(), "{what}");
    }
    assert_eq!(fs::read(&elsewhere).unwrap(), good, "the link was not written through");
    // A folder is not replaced, but hinders nobody either.
    fs::remove_file(&entry).unwrap();
    put("no regular file: a folder");
    let Ended { code, stdout, stderr } = run(cache.path(), &module);
    assert_eq!((code, stdout.as_str()), (Some(0), "7\n"), "{stderr}");
    assert!(stderr.contains("cannot be kept"), "{stderr}");
    assert_eq!(entries(cache.path()).1, Vec::<PathBuf>::new());
}

#[test]
fn a_folder_that_others_can_write_to_is_not_used() {
    let (tasks, cache) = (tasks(7..8), tempfile::tempdir().unwrap());
    let module = tasks.path().join("t-7.wat");
    let code = cache.path().join("code");
    let refused = |word: &str| {
        let Ended { code, stdout, stderr } = run(cache.path(), &module);
        assert_eq!((code, stdout.as_str()), (Some(0), "7\n"), "{stderr}");
        for word in [word, "is not kept", code_path(cache.path()).as_str(), "--cache"] {
            assert!(stderr.contains(word), "{word}: {stderr}");
        }
    };
    for mode in [0o777, 0o770, 0o1777] {
        fs::create_dir(&code).unwrap();
        fs::set_permissions(&code, Permissions::from_mode(mode)).unwrap();
        refused("others can write");
        assert_eq!(entries(cache.path()).0, Vec::<PathBuf>::new());
        fs::remove_dir(&code).unwrap();
    }
    if is_root() {
        fs::create_dir(&code).unwrap();
        std::os::unix::fs::chown(&code, Some(65_534), None).unwrap();
        refused("belongs to user 65534");
        fs::remove_dir(&code).unwrap();
    }
    fs::write(&code, "no folder").unwrap();
    refused("cannot be made");
    fs::remove_file(&code).unwrap();
    // One that the gateway makes is its own.
    assert!(run(cache.path(), &module).stderr.is_empty());
    assert_eq!(fs::metadata(&code).unwrap().permissions().mode() & 0o777, 0o700);
    let entry = entries(cache.path()).0.remove(0);
    assert_eq!(fs::metadata(entry).unwrap().permissions().mode() & 0o777, 0o600);
}

fn code_path(cache: &Path) -> String {
    cache.join("code").display().to_string()
}

#[tokio::test]
async fn the_folder_stays_within_its_size_and_the_least_used_goes() {
    const BYTES_MAX: u64 = 256 << 10;
    const MODULES: u32 = 60;
    let (first, cache) = (tasks(0..1), tempfile::tempdir().unwrap());
    assert_eq!(run(cache.path(), &first.path().join("t-0.wat")).stdout, "0\n");
    let used = entries(cache.path()).0.remove(0);
    let size = fs::metadata(&used).unwrap().len();
    assert!(size * u64::from(MODULES) > BYTES_MAX * 2, "{size} bytes an entry: more modules are needed");
    // Written when the clock was wrong: such a time does not keep it for ever.
    let ahead = cache.path().join("code/0123456789abcdef");
    fs::write(&ahead, vec![0; size as usize]).unwrap();
    let file = File::options().append(true).open(&ahead).unwrap();
    file.set_modified(SystemTime::now() + Duration::from_secs(3_600 * 24 * 365)).unwrap();
    let flags = ["--cache-size", "256KiB"];
    let folder = tasks(0..1);
    let program = serve(folder.path(), cache.path(), &flags).await;
    for number in 1..MODULES {
        add(folder.path(), number);
    }
    let mut most = 0;
    until("all of them", async || {
        most = most.max(bytes(cache.path()));
        program.log().matches(" loaded in ").count() == MODULES as usize
    })
    .await;
    assert!((BYTES_MAX / 2..=BYTES_MAX).contains(&most), "{most} of {BYTES_MAX} bytes");
    assert!(!ahead.exists() && !used.exists());
    answers(&program, 0..MODULES).await;
    // What is taken from the cache is used, and stays while others go.
    drop(program);
    let kept = MODULES - 1;
    let recent = tasks(kept..kept + 1);
    let program = serve(recent.path(), cache.path(), &flags).await;
    assert_eq!((taken(&program), compiled(&program)), (1, 0), "the newest one is there");
    for number in 100..100 + (BYTES_MAX / size / 2) as u32 {
        add(recent.path(), number);
    }
    until("the new ones", async || {
        program.log().matches(" loaded in ").count() == 1 + (BYTES_MAX / size / 2) as usize
    })
    .await;
    drop(program);
    let again = tasks(kept..kept + 1);
    let program = serve(again.path(), cache.path(), &flags).await;
    assert_eq!(compiled(&program), 0, "it was used and stayed");
    // A smaller size counts at once, before anything is written.
    drop(program);
    File::create(cache.path().join("code/hole")).unwrap().set_len(1 << 40).unwrap();
    let _program = serve(again.path(), cache.path(), &["--cache-size", "64KiB"]).await;
    eventually("the smaller size", || bytes(cache.path()) <= 64 << 10);
    assert!(!entries(cache.path()).0.is_empty(), "what is too large goes before what is used");
}

#[tokio::test]
async fn a_folder_that_goes_is_made_again() {
    let (tasks, cache) = (tasks(0..1), tempfile::tempdir().unwrap());
    let program = serve(tasks.path(), cache.path(), &[]).await;
    fs::remove_dir_all(cache.path().join("code")).unwrap();
    add(tasks.path(), 1);
    until("the second task", async || program.text("/tasks/t-1/get").await == "1").await;
    assert_eq!(entries(cache.path()).0.len(), 1);
    assert!(!program.log().contains("WARN"), "{}", program.log());
}

#[test]
fn a_full_disk_costs_the_entry_and_nothing_else() {
    let (tasks, cache) = (tasks(7..8), tempfile::tempdir().unwrap());
    // A bound on the size of files fails a write in its middle, as a full disk does.
    let full = |file: &Path| {
        let mut command = Command::new("sh");
        command.args(["-c", "trap '' XFSZ; ulimit -f 8; exec \"$@\"", "sh", env!("CARGO_BIN_EXE_unblock")]);
        command
            .env_clear()
            .env("UNBLOCK_LOG", "warn")
            .args(["run", "--cache"])
            .arg(cache.path())
            .arg(file)
            .arg("get");
        ended(&mut command, b"")
    };
    let module = tasks.path().join("t-7.wat");
    for _ in 0..2 {
        let Ended { code, stdout, stderr } = full(&module);
        assert_eq!((code, stdout.as_str()), (Some(0), "7\n"), "{stderr}");
        assert!(stderr.contains("cannot be kept in the cache"), "{stderr}");
        assert_eq!(entries(cache.path()), (Vec::new(), Vec::new()));
    }
    // With room again it is kept, and an entry that is there is used when there is none.
    assert!(run(cache.path(), &module).stderr.is_empty());
    let Ended { stdout, stderr, .. } = full(&module);
    assert_eq!((stdout.as_str(), stderr.as_str()), ("7\n", ""));
}

#[test]
fn a_folder_that_is_only_readable_is_used_and_not_written() {
    let (tasks, cache) = (tasks(7..9), tempfile::tempdir().unwrap());
    assert_eq!(run(cache.path(), &tasks.path().join("t-7.wat")).stdout, "7\n");
    let entry = entries(cache.path()).0.remove(0);
    let code = cache.path().join("code");
    // Root may write anywhere, so there somebody else reads what root has compiled.
    let mode = |path: &Path, mode| fs::set_permissions(path, Permissions::from_mode(mode)).unwrap();
    let mut command = if is_root() {
        mode(&entry, 0o644);
        for folder in [cache.path(), &code, tasks.path()] {
            mode(folder, 0o755);
        }
        let mut command = Command::new("setpriv");
        command.args(["--reuid=65534", "--regid=65534", "--clear-groups", env!("CARGO_BIN_EXE_unblock")]);
        command
    } else {
        mode(&code, 0o500);
        unblock()
    };
    command.env_clear().env("UNBLOCK_LOG", "warn").args(["run", "--cache"]).arg(cache.path());
    let mut second = Command::new(command.get_program());
    second.env_clear().env("UNBLOCK_LOG", "warn").args(command.get_args());
    let Ended { stdout, stderr, .. } = ended(command.arg(tasks.path().join("t-7.wat")).arg("get"), b"");
    assert_eq!((stdout.as_str(), stderr.as_str()), ("7\n", ""));
    let Ended { code: exit, stdout, stderr } =
        ended(second.arg(tasks.path().join("t-8.wat")).arg("get"), b"");
    assert_eq!((exit, stdout.as_str()), (Some(0), "8\n"), "{stderr}");
    assert!(stderr.contains("cannot be kept"), "{stderr}");
    mode(&code, 0o700);
    assert_eq!(entries(cache.path()), (vec![entry], Vec::new()));
}
