//! Who gets the workers: sleepers overlap, short runs overtake, equals share, yields are meek.

use crate::support::{Gate, Rig, config, no_limit, rig, rig_with, sleep, until, wait, yield_now};
use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};
use unblock_pool::{Config, ShareLimits, Stop, Ticket};

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

/// Two levels with short quanta, so that hundreds of loops have soon sunk.
fn shallow(workers: usize) -> Rig {
    let short = Duration::from_micros(200);
    rig_with(Config { quantum: short, tick: short, levels: 2, ..config(workers) })
}

/// CPU time of runs that are stopped now.
fn cpu_of(runs: Vec<Ticket<()>>) -> f64 {
    runs.iter().for_each(|run| run.stop(Stop::Cancelled));
    runs.into_iter().map(|run| wait(run).unwrap_err().1.cpu.as_secs_f64()).sum()
}

#[test]
fn one_loop_of_a_share_gets_half_beside_three_hundred_of_another() {
    let rig = shallow(1);
    let crowd: Vec<_> = (0..300).map(|_| rig.spin_forever(no_limit())).collect();
    until("they have sunk", || rig.pool.stats().demotions >= 300);
    let other = rig.other(1);
    let single = rig.spawn_of(&other, no_limit(), |guest| async move {
        guest.spin(Duration::from_secs(1)).await;
    });
    let single = wait(single).unwrap().1.cpu.as_secs_f64();
    // What they had before is theirs as well: a tenth of a second or so.
    let crowd = cpu_of(crowd);
    let part = single / (single + crowd);
    assert!((0.4..0.6).contains(&part), "{single} s and {crowd} s: {part}");
}

#[test]
fn shares_get_cpu_time_by_their_weight_and_a_new_weight_counts_for_new_runs() {
    let rig = shallow(1);
    let other = rig.other(1);
    for weight in [3, 1] {
        other.set_limits(ShareLimits { concurrency: 1000, queue: 0, weight });
        let start = Gate::default();
        let spin = |share, count: usize| -> Vec<_> {
            let run = |_| {
                let passed = start.passed();
                rig.spawn_of(share, no_limit(), |guest| async move {
                    passed.await;
                    guest.spin(Duration::MAX).await;
                })
            };
            (0..count).map(run).collect()
        };
        let (ones, others) = (spin(&rig.share, 20), spin(&other, 5));
        until("all wait", || rig.pool.stats().parked == 25);
        start.open();
        std::thread::sleep(Duration::from_millis(1000));
        let (ones, others) = (cpu_of(ones), cpu_of(others));
        let (found, wanted) = (others / ones, f64::from(weight));
        assert!((0.75 * wanted..1.25 * wanted).contains(&found), "{others} s and {ones} s, wanted {wanted}");
    }
}

#[test]
fn short_runs_of_a_share_don_t_wait_for_those_that_another_floods_with() {
    let rig = rig(1);
    let other = rig.other(1);
    for crowd in [20, 2000] {
        let done = AtomicBool::new(false);
        let (median, in_flight) = std::thread::scope(|scope| {
            scope.spawn(|| {
                let mut flood = VecDeque::new();
                while !done.load(Ordering::Relaxed) {
                    while flood.len() < crowd {
                        flood.push_back(rig.spawn(no_limit(), |guest| async move {
                            let start = guest.run.cpu_used();
                            while guest.run.cpu_used() - start < Duration::from_micros(100) {}
                        }));
                    }
                    flood.pop_front().map(wait).unwrap().unwrap();
                }
                flood.into_iter().for_each(|run| drop(wait(run)));
            });
            until("the flood is there", || rig.pool.stats().queued[0] > crowd / 2);
            let mut in_flight = usize::MAX;
            // Slices and not time, which other load on the machine stretches.
            let mut slices: Vec<_> = (0..100)
                .map(|_| {
                    let before = rig.pool.stats();
                    in_flight = in_flight.min(before.queued[0]);
                    let run = rig.spawn_of(&other, no_limit(), |_| async {});
                    wait(run).unwrap();
                    rig.pool.stats().slices - before.slices
                })
                .collect();
            done.store(true, Ordering::Relaxed);
            slices.sort_unstable();
            (slices[50], in_flight)
        });
        // The slice that runs at that moment, its own, and what runs until this thread is told.
        assert!(median <= 10, "{median} slices beside {crowd}, at least {in_flight} of them waiting");
    }
}
