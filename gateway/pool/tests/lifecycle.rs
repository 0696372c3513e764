//! Panics, drops, the ticker's sleep, draining, and the end of a pool.

use crate::support::{Drops, Gate, config, no_limit, rig, rig_with, sleep, until, wait, yield_now};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};
use unblock_pool::{Budget, Config, Ended, Pool, ShareLimits, Stop, Verdict};

#[test]
fn a_run_gives_its_output_and_a_report() {
    let rig = rig(2);
    let (output, report) = wait(rig.spawn(no_limit(), |guest| async move {
        guest.spin(Duration::from_millis(5)).await;
        sleep(Duration::from_millis(20)).await;
        "done"
    }))
    .unwrap();
    assert_eq!(output, "done");
    assert!(report.cpu >= Duration::from_millis(5), "{report:?}");
    assert!(report.wall >= Duration::from_millis(25), "{report:?}");
    assert!(report.slices >= 3, "{report:?}");
}

#[test]
fn a_panic_fails_its_run_and_nobody_else() {
    let rig = rig(1);
    let in_poll = rig.spawn(no_limit(), |_| async {
        yield_now().await;
        panic!("number {}", 7);
    });
    let (how, _) = wait::<_>(in_poll).map(|(never, _): ((), _)| never).unwrap_err();
    assert_eq!(how, Ended::Panicked("number 7".to_owned()));

    let in_start = rig.pool.submit(rig.permit(), no_limit(), |run| {
        assert!(run.stopped().is_some(), "before the first await");
        async {}
    });
    assert!(matches!(wait(in_start).unwrap_err().0, Ended::Panicked(m) if m.contains("before")));

    struct Bomb;
    impl Drop for Bomb {
        fn drop(&mut self) {
            panic!("in drop");
        }
    }
    let bomb = Bomb;
    let in_drop = rig.spawn(no_limit(), |_| async move {
        let _bomb = bomb;
        std::future::pending::<()>().await;
    });
    until("it is parked", || rig.pool.stats().parked == 1);
    in_drop.stop(Stop::Cancelled);
    assert_eq!(wait(in_drop).unwrap_err().0, Ended::Panicked("in drop".to_owned()));

    assert_eq!(wait(rig.spawn(no_limit(), |_| async { 1 })).unwrap().0, 1);
    assert_eq!(rig.pool.stats().panicked, 3);
    wait(rig.pool.idle());
}

#[test]
fn the_future_is_gone_and_the_permit_back_when_the_ticket_is_ready() {
    let rig = rig(2);
    let drops = Drops::default();
    for i in 1..=200 {
        let probe = drops.probe();
        wait(rig.spawn(no_limit(), |_| async move {
            let _probe = probe;
            yield_now().await;
        }))
        .unwrap();
        assert_eq!(drops.count(), i);
        assert_eq!(rig.pool.stats().permits, 0);
    }
}

#[test]
fn the_ticker_sleeps_when_nothing_runs_and_while_all_are_parked() {
    let rig = rig(1);
    let gate = Gate::default();
    let passed = gate.passed();
    let parked = rig.spawn(no_limit(), |_| passed);
    until("it is parked", || rig.pool.stats().parked == 1);
    std::thread::sleep(Duration::from_millis(50));
    let before = rig.pool.stats();
    std::thread::sleep(Duration::from_millis(200));
    assert_eq!(rig.pool.stats().interrupts, before.interrupts);
    gate.open();
    wait(parked).unwrap();
    assert!(rig.pool.stats().ticker_wakes <= before.ticker_wakes + 1);
}

#[test]
fn a_stream_of_short_runs_wakes_the_ticker_only_once() {
    let rig = rig(1);
    std::thread::sleep(Duration::from_millis(50));
    let before = rig.pool.stats().ticker_wakes;
    for _ in 0..300 {
        wait(rig.spawn(no_limit(), |_| async {})).unwrap();
        std::thread::sleep(Duration::from_millis(1));
    }
    let wakes = rig.pool.stats().ticker_wakes - before;
    assert!(wakes < 30, "{wakes} wakes for 300 calls");
}

#[test]
fn waking_from_many_threads_while_running_loses_no_wake() {
    let rig = rig(2);
    let rounds = 3000;
    for _ in 0..rounds {
        let gate = Gate::default();
        let passed = gate.passed();
        let run = rig.spawn(no_limit(), |_| passed);
        std::thread::scope(|scope| {
            scope.spawn(|| gate.open());
            wait(run).unwrap();
        });
    }
}

