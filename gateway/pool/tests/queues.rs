//! Several queues in one pool behave as one: idle workers help out, long runs share fairly, short
//! ones overtake, nothing is lost between them.

use crate::support::{PATIENCE, Rig, config, no_limit, rig_with, until, wait};
use std::num::NonZeroUsize;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};
use unblock_pool::{Budget, Config, Ended, Stop};

/// Each worker has a queue of its own.
fn rig(workers: usize) -> Rig {
    rig_with(Config { workers_per_queue: NonZeroUsize::MIN, ..config(workers) })
}

/// As many runs as workers, each of which ends only once all have started: if one waited in the queue
/// of a busy worker while another worker sleeps, none would ever end.
#[test]
fn no_run_waits_while_a_worker_of_another_queue_sleeps() {
    for workers in [3, 4] {
        let rig = rig(workers);
        for _ in 0..1000 {
            let started = Arc::new(AtomicUsize::new(0));
            let runs: Vec<_> = (0..workers)
                .map(|_| {
                    let started = Arc::clone(&started);
                    rig.spawn(no_limit(), move |_| async move {
                        started.fetch_add(1, Ordering::SeqCst);
                        // A failure must not hang for ever.
                        let end = Instant::now() + PATIENCE;
                        while started.load(Ordering::SeqCst) < workers && Instant::now() < end {
                            std::thread::yield_now();
                        }
                        assert_eq!(started.load(Ordering::SeqCst), workers, "not all run at once");
                    })
                })
                .collect();
            for run in runs {
                wait(run).unwrap();
            }
        }
        let stats = rig.pool.stats();
        assert!(stats.visits > 0, "two of them landed in one queue at times: {stats:?}");
        assert_eq!(stats.completed, 1000 * workers as u64);
    }
}

/// Three on two workers: one of them would have a worker for itself if workers stayed at home.
#[test]
fn loops_share_all_workers_whatever_queue_they_are_in() {
    let rig = rig(2);
    let loops: Vec<_> = (0..3).map(|_| rig.spin_forever(no_limit())).collect();
    until("they have sunk", || rig.pool.stats().demotions >= 9);
    std::thread::sleep(Duration::from_millis(1500));
    loops.iter().for_each(|run| run.stop(Stop::Cancelled));
    let cpu: Vec<_> = loops.into_iter().map(|run| wait(run).unwrap_err().1.cpu.as_secs_f64()).collect();
    let least = cpu.iter().copied().fold(f64::MAX, f64::min);
    let most = cpu.iter().copied().fold(0.0, f64::max);
    assert!(least > 0.75 * most, "{cpu:?}, {:?}", rig.pool.stats());
}

/// Its queue gives it half of its time, and gets more than the other, whose loops wait less.
#[test]
fn one_loop_of_a_share_has_its_part_of_its_queue_beside_a_crowd_in_all() {
    let rig = rig(2);
    let other = rig.other(1);
    let crowd: Vec<_> = (0..60).map(|_| rig.spin_forever(no_limit())).collect();
    until("they have sunk", || rig.pool.stats().demotions >= 180);
    let before = rig.pool.stats().slices;
    let single =
        rig.spawn_of(&other, no_limit(), |guest| async move { guest.spin(Duration::from_secs(1)).await });
    let report = wait(single).unwrap().1;
    // Every slice is of 8 ms, its first ones and preempted ones apart.
    let slices = rig.pool.stats().slices - before;
    crowd.iter().for_each(|run| run.stop(Stop::Cancelled));
    let part = f64::from(report.slices) / slices as f64;
    assert!(part > 0.22, "a third is what it should have: {} of {slices} slices", report.slices);
}

#[test]
fn a_short_run_overtakes_loops_in_every_queue() {
    let rig = rig(4);
    let crowd: Vec<_> = (0..100).map(|_| rig.spin_forever(no_limit())).collect();
    until("the loops have left level 0", || rig.pool.stats().queued[0] == 0);
    let before = rig.pool.stats();
    let best = (0..100)
        .map(|_| {
            std::thread::sleep(Duration::from_millis(2));
            let start = Instant::now();
            wait(rig.spawn(no_limit(), |_| async {})).unwrap();
            start.elapsed()
        })
        .min();
    let after = rig.pool.stats();
    assert!(best.unwrap() < Duration::from_millis(4), "best {best:?}");
    assert!(after.preemptions > before.preemptions, "{before:?} {after:?}");
    assert!(after.visits > before.visits, "100 loops in 4 queues: {after:?}");
    drop(crowd);
    wait(rig.pool.idle());
}

#[test]
fn stops_and_deadlines_reach_runs_in_every_queue() {
    let rig = rig(4);
    let budget = Budget { wall: Duration::from_millis(100), ..no_limit() };
    let parked: Vec<_> = (0..100).map(|_| rig.spawn(budget, |_| std::future::pending::<()>())).collect();
    let loops: Vec<_> = (0..100).map(|_| rig.spin_forever(no_limit())).collect();
    for run in parked {
        assert_eq!(wait(run).unwrap_err().0, Ended::Stopped(Stop::Wall));
    }
    rig.pool.stop_all(Stop::Cancelled);
    for run in loops {
        assert_eq!(wait(run).unwrap_err().0, Ended::Stopped(Stop::Cancelled));
    }
    wait(rig.pool.idle());
    let stats = rig.pool.stats();
    assert_eq!((stats.running, stats.parked, stats.urgent), (0, 0, 0), "{stats:?}");
    until("all workers are idle", || rig.pool.stats().idle_workers == 4);
}

#[test]
fn a_pool_of_several_queues_ends_with_runs_in_all_of_them() {
    for _ in 0..50 {
        let rig = rig(4);
        let loops: Vec<_> = (0..8).map(|_| rig.spin_forever(no_limit())).collect();
        drop(rig);
        for run in loops {
            assert_eq!(wait(run).unwrap_err().0, Ended::Stopped(Stop::Shutdown));
        }
    }
}
