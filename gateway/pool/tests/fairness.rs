//! Who gets the workers: sleepers overlap, short runs overtake, equals share, yields are meek.

use crate::support::{Gate, no_limit, rig, rig_with, sleep, until, wait, yield_now};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};
use unblock_pool::{Config, Stop};

#[test]
fn five_sleepers_on_one_worker_overlap() {
    let rig = rig(1);
    let start = Instant::now();
    let sleepers: Vec<_> =
        (0..5).map(|_| rig.spawn(no_limit(), |_| sleep(Duration::from_millis(200)))).collect();
    for sleeper in sleepers {
        wait(sleeper).unwrap();
    }
    let took = start.elapsed();
    assert!(took < Duration::from_millis(600), "{took:?}");
}

#[test]
fn a_short_run_overtakes_a_thousand_loops() {
    let rig = rig(1);
    let crowd: Vec<_> = (0..1000).map(|_| rig.spin_forever(no_limit())).collect();
    until("the loops have left level 0", || rig.pool.stats().queued[0] == 0);
    let mut seen: Vec<_> = (0..50)
        .map(|_| {
            // Let a loop get into its slice again.
            std::thread::sleep(Duration::from_millis(2));
            let (start, slices) = (Instant::now(), rig.pool.stats().slices);
            wait(rig.spawn(no_limit(), |_| async {})).unwrap();
            (rig.pool.stats().slices - slices, start.elapsed())
        })
        .collect();
    // Other load on the machine stretches time, so that the order is what is checked: its own
    // slice, the loop that goes on after it, and now and then a guaranteed slice.
    seen.sort();
    assert!(seen[25].0 <= 4, "median {:?}", seen[25]);
    assert!(seen[49].0 <= 20, "worst {:?}", seen[49]);
    let best = seen.iter().map(|s| s.1).min().unwrap();
    assert!(best < Duration::from_millis(4), "best {best:?}");
    let stats = rig.pool.stats();
    assert!(stats.preemptions > 0, "{stats:?} {seen:?}");
    drop(crowd);
}

#[test]
fn equal_loops_share_the_cpu() {
    let rig = rig(1);
    let start = Gate::default();
    let loops: Vec<_> = (0..5)
        .map(|_| {
            let passed = start.passed();
            rig.spawn(no_limit(), |guest| async move {
                passed.await;
                guest.spin(Duration::MAX).await;
            })
        })
        .collect();
    until("all wait", || rig.pool.stats().parked == 5);
    start.open();
    std::thread::sleep(Duration::from_millis(1500));
    for run in &loops {
        run.stop(Stop::Cancelled);
    }
    let cpu: Vec<_> = loops.into_iter().map(|run| wait(run).unwrap_err().1.cpu.as_secs_f64()).collect();
    let mean = cpu.iter().sum::<f64>() / 5.0;
    // One 8 ms quantum is the granularity; whoever was just served may be one ahead.
    let allowed = mean * 0.1 + 0.009;
    for one in &cpu {
        assert!((one - mean).abs() < allowed, "{cpu:?}");
    }
}

#[test]
fn a_run_that_only_yields_preempts_nobody() {
    let rig = rig(2);
    let yielder = rig.spawn(no_limit(), |guest| async move {
        while guest.run.stopped().is_none() {
            yield_now().await;
        }
    });
    // A loop on a lower level beside it.
    let looper = rig.spin_forever(no_limit());
    until("the loop has sunk", || rig.pool.stats().demotions >= 3);
    let before = rig.pool.stats();
    std::thread::sleep(Duration::from_millis(200));
    let after = rig.pool.stats();
    assert!(after.slices > before.slices + 50, "the yielder yields");
    assert_eq!(after.preemptions, before.preemptions);
    // Nothing but the ticker's.
    assert!(after.interrupts - before.interrupts <= 220, "{before:?} {after:?}");
    drop((yielder, looper));
}

#[test]
fn a_stream_of_short_runs_leaves_the_loops_their_share() {
    let rig = Arc::new(rig_with(Config { spin: Duration::ZERO, ..crate::support::config(1) }));
    let looper = rig.spin_forever(no_limit());
    until("the loop has sunk", || rig.pool.stats().demotions >= 3);
    let done = AtomicBool::new(false);
    let served = AtomicU64::new(0);
    let report = std::thread::scope(|scope| {
        // Many callers at once: there is always a short run waiting.
        for _ in 0..2 {
            scope.spawn(|| {
                let mut batch = std::collections::VecDeque::new();
                while !done.load(Ordering::Relaxed) {
                    while batch.len() < 32 {
                        batch.push_back(rig.spawn(no_limit(), |guest| async move {
                            let start = guest.run.cpu_used();
                            while guest.run.cpu_used() - start < Duration::from_micros(300) {}
                        }));
                    }
                    if let Some(first) = batch.pop_front() {
                        wait(first).unwrap();
                        served.fetch_add(1, Ordering::Relaxed);
                    }
                }
                batch.into_iter().for_each(|t| drop(wait(t)));
            });
        }
        std::thread::sleep(Duration::from_millis(1500));
        looper.stop(Stop::Cancelled);
        let report = wait(looper).unwrap_err().1;
        done.store(true, Ordering::Relaxed);
        report
    });
    let others = Duration::from_micros(300) * u32::try_from(served.load(Ordering::Relaxed)).unwrap();
    let share = report.cpu.as_secs_f64() / (report.cpu + others).as_secs_f64();
    assert!(share > 0.11, "{share}, {report:?}, others {others:?}");
    assert!(share < 0.5, "the stream came first: {share}, {:?}", rig.pool.stats());
}

#[test]
fn an_early_verdict_costs_no_run_its_turn() {
    let rig = rig(1);
    let loops = rig.spin_forever(no_limit());
    until("the loop has sunk", || rig.pool.stats().demotions >= 3);
    let run = rig.spawn(no_limit(), |guest| async move { guest.run.verdict() });
    assert_eq!(wait(run).unwrap().0, unblock_pool::Verdict::Continue);
    drop(loops);
}
