//! Stops: cancel, queue deadline, wall and CPU budget, for queued, running and parked runs.

use crate::support::{Drops, Gate, Rig, no_limit, rig, sleep, until, wait, yield_now};
use std::time::{Duration, Instant};
use unblock_pool::{Budget, Ended, Stop, Ticket, Verdict};

/// What a stop may take on a noisy machine; the target is far below 10 ms.
const STOP_MAX: Duration = Duration::from_millis(100);

fn ended<T: std::fmt::Debug>(ticket: Ticket<T>) -> Ended {
    wait(ticket).unwrap_err().0
}

/// A crowd of endless loops that have all sunk below level 0.
fn loops(rig: &Rig, n: usize) -> Vec<Ticket<()>> {
    let loops = (0..n).map(|_| rig.spin_forever(no_limit())).collect();
    until("the loops have left level 0", || rig.pool.stats().queued[0] == 0);
    loops
}

/// The best of a few tries: what the machine's other load does to one try isn't ours.
fn best_of(tries: usize, mut one: impl FnMut() -> Duration) -> Duration {
    (0..tries).map(|_| one()).min().unwrap()
}

#[test]
fn dropping_the_ticket_of_a_running_loop_ends_it() {
    let rig = rig(1);
    let best = best_of(5, || {
        let drops = Drops::default();
        let probe = drops.probe();
        let ticket = rig.spawn(no_limit(), |guest| async move {
            let _probe = probe;
            guest.spin(Duration::MAX).await;
        });
        until("it runs", || rig.pool.stats().running == 1);
        let start = Instant::now();
        drop(ticket);
        until("its future is dropped", || drops.count() == 1);
        start.elapsed()
    });
    assert!(best < STOP_MAX, "{best:?}");
    wait(rig.pool.idle());
    assert_eq!(rig.pool.stats().stopped[Stop::Cancelled.index()], 5);
}

#[test]
fn a_queued_run_behind_a_thousand_loops_is_cancelled_at_once() {
    let rig = rig(1);
    let n = 1000;
    let mut loops = loops(&rig, n);
    let best = best_of(5, || {
        let victim = loops.swap_remove(n / 2);
        let start = Instant::now();
        victim.stop(Stop::Cancelled);
        assert_eq!(ended(victim), Ended::Stopped(Stop::Cancelled));
        start.elapsed()
    });
    assert!(best < STOP_MAX, "{best:?}");
}

#[test]
fn a_parked_run_is_cancelled_at_once_behind_a_thousand_loops() {
    let rig = rig(1);
    let loops = loops(&rig, 1000);
    let best = best_of(5, || {
        let drops = Drops::default();
        let probe = drops.probe();
        let ticket = rig.spawn(no_limit(), |_| async move {
            let _probe = probe;
            std::future::pending::<()>().await;
        });
        until("it is parked", || rig.pool.stats().parked == 1);
        let start = Instant::now();
        drop(ticket);
        until("its future is dropped", || drops.count() == 1);
        start.elapsed()
    });
    assert!(best < STOP_MAX, "{best:?}");
    drop(loops);
}

#[test]
fn a_run_that_gets_no_slice_in_time_is_refused_one() {
    let rig = rig(1);
    let gate = Gate::default();
    let passed = gate.passed();
    // Holds the only worker without asking for its verdict.
    let blocker = rig.spawn(no_limit(), |_| async move {
        let end = Instant::now() + Duration::from_millis(150);
        while Instant::now() < end {}
        passed.await;
    });
    until("the blocker runs", || rig.pool.stats().running == 1);
    let started = Drops::default();
    let probe = started.probe();
    let late = rig.spawn(
        Budget { queue_until: Some(Instant::now() + Duration::from_millis(20)), ..no_limit() },
        |_| async move { drop(probe) },
    );
    let (how, report) = wait(late).unwrap_err();
    assert_eq!(how, Ended::Stopped(Stop::QueueWait));
    assert_eq!((report.slices, report.wall), (0, Duration::ZERO));
    assert!(report.queue >= Duration::from_millis(20));
    gate.open();
    wait(blocker).unwrap();
}

#[test]
fn the_queue_deadline_fires_behind_a_thousand_loops() {
    let rig = rig(1);
    // All of them are on level 0 still, so a newcomer waits a second or more.
    let crowd: Vec<_> = (0..1000).map(|_| rig.spin_forever(no_limit())).collect();
    let start = Instant::now();
    let late = rig
        .spawn(Budget { queue_until: Some(start + Duration::from_millis(50)), ..no_limit() }, |_| async {});
    assert_eq!(ended(late), Ended::Stopped(Stop::QueueWait));
    let took = start.elapsed();
    assert!(took < Duration::from_millis(50) + STOP_MAX, "{took:?}");
    drop(crowd);
}

