//! Permits: bounds, order, fairness between shares, and that none is ever lost.

use crate::support::{no_limit, rig, rig_with, until, wait};
use proptest::prelude::*;
use std::pin::Pin;
use std::task::{Context, Poll, Waker};
use std::time::Duration;
use unblock_pool::{Config, Enter, Permit, Refused, ShareLimits};

fn poll(enter: &mut Enter) -> Poll<Result<Permit, Refused>> {
    use std::future::Future;
    Pin::new(enter).poll(&mut Context::from_waker(Waker::noop()))
}

fn granted(enter: &mut Enter) -> Option<Permit> {
    match poll(enter) {
        Poll::Ready(Ok(permit)) => Some(permit),
        _ => None,
    }
}

#[test]
fn a_share_gives_its_permits_then_makes_wait_then_refuses() {
    let rig = rig(1);
    let share = rig.pool.share(ShareLimits { concurrency: 2, queue: 1, weight: 1 });
    let first = granted(&mut share.enter()).unwrap();
    let _second = granted(&mut share.enter()).unwrap();
    let mut third = share.enter();
    assert!(poll(&mut third).is_pending());
    let Poll::Ready(Err(Refused::QueueFull { retry_after })) = poll(&mut share.enter()) else {
        panic!("the room has one place");
    };
    assert!((1..=60).contains(&retry_after.as_secs()));
    assert!(matches!(share.try_enter(), Err(Refused::QueueFull { .. })));
    drop(first);
    assert!(granted(&mut third).is_some());
    assert_eq!(rig.pool.stats().permits, 1, "the third was dropped at once");
}

#[test]
fn permits_go_to_waiters_in_order() {
    let rig = rig(1);
    let share = rig.pool.share(ShareLimits { concurrency: 1, queue: 10, weight: 1 });
    let mut held = granted(&mut share.enter());
    let mut line: Vec<_> = (0..5).map(|_| share.enter()).collect();
    for enter in &mut line {
        assert!(poll(enter).is_pending());
    }
    for i in 0..5 {
        drop(held.take());
        for later in &mut line[i + 1..] {
            assert!(poll(later).is_pending(), "overtook number {i}");
        }
        held = granted(&mut line[i]);
        assert!(held.is_some(), "number {i}");
    }
}

#[test]
fn a_thousand_waiters_of_one_share_delay_another_by_one_turn() {
    let rig = rig_with(Config { max_runs: 1, ..crate::support::config(1) });
    let limits = ShareLimits { concurrency: 10, queue: 2000, weight: 1 };
    let (crowd, single) = (rig.pool.share(limits), rig.pool.share(limits));
    let first = granted(&mut crowd.enter());
    let mut line: Vec<_> = (0..1000).map(|_| crowd.enter()).collect();
    for enter in &mut line {
        assert!(poll(enter).is_pending());
    }
    let mut other = single.enter();
    assert!(poll(&mut other).is_pending());
    drop(first);
    let next = granted(&mut line[0]);
    assert!(next.is_some(), "the crowd came first");
    drop(next);
    assert!(granted(&mut other).is_some(), "then it is the other's turn");
}

#[test]
fn a_share_at_its_ceiling_does_not_hold_up_the_others() {
    let rig = rig_with(Config { max_runs: 3, ..crate::support::config(1) });
    let narrow = rig.pool.share(ShareLimits { concurrency: 1, queue: 9, weight: 1 });
    let wide = rig.pool.share(ShareLimits { concurrency: 9, queue: 9, weight: 1 });
    let _held = granted(&mut narrow.enter()).unwrap();
    let mut stuck = narrow.enter();
    assert!(poll(&mut stuck).is_pending());
    let second = granted(&mut wide.enter()).unwrap();
    let _third = granted(&mut wide.enter()).unwrap();
    let mut waits = wide.enter();
    assert!(poll(&mut waits).is_pending(), "three are out");
    drop(second);
    assert!(granted(&mut waits).is_some());
    assert!(poll(&mut stuck).is_pending());
}

#[test]
fn a_waiter_that_gives_up_leaves_the_line_and_passes_its_permit_on() {
    let rig = rig(1);
    let share = rig.pool.share(ShareLimits { concurrency: 1, queue: 3, weight: 1 });
    let held = granted(&mut share.enter()).unwrap();
    let mut line: Vec<_> = (0..3).map(|_| share.enter()).collect();
    for enter in &mut line {
        assert!(poll(enter).is_pending());
    }
    let mut last = line.pop().unwrap();
    let middle = line.pop().unwrap();
    drop(middle);
    assert_eq!(share.occupancy(), (2, 1));
    drop(held);
    // The first has been granted a permit it never saw.
    drop(line);
    assert!(granted(&mut last).is_some());
    drop(last);
    assert_eq!(share.occupancy(), (0, 0));
}

#[test]
fn more_room_is_handed_out_at_once() {
    let rig = rig(1);
    let share = rig.pool.share(ShareLimits { concurrency: 1, queue: 5, weight: 1 });
    let _held = granted(&mut share.enter()).unwrap();
    let mut line: Vec<_> = (0..3).map(|_| share.enter()).collect();
    for enter in &mut line {
        assert!(poll(enter).is_pending());
    }
    share.set_limits(ShareLimits { concurrency: 3, queue: 5, weight: 1 });
    let permits: Vec<_> = line.iter_mut().filter_map(granted).collect();
    assert_eq!(permits.len(), 2);
}