#[test]
fn draining_waits_for_the_runs_in_flight() {
    let rig = rig(1);
    let run = rig.spawn(no_limit(), |_| sleep(Duration::from_millis(50)));
    rig.pool.close();
    let start = Instant::now();
    wait(rig.pool.idle());
    assert!(start.elapsed() >= Duration::from_millis(30));
    wait(run).unwrap();
}

#[test]
fn stop_all_ends_queued_running_and_parked_runs() {
    let rig = rig(2);
    let drops = Drops::default();
    let mut tickets = Vec::new();
    for i in 0..100 {
        let probe = drops.probe();
        tickets.push(rig.spawn(no_limit(), move |guest| async move {
            let _probe = probe;
            if i % 2 == 0 {
                guest.spin(Duration::MAX).await;
            }
            std::future::pending::<()>().await;
        }));
    }
    until("some are parked", || rig.pool.stats().parked >= 10);
    rig.pool.stop_all(Stop::Shutdown);
    for ticket in tickets {
        assert_eq!(wait(ticket).unwrap_err().0, Ended::Stopped(Stop::Shutdown));
    }
    assert_eq!(drops.count(), 100);
    assert_eq!(wait(rig.spawn(no_limit(), |_| async { 1 })).unwrap().0, 1);
}

#[test]
fn dropping_the_pool_stops_its_runs_and_joins_its_threads() {
    let rig = rig(2);
    let drops = Drops::default();
    let tickets: Vec<_> = (0..20)
        .map(|i| {
            let probe = drops.probe();
            rig.spawn(no_limit(), move |guest| async move {
                let _probe = probe;
                if i % 2 == 0 {
                    guest.spin(Duration::MAX).await;
                }
                std::future::pending::<()>().await;
            })
        })
        .collect();
    drop(rig);
    assert_eq!(drops.count(), 20);
    for ticket in tickets {
        assert_eq!(wait(ticket).unwrap_err().0, Ended::Stopped(Stop::Shutdown));
    }
}

#[test]
fn each_worker_lives_inside_its_wrapper() {
    let lives = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&lives);
    let pool = Pool::new(
        crate::support::config(3),
        Arc::new(|| {}),
        Arc::new(move |life: &mut dyn FnMut()| {
            counted.fetch_add(1, Ordering::SeqCst);
            life();
            counted.fetch_add(10, Ordering::SeqCst);
        }),
    )
    .unwrap();
    let share = pool.share(ShareLimits { concurrency: 1, queue: 0, weight: 1 });
    wait(pool.submit(share.try_enter().unwrap(), no_limit(), |_| async {})).unwrap();
    drop(pool);
    assert_eq!(lives.load(Ordering::SeqCst), 33);
}

#[test]
fn a_run_may_own_the_last_handle_of_its_pool() {
    let rig = rig(2);
    let permit = rig.permit();
    let pool = Arc::new(rig.pool);
    let held = Arc::clone(&pool);
    let gate = Gate::default();
    let passed = gate.passed();
    let ticket = pool.submit(permit, no_limit(), |_| async move {
        passed.await;
        drop(held);
    });
    drop(pool);
    gate.open();
    let _ = wait(ticket);
}

#[test]
fn odd_settings_are_made_usable() {
    let rig = rig_with(Config {
        levels: 0,
        guaranteed_share: 0,
        quantum: Duration::ZERO,
        tick: Duration::ZERO,
        max_runs: 0,
        ..crate::support::config(1)
    });
    let permit = rig.permit();
    let ticket = rig.pool.submit(permit, no_limit(), |_| async { 1 });
    assert_eq!(wait(ticket).unwrap().0, 1);
}

#[test]
fn workers_run_at_the_niceness_asked_for() {
    let rig = rig_with(Config { nice: 7, ..crate::support::config(1) });
    let nice = rig.spawn(no_limit(), |_| async {
        rustix::process::getpriority_process(Some(rustix::thread::gettid())).unwrap()
    });
    assert_eq!(wait(nice).unwrap().0, 7);
    let own = rustix::process::getpriority_process(Some(rustix::thread::gettid())).unwrap();
    assert!(own < 7, "only the workers: {own}");
}