#[test]
fn the_wall_budget_ends_running_parked_and_queued_runs() {
    let rig = rig(1);
    let budget = Budget { wall: Duration::from_millis(60), ..no_limit() };
    let (how, report) = wait(rig.spin_forever(budget)).unwrap_err();
    assert_eq!(how, Ended::Stopped(Stop::Wall));
    assert!(report.wall >= budget.wall && report.wall < budget.wall + STOP_MAX, "{report:?}");

    let parked = rig.spawn(budget, |_| std::future::pending::<()>());
    let (how, report) = wait(parked).unwrap_err();
    assert_eq!(how, Ended::Stopped(Stop::Wall));
    assert!(report.wall >= budget.wall && report.wall < budget.wall + STOP_MAX, "{report:?}");
    assert!(report.cpu < Duration::from_millis(20), "{report:?}");

    let crowd = loops(&rig, 200);
    let queued = rig.spin_forever(budget);
    let (how, report) = wait(queued).unwrap_err();
    assert_eq!(how, Ended::Stopped(Stop::Wall));
    assert!(report.wall < budget.wall + STOP_MAX, "{report:?}");
    drop(crowd);
}

#[test]
fn the_cpu_budget_ends_a_loop_and_waiting_costs_none_of_it() {
    let rig = rig(1);
    let budget = Budget { cpu: Duration::from_millis(40), ..no_limit() };
    let (how, report) = wait(rig.spin_forever(budget)).unwrap_err();
    assert_eq!(how, Ended::Stopped(Stop::Cpu));
    assert!(report.cpu >= budget.cpu && report.cpu < Duration::from_millis(60), "{report:?}");

    let waits = rig.spawn(budget, |guest| async move {
        for _ in 0..4 {
            sleep(Duration::from_millis(30)).await;
        }
        guest.run.cpu_used()
    });
    let (used, report) = wait(waits).unwrap();
    assert!(report.wall >= Duration::from_millis(120), "{report:?}");
    assert!(used < Duration::from_millis(20) && report.cpu < Duration::from_millis(20), "{report:?}");
}

#[test]
fn the_cpu_budget_is_not_charged_for_neighbours() {
    let rig = rig(1);
    let crowd = loops(&rig, 10);
    let budget = Budget { cpu: Duration::from_millis(60), ..no_limit() };
    let run = rig.spawn(budget, |guest| async move {
        guest.spin(Duration::from_millis(20)).await;
    });
    let ((), report) = wait(run).unwrap();
    assert!(report.cpu < Duration::from_millis(30), "{report:?}");
    assert!(report.wall > report.cpu, "{report:?}");
    drop(crowd);
}

#[test]
fn the_first_reason_counts_and_an_output_that_came_first_stays() {
    let rig = rig(1);
    let gate = Gate::default();
    let passed = gate.passed();
    let run = rig.spawn(no_limit(), |_| passed);
    until("it is parked", || rig.pool.stats().parked == 1);
    run.stop(Stop::Shutdown);
    run.stop(Stop::Wall);
    assert_eq!(ended(run), Ended::Stopped(Stop::Shutdown));
    gate.open();

    let done = rig.spawn(no_limit(), |_| async { 3 });
    until("it has ended", || rig.pool.stats().completed == 1);
    done.stop(Stop::Cancelled);
    assert_eq!(wait(done).unwrap().0, 3);
}

#[test]
fn what_a_future_returns_after_it_was_told_to_stop_is_no_output() {
    let rig = rig(1);
    let run = rig.spawn(no_limit(), |guest| async move {
        loop {
            match guest.run.verdict() {
                Verdict::Stop(stop) => return Err::<(), Stop>(stop),
                Verdict::Yield => yield_now().await,
                Verdict::Continue => {}
            }
        }
    });
    until("it runs", || rig.pool.stats().running == 1);
    run.stop(Stop::Cancelled);
    assert_eq!(ended(run), Ended::Stopped(Stop::Cancelled));
}

#[test]
fn ten_thousand_parked_runs_meet_their_deadlines_together() {
    let rig = rig(2);
    let n = 10_000;
    let budget = Budget { wall: Duration::from_secs(2), ..no_limit() };
    let start = Instant::now();
    let runs: Vec<_> = (0..n).map(|_| rig.spawn(budget, |_| std::future::pending::<()>())).collect();
    for run in runs {
        assert_eq!(ended(run), Ended::Stopped(Stop::Wall));
    }
    let took = start.elapsed();
    assert!(took >= budget.wall && took < budget.wall * 2, "{took:?}");
    // Void entries may be left over; they are due now too.
    until("no deadline is watched", || rig.pool.stats().deadlines == 0);
}