#[test]
fn the_retry_hint_follows_the_rate_of_service() {
    let rig = rig(1);
    let share = rig.pool.share(ShareLimits { concurrency: 1, queue: 1000, weight: 1 });
    let mut held = granted(&mut share.enter());
    let mut line: Vec<_> = (0..600).map(|_| share.enter()).collect();
    for enter in &mut line {
        assert!(poll(enter).is_pending());
    }
    for enter in &mut line[..20] {
        std::thread::sleep(Duration::from_millis(10));
        drop(held.take());
        held = granted(enter);
    }
    // 580 wait, about 10 ms each.
    let hint = share.retry_after().as_secs();
    assert!((5..=30).contains(&hint), "{hint} s");
}

#[test]
fn closing_refuses_waiters_and_newcomers_and_idle_waits_for_the_rest() {
    let rig = rig(1);
    let share = rig.pool.share(ShareLimits { concurrency: 1, queue: 5, weight: 1 });
    let held = granted(&mut share.enter()).unwrap();
    let mut waiting = share.enter();
    assert!(poll(&mut waiting).is_pending());
    rig.pool.close();
    assert!(matches!(poll(&mut waiting), Poll::Ready(Err(Refused::Draining))));
    assert!(matches!(poll(&mut share.enter()), Poll::Ready(Err(Refused::Draining))));
    assert!(matches!(share.try_enter(), Err(Refused::Draining)));
    let mut idle = Box::pin(rig.pool.idle());
    let mut cx = Context::from_waker(Waker::noop());
    assert!(idle.as_mut().poll(&mut cx).is_pending());
    // A permit that is out may still be used.
    let (output, _) = wait(rig.pool.submit(held, no_limit(), |_| async { 5 })).unwrap();
    assert_eq!(output, 5);
    wait(idle);
}

#[test]
fn a_permit_is_back_when_the_ticket_is_ready() {
    let rig = rig(2);
    let share = rig.pool.share(ShareLimits { concurrency: 1, queue: 0, weight: 1 });
    for _ in 0..2000 {
        let permit = share.try_enter().expect("the last one is back");
        wait(rig.pool.submit(permit, no_limit(), |_| async {})).unwrap();
    }
}

#[test]
fn threads_that_enter_and_give_up_at_random_lose_no_permit() {
    let rig = rig_with(Config { max_runs: 3, ..crate::support::config(2) });
    let shares: Vec<_> =
        (0..3).map(|_| rig.pool.share(ShareLimits { concurrency: 2, queue: 4, weight: 1 })).collect();
    std::thread::scope(|scope| {
        for thread in 0..6_usize {
            let (shares, pool) = (&shares, &rig.pool);
            scope.spawn(move || {
                for i in 0..2000 {
                    let mut enter = shares[(thread + i) % 3].enter();
                    match poll(&mut enter) {
                        Poll::Ready(Ok(permit)) if i % 2 == 0 => {
                            let _ = wait(pool.submit(permit, no_limit(), |_| async {}));
                        }
                        Poll::Pending if i % 3 == 0 => drop(wait(enter)),
                        _ => {}
                    }
                }
            });
        }
    });
    until("all permits back", || rig.pool.stats().permits == 0);
    assert_eq!(rig.pool.stats().admission_waiting, 0);
    for share in &shares {
        assert_eq!(share.occupancy(), (0, 0));
        drop(share.try_enter().unwrap());
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 128, failure_persistence: None, ..ProptestConfig::default() })]

    /// Any order of entering, polling, giving up and giving back keeps the bounds, and at the
    /// end everything is back.
    #[test]
    fn bounds_hold_and_everything_comes_back(
        steps in prop::collection::vec((0..4_u8, 0..3_usize, any::<usize>()), 1..200),
        concurrency in 1..4_usize, queue in 0..5_usize, runs_max in 1..6_usize,
    ) {
        let rig = rig_with(Config { max_runs: runs_max, spin: Duration::ZERO, ..crate::support::config(1) });
        let shares: Vec<_> = (0..3).map(|_| rig.pool.share(ShareLimits { concurrency, queue, weight: 1 })).collect();
        let mut entering: Vec<Enter> = Vec::new();
        let mut permits: Vec<Permit> = Vec::new();
        for (what, share, i) in steps {
            match what {
                0 => {
                    let mut enter = shares[share].enter();
                    match poll(&mut enter) {
                        Poll::Ready(Ok(permit)) => permits.push(permit),
                        Poll::Ready(Err(_)) => {}
                        Poll::Pending => entering.push(enter),
                    }
                }
                1 if !entering.is_empty() => {
                    let i = i % entering.len();
                    if let Poll::Ready(permit) = poll(&mut entering[i]) {
                        permits.push(permit.unwrap());
                        drop(entering.swap_remove(i));
                    }
                }
                2 if !entering.is_empty() => drop(entering.swap_remove(i % entering.len())),
                3 if !permits.is_empty() => drop(permits.swap_remove(i % permits.len())),
                _ => {}
            }
            prop_assert!(rig.pool.stats().permits <= runs_max);
            for share in &shares {
                let (waiting, out) = share.occupancy();
                prop_assert!(waiting <= queue && out <= concurrency);
            }
        }
        // Whoever still waits is served once the permits are back, without a lost turn.
        drop(permits);
        while !entering.is_empty() {
            let before = entering.len();
            entering.retain_mut(|enter| granted(enter).is_none());
            prop_assert!(entering.len() < before, "waiters with nobody to serve them");
        }
        prop_assert_eq!(rig.pool.stats().permits, 0);
    }
}
