//! A value made of files, made anew when they change.
//!
//! Tokens and certificates change while the gateway serves: their files are looked at every second,
//! on a thread of its own, and read again when they are others. What cannot be read leaves the value
//! before it in place and is logged. What the files mean is not known here.

use arc_swap::ArcSwap;
use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::mpsc::{RecvTimeoutError, Sender, channel};
use std::thread::{self, JoinHandle};
use std::time::Duration;

/// How often the files are looked at.
const INTERVAL: Duration = Duration::from_secs(1);

/// See the file's front. Dropped, it stops its thread and waits for it.
pub struct Reloaded<T> {
    current: Arc<ArcSwap<T>>,
    stop: Option<Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

/// What tells that a file is another one, or was written; `None` if it is not there.
type Stamp = Option<(u64, u64, u64, i64, i64)>;

impl<T: Send + Sync + 'static> Reloaded<T> {
    /// Reads the value, and again whenever one of `files` changes. `what` names it in the log.
    ///
    /// # Errors
    /// What `read` says, or that the system refuses a thread.
    pub fn open(
        what: &'static str,
        files: Vec<PathBuf>,
        read: impl Fn() -> Result<T, String> + Send + 'static,
    ) -> Result<Self, String> {
        let mut known = stamps(&files);
        let current = Arc::new(ArcSwap::from_pointee(read()?));
        let (stop, stopped) = channel();
        let target = Arc::clone(&current);
        let life = move || {
            while stopped.recv_timeout(INTERVAL) == Err(RecvTimeoutError::Timeout) {
                // Before they are read: what is written meanwhile is seen the next time.
                let now = stamps(&files);
                if now == known {
                    continue;
                }
                known = now;
                match read() {
                    Ok(value) => {
                        target.store(Arc::new(value));
                        tracing::info!("{what} read again");
                    }
                    Err(error) => tracing::error!("{what} not read again, those before stay: {error}"),
                }
            }
        };
        let thread = thread::Builder::new().name("reload".to_owned()).spawn(life);
        let thread = thread.map_err(|error| format!("starting a thread: {error}"))?;
        Ok(Self { current, stop: Some(stop), thread: Some(thread) })
    }

    /// The value now.
    #[must_use]
    pub fn load(&self) -> arc_swap::Guard<Arc<T>> {
        self.current.load()
    }
}

impl<T> Drop for Reloaded<T> {
    fn drop(&mut self) {
        self.stop = None;
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

fn stamps(files: &[PathBuf]) -> Vec<Stamp> {
    let stamp = |file: &PathBuf| {
        let meta = fs::metadata(file).ok()?;
        Some((meta.dev(), meta.ino(), meta.len(), meta.ctime(), meta.ctime_nsec()))
    };
    files.iter().map(stamp).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Instant;

    #[test]
    fn a_changed_file_is_read_again_and_a_broken_one_leaves_the_value() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("number");
        let read = {
            let path = path.clone();
            move || {
                fs::read_to_string(&path)
                    .map_err(|e| e.to_string())?
                    .parse::<u32>()
                    .map_err(|e| e.to_string())
            }
        };
        assert!(Reloaded::open("numbers", vec![path.clone()], read.clone()).is_err());
        fs::write(&path, "1").expect("written");
        let number = Reloaded::open("numbers", vec![path.clone()], read).expect("a number");
        assert_eq!(**number.load(), 1);
        fs::write(&path, "none").expect("written");
        fs::write(folder.path().join("new"), "22").expect("written");
        fs::rename(folder.path().join("new"), &path).expect("renamed");
        let begun = Instant::now();
        while **number.load() == 1 {
            assert!(begun.elapsed() < Duration::from_secs(20), "it is never read again");
            thread::sleep(Duration::from_millis(2));
        }
        assert_eq!(**number.load(), 22);
    }
}
