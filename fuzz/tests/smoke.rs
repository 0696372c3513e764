//! Every seed of every target, and some seconds of blind changes with a fixed seed.
#![allow(clippy::unwrap_used, reason = "tests fail by panicking")]

use std::time::Duration;
use unblock_fuzz::{driver, targets};

/// For each target; all of them stay below a minute.
const TIME: Duration = Duration::from_secs(5);

#[test]
fn seeds_and_their_mutations_find_nothing() {
    driver::watch();
    for target in targets::ALL {
        let done = driver::run(target, TIME, 1, false).unwrap();
        println!("{}: {done:?}", target.name);
        assert!(done.executions > 20, "{}: {done:?}", target.name);
    }
}