#[test]
fn an_interrupt_that_panics_takes_no_thread_with_it() {
    let pool = Pool::new(
        crate::support::config(1),
        Arc::new(|| panic!("an interrupt")),
        Arc::new(|life: &mut dyn FnMut()| life()),
    )
    .unwrap();
    let share = pool.share(ShareLimits { concurrency: 1, queue: 0, weight: 1 });
    let busy = pool.submit(share.try_enter().unwrap(), no_limit(), |_| async {
        let end = Instant::now() + Duration::from_millis(10);
        while Instant::now() < end {}
    });
    wait(busy).unwrap();
    let budget = Budget { wall: Duration::from_millis(20), ..no_limit() };
    let parked = pool.submit(share.try_enter().unwrap(), budget, |_| std::future::pending::<()>());
    assert_eq!(wait(parked).unwrap_err().0, Ended::Stopped(Stop::Wall));
}

/// Every kind of run against every kind of end, from several threads at once.
#[test]
fn a_storm_of_runs_leaves_nothing_behind() {
    const ROUNDS: usize = 600;
    let rig = rig(3);
    let drops = Drops::default();
    std::thread::scope(|scope| {
        for thread in 0..4_usize {
            let (rig, drops) = (&rig, &drops);
            scope.spawn(move || {
                let mut kept = Vec::new();
                for i in 0..ROUNDS {
                    let gate = Gate::default();
                    let (passed, probe) = (gate.passed(), drops.probe());
                    let kind = (i * 7 + thread) % 5;
                    let budget = Budget {
                        queue_until: (i % 3 == 0).then(|| Instant::now() + Duration::from_millis(5)),
                        wall: Duration::from_millis(if kind == 4 { 3 } else { 20_000 }),
                        cpu: Duration::from_millis(if kind == 3 { 1 } else { 20_000 }),
                    };
                    let ticket = rig.spawn(budget, move |guest| async move {
                        let _probe = probe;
                        match kind {
                            0 => {}
                            1 => {
                                for _ in 0..5 {
                                    yield_now().await;
                                }
                            }
                            2 => passed.await,
                            3 => guest.spin(Duration::MAX).await,
                            _ => std::future::pending().await,
                        }
                    });
                    match (i * 13 + thread) % 4 {
                        0 => drop(ticket),
                        1 => {
                            gate.open();
                            ticket.stop(Stop::Cancelled);
                            kept.push(ticket);
                        }
                        2 => {
                            gate.open();
                            drop(wait(ticket));
                        }
                        _ => {
                            kept.push(ticket);
                            gate.open();
                        }
                    }
                }
                for ticket in kept {
                    drop(wait(ticket));
                }
            });
        }
    });
    wait(rig.pool.idle());
    let stats = rig.pool.stats();
    assert_eq!(drops.count(), 4 * ROUNDS as u64);
    assert_eq!(stats.completed + stats.panicked + stats.stopped.iter().sum::<u64>(), stats.submitted);
    assert_eq!((stats.parked, stats.urgent), (0, 0), "{stats:?}");
    assert_eq!(stats.queued.iter().sum::<usize>(), 0, "{stats:?}");
}

#[test]
fn ticks_add_up_to_the_time_on_a_worker() {
    let rig = rig(1);
    let ((ticks, wall), _) = wait(rig.spawn(no_limit(), |guest| async move {
        let (start, mut ticks) = (Instant::now(), 0);
        while start.elapsed() < Duration::from_millis(100) {
            ticks += guest.run.ticks();
        }
        (ticks, start.elapsed())
    }))
    .unwrap();
    let expected = u32::try_from(wall.as_millis()).unwrap();
    // The last one may be late on a busy machine.
    assert!(ticks >= expected / 2 && ticks <= expected + 3, "{ticks} ticks in {wall:?}");
}

#[test]
fn an_arrival_is_no_tick() {
    let rig = rig_with(Config { tick: Duration::from_secs(3600), ..config(1) });
    let gate = Gate::default();
    let (started, opened) = (gate.clone(), gate.passed());
    let looping = rig.spawn(no_limit(), |guest| async move {
        started.open();
        let mut ticks = 0;
        loop {
            ticks += guest.run.ticks();
            match guest.run.verdict() {
                Verdict::Continue => {}
                Verdict::Yield => yield_now().await,
                Verdict::Stop(_) => break,
            }
        }
        assert_eq!(ticks, 0);
    });
    wait(opened);
    for _ in 0..20 {
        wait(rig.spawn(no_limit(), |_| async {})).unwrap();
    }
    assert!(rig.pool.stats().interrupts > 0);
    looping.stop(Stop::Cancelled);
    assert_eq!(wait(looping).map(|_| ()).unwrap_err().0, Ended::Stopped(Stop::Cancelled));
}
