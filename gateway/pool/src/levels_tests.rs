//! The policy under a fake clock: each rule by itself, and that no run is lost or doubled.

use super::*;
use proptest::prelude::*;
use std::collections::{HashMap, VecDeque};

const MS: u64 = 1_000_000;

fn policy() -> Policy {
    Policy { quantum_ns: MS, slack_ns: 0, levels: 4, guaranteed_share: 8, aged_max: 1 }
}

fn levels() -> Levels<u32> {
    Levels::new(policy())
}

/// Whose runs are those of tests in which shares don't matter.
const ONLY: Stake = Stake { share: 0, weight: 1 };

fn arrive(q: &mut Levels<u32>, name: u32) -> Key {
    arrive_of(q, name, ONLY)
}

fn arrive_of(q: &mut Levels<u32>, name: u32, stake: Stake) -> Key {
    let key = q.insert(name, stake);
    assert!(q.enqueue(key, Why::Arrival, 0));
    key
}

/// Runs whatever is next for `used_ns` and puts it back, as a loop would.
fn slice(q: &mut Levels<u32>, used_ns: u64) -> Taken {
    let taken = q.take().unwrap();
    q.end_slice(taken.key, used_ns, 0, false);
    assert!(q.enqueue(taken.key, Why::Yield, 0));
    taken
}

/// Gives a run slices of a full quantum until it is on `level`.
fn sink(q: &mut Levels<u32>, level: usize) {
    loop {
        let taken = q.take().unwrap();
        q.end_slice(taken.key, taken.quantum_ns, 0, false);
        q.enqueue(taken.key, Why::Yield, 0);
        if q.level(taken.key) == Some(level) {
            return;
        }
    }
}

#[test]
fn a_used_up_quantum_costs_a_level_and_the_next_one_is_twice_as_long() {
    let mut q = levels();
    arrive(&mut q, 1);
    for (level, ms) in [(0, 1), (1, 2), (2, 4), (3, 8), (3, 8)] {
        let taken = slice(&mut q, ms * MS);
        assert_eq!((taken.level, taken.quantum_ns), (level, ms * MS));
    }
    assert_eq!(q.demotions(), 3);
}

#[test]
fn the_best_level_is_served_first_and_in_order_of_arrival() {
    let mut q = levels();
    let long = arrive(&mut q, 1);
    sink(&mut q, 3);
    let (a, b) = (arrive(&mut q, 2), arrive(&mut q, 3));
    let order: Vec<_> = (0..3).map(|_| q.take().unwrap().key).collect();
    assert_eq!(order, [a, b, long]);
    assert_eq!(q.take(), None);
}

#[test]
fn what_runs_over_comes_off_the_next_quantum() {
    let mut q = levels();
    arrive(&mut q, 1);
    slice(&mut q, MS + MS / 4);
    assert_eq!(q.take().unwrap().quantum_ns, 2 * MS - MS / 4);
}

#[test]
fn sleeping_just_before_the_quantum_ends_gains_nothing() {
    let mut q = levels();
    let key = arrive(&mut q, 1);
    sink(&mut q, 3);
    let mut used = 0;
    for i in 0..20 {
        let taken = q.take().unwrap();
        let step = 7 * MS + MS / 2;
        q.end_slice(key, step, i * MS, false);
        assert!(q.enqueue(key, Why::Wake, i * MS + 10), "after 10 ns");
        used += step;
        assert_eq!(q.level(key), Some(3), "after {used} ns, had {taken:?}");
    }
}

#[test]
fn the_used_part_of_a_quantum_survives_short_waits() {
    let mut q = levels();
    let key = arrive(&mut q, 1);
    for _ in 0..2 {
        assert_eq!(q.take().unwrap().level, 0);
        q.end_slice(key, 4 * MS / 10, 0, false);
        q.enqueue(key, Why::Wake, 100);
    }
    assert_eq!(q.take().unwrap().quantum_ns, 2 * MS / 10);
    q.end_slice(key, 2 * MS / 10, 0, false);
    assert_eq!(q.level(key), Some(1), "three short slices make one quantum");
}

#[test]
fn a_wait_as_long_as_the_quantum_returns_a_run_to_the_top() {
    for (wait_ns, level) in [(8 * MS - 1, 3), (8 * MS, 0)] {
        let mut q = levels();
        let key = arrive(&mut q, 1);
        sink(&mut q, 3);
        q.take();
        q.end_slice(key, MS, 50, false);
        q.enqueue(key, Why::Wake, 50 + wait_ns);
        assert_eq!(q.level(key), Some(level), "waited {wait_ns} ns");
    }
}

#[test]
fn a_preempted_run_keeps_its_place_and_the_rest_of_its_quantum() {
    let mut q = levels();
    let (a, b) = (arrive(&mut q, 1), arrive(&mut q, 2));
    assert_eq!(q.take().unwrap().key, a);
    q.end_slice(a, MS / 4, 0, true);
    q.enqueue(a, Why::Yield, 0);
    let again = q.take().unwrap();
    assert_eq!((again.key, again.quantum_ns), (a, MS - MS / 4));
    q.end_slice(a, MS / 4, 0, false);
    q.enqueue(a, Why::Yield, 0);
    assert_eq!(q.take().unwrap().key, b, "a yield of its own goes to the back");
}

#[test]
fn only_a_level_above_the_lowest_running_one_outranks_it() {
    let mut q = levels();
    arrive(&mut q, 1);
    sink(&mut q, 2);
    q.take();
    assert!(!q.outranks_running(), "nothing waits");
    let key = arrive(&mut q, 2);
    assert!(q.outranks_running());
    q.remove(key, 0);
    let mut q = levels();
    arrive(&mut q, 1);
    q.take();
    arrive(&mut q, 2);
    assert!(!q.outranks_running(), "the same level");
}

#[test]
fn a_stopped_run_overtakes_everything() {
    let mut q = levels();
    let keys: Vec<_> = (0..1000).map(|i| arrive(&mut q, i)).collect();
    assert!(q.expedite(keys[700]));
    assert!(!q.expedite(keys[700]), "once is enough");
    assert_eq!(q.bitmap(), 0b11);
    assert_eq!(q.take().unwrap().key, keys[700]);
    assert_eq!(q.take().unwrap().key, keys[0]);
}

#[test]
fn a_key_of_a_run_that_is_gone_means_nothing() {
    let mut q = levels();
    let old = arrive(&mut q, 1);
    assert_eq!(q.remove(old, 0), Some(1));
    let new = arrive(&mut q, 2);
    assert_ne!(old, new);
    assert_eq!(q.place(old), None);
    assert_eq!(q.remove(old, 0), None);
    assert!(!q.expedite(old));
    assert_eq!(q.len(), 1);
    assert_eq!(Key::from_bits(new.to_bits()), new);
}

fn of(share: u32, weight: u32) -> Stake {
    Stake { share, weight }
}

/// Lets whatever is next use its whole quantum, on so many workers, for so long; returns the CPU
/// time each share had. Runs are named by their share.
fn loops_of_shares(q: &mut Levels<u32>, workers: usize, total_ns: u64) -> HashMap<u32, u64> {
    let mut had = HashMap::new();
    let mut running: Vec<Option<(u64, Taken)>> = vec![None; workers];
    let mut now = 0;
    while now < total_ns {
        for worker in &mut running {
            if worker.is_none() {
                *worker = q.take().map(|taken| (now + taken.quantum_ns, taken));
            }
        }
        now = running.iter().flatten().map(|r| r.0).min().unwrap();
        for worker in &mut running {
            if let Some((end, taken)) = *worker
                && end <= now
            {
                *had.entry(*q.payload_mut(taken.key).unwrap()).or_default() += taken.quantum_ns;
                q.end_slice(taken.key, taken.quantum_ns, now, false);
                assert!(q.enqueue(taken.key, Why::Yield, now));
                *worker = None;
            }
        }
    }
    had
}

/// Lets all runs sink to the lowest level. On the way down the number of runs counts.
fn sink_all(q: &mut Levels<u32>) {
    while q.waiting(3) < q.len() {
        let taken = q.take().unwrap();
        q.end_slice(taken.key, taken.quantum_ns, 0, false);
        q.enqueue(taken.key, Why::Yield, 0);
    }
}

#[test]
fn a_share_with_one_loop_gets_half_beside_one_with_a_thousand() {
    for (workers, theirs) in [(1, 1), (2, 2), (8, 8)] {
        let mut q = levels();
        for _ in 0..1000 {
            arrive_of(&mut q, 0, of(0, 1));
        }
        for _ in 0..theirs {
            arrive_of(&mut q, 1, of(1, 1));
        }
        sink_all(&mut q);
        let had = loops_of_shares(&mut q, workers, 20_000 * MS);
        let part = had[&1] as f64 / (had[&0] + had[&1]) as f64;
        assert!((0.45..0.55).contains(&part), "{workers} workers: {part}");
    }
}

#[test]
fn a_share_whose_loops_are_too_few_for_its_part_is_never_kept_waiting() {
    let mut q = levels();
    for _ in 0..1000 {
        arrive_of(&mut q, 0, of(0, 1));
    }
    arrive_of(&mut q, 1, of(1, 1));
    sink_all(&mut q);
    let had = loops_of_shares(&mut q, 4, 10_000 * MS);
    assert!(had[&1] > 9_900 * MS, "its one loop could have had 10 s of one worker: {had:?}");
}

#[test]
fn shares_get_time_by_their_weight_whatever_the_number_of_their_runs() {
    for (weights, counts) in [([3, 1], [10, 10]), ([3, 1], [2, 500]), ([1, 100], [500, 3])] {
        let mut q = levels();
        for share in [0, 1] {
            for _ in 0..counts[share] {
                let share = u32::try_from(share).unwrap();
                arrive_of(&mut q, share, of(share, weights[share as usize]));
            }
        }
        sink_all(&mut q);
        let had = loops_of_shares(&mut q, 1, 50_000 * MS);
        let found = had[&0] as f64 / had[&1] as f64;
        let wanted = f64::from(weights[0]) / f64::from(weights[1]);
        assert!((0.95 * wanted..1.05 * wanted).contains(&found), "{weights:?} {counts:?}: {found}");
    }
}

#[test]
fn a_hundred_shares_get_the_same() {
    let mut q = levels();
    for share in 0..100 {
        for _ in 0..=share {
            arrive_of(&mut q, share, of(share, 1));
        }
    }
    sink_all(&mut q);
    let had = loops_of_shares(&mut q, 2, 80_000 * MS);
    let (least, most) = (had.values().min().unwrap(), had.values().max().unwrap());
    assert_eq!(had.len(), 100);
    assert!(most - least <= 3 * 8 * MS, "{least} to {most}");
}

#[test]
fn short_runs_of_one_share_don_t_wait_for_the_crowd_of_another() {
    for crowd in [10, 100_000] {
        let mut q = levels();
        for _ in 0..crowd {
            arrive_of(&mut q, 0, of(0, 1));
        }
        for _ in 0..100 {
            let taken = q.take().unwrap();
            let key = arrive_of(&mut q, 1, of(1, 1));
            // What runs at the moment ends, and its share sends the next.
            q.remove(taken.key, MS / 10);
            arrive_of(&mut q, 0, of(0, 1));
            let next = q.take().unwrap();
            assert_eq!(next.key, key, "{crowd} others");
            q.remove(key, MS / 10);
        }
    }
}

#[test]
fn a_share_that_was_idle_takes_turns_at_once() {
    let mut q = levels();
    for _ in 0..10 {
        arrive_of(&mut q, 0, of(0, 1));
    }
    loops_of_shares(&mut q, 1, 10_000 * MS);
    for _ in 0..10 {
        arrive_of(&mut q, 1, of(1, 1));
    }
    sink_all(&mut q);
    let had = loops_of_shares(&mut q, 1, 1_000 * MS);
    let part = had[&1] as f64 / (had[&0] + had[&1]) as f64;
    assert!((0.45..0.55).contains(&part), "ten seconds of nothing are no credit: {part}");
}

#[test]
fn a_preempted_run_is_the_next_of_its_share_not_of_all() {
    let mut q = levels();
    let (a, b) = (arrive_of(&mut q, 0, of(0, 1)), arrive_of(&mut q, 0, of(0, 1)));
    let other = arrive_of(&mut q, 1, of(1, 1));
    assert_eq!(q.take().unwrap().key, a);
    q.end_slice(a, MS / 4, 0, true);
    q.enqueue(a, Why::Yield, 0);
    let order: Vec<_> = (0..3).map(|_| q.take().unwrap().key).collect();
    assert_eq!(order, [other, a, b]);
}

#[test]
fn what_a_queue_shows_is_its_oldest_run_whoever_s_turn_it_is() {
    let mut q = levels();
    let a = arrive_of(&mut q, 0, of(0, 1));
    assert_eq!(q.take().unwrap().key, a);
    q.end_slice(a, MS / 2, 0, false);
    let b = q.insert(1, of(0, 1));
    q.enqueue(b, Why::Arrival, 100);
    let c = q.insert(2, of(1, 1));
    q.enqueue(c, Why::Arrival, 200);
    q.enqueue(a, Why::Yield, 300);
    assert_eq!(q.pressing(), Some((1, 100)));
    assert_eq!(q.take().unwrap().key, c, "it had nothing yet");
    assert_eq!(q.pressing(), Some((1, 100)));
    assert_eq!(q.take().unwrap().key, b);
    assert_eq!(q.pressing(), Some((1, 300)));
}

/// Serves an endless stream of short runs beside what is in the queue already; returns the
/// time each level had.
fn under_a_stream(q: &mut Levels<u32>, workers: usize, short_ns: u64, total_ns: u64) -> [u64; 4] {
    let mut had = [0; 4];
    // One slice per worker, ending at the time given.
    let mut running: Vec<Option<(u64, Taken, u64)>> = vec![None; workers];
    let mut now = 0;
    while now < total_ns {
        for worker in &mut running {
            if worker.is_none() {
                // There is always a short run waiting when a worker comes for work.
                if q.waiting(0) == 0 {
                    arrive(q, u32::MAX);
                }
                let taken = q.take().unwrap();
                let name = *q.payload_mut(taken.key).unwrap();
                let used = if name == u32::MAX { short_ns } else { taken.quantum_ns };
                *worker = Some((now + used, taken, used));
            }
        }
        now = running.iter().flatten().map(|r| r.0).min().unwrap();
        for worker in &mut running {
            if let Some((end, taken, used)) = *worker
                && end <= now
            {
                had[taken.level] += used;
                if *q.payload_mut(taken.key).unwrap() == u32::MAX {
                    q.remove(taken.key, used);
                } else {
                    q.end_slice(taken.key, used, now, false);
                    q.enqueue(taken.key, Why::Yield, now);
                }
                *worker = None;
            }
        }
    }
    had
}

#[test]
fn under_a_stream_of_short_runs_the_lowest_level_gets_its_share_and_no_more() {
    for workers in [1_usize, 2, 4] {
        for short_us in [20, 900] {
            let mut q = Levels::new(Policy { aged_max: workers.div_ceil(2), ..policy() });
            for i in 0..10 {
                arrive(&mut q, i);
            }
            while q.waiting(3) < 10 {
                slice(&mut q, 8 * MS);
            }
            let had = under_a_stream(&mut q, workers, short_us * 1000, 800 * MS);
            let share = had[3] as f64 / had.iter().sum::<u64>() as f64;
            assert!((0.124..0.145).contains(&share), "{workers} workers, {short_us} µs: {share}");
        }
    }
}

#[test]
fn every_level_below_the_top_gets_its_share() {
    let mut q = levels();
    // Two runs each on levels 1, 2 and 3, which stay there: they never use their quantum up.
    for (name, level) in [(1, 1), (1, 1), (2, 2), (2, 2), (3, 3), (3, 3)] {
        let key = arrive(&mut q, name);
        for _ in 0..level {
            let taken = q.take().unwrap();
            assert_eq!(taken.key, key);
            q.end_slice(key, taken.quantum_ns, 0, false);
            if q.level(key) != Some(level) {
                q.enqueue(key, Why::Yield, 0);
            }
        }
        // Parked until all are where they belong.
    }
    let keys: Vec<_> = q.keys().collect();
    for key in keys {
        q.enqueue(key, Why::Yield, 0);
    }
    let mut had = [0_u64; 4];
    for _ in 0..8000 {
        if q.waiting(0) == 0 {
            arrive(&mut q, 0);
        }
        let taken = q.take().unwrap();
        had[taken.level] += MS;
        if taken.level == 0 {
            q.remove(taken.key, MS);
        } else {
            let name = *q.payload_mut(taken.key).unwrap();
            q.remove(taken.key, MS);
            // A fresh one in its place on the same level.
            let key = q.insert(name, ONLY);
            if let Some(node) = q.node_mut(key) {
                node.level = taken.level;
            }
            q.enqueue(key, Why::Yield, 0);
        }
    }
    for level in 1..4 {
        assert!(had[level] >= 8000 * MS / 8 - 20 * MS, "{had:?}");
    }
}

#[test]
fn without_competition_ageing_never_steps_in() {
    let mut q = levels();
    for i in 0..10 {
        arrive(&mut q, i);
    }
    for _ in 0..1000 {
        let ns = q.nodes.len() as u64 * MS;
        slice(&mut q, ns);
    }
    let before = q.aged_slices();
    for _ in 0..1000 {
        slice(&mut q, 8 * MS);
    }
    assert_eq!(q.aged_slices(), before);
}

#[derive(Clone, Debug)]
enum Step {
    Arrive,
    Take,
    EndYield(usize, u64, bool),
    EndPark(usize, u64),
    Wake(usize, u64),
    Stop(usize),
    Finish(usize, u64),
}

fn step() -> impl Strategy<Value = Step> {
    let ns = 0..3 * MS;
    prop_oneof![
        3 => Just(Step::Arrive),
        4 => Just(Step::Take),
        2 => (any::<usize>(), ns.clone(), any::<bool>()).prop_map(|(i, n, p)| Step::EndYield(i, n, p)),
        2 => (any::<usize>(), ns.clone()).prop_map(|(i, n)| Step::EndPark(i, n)),
        2 => (any::<usize>(), ns.clone()).prop_map(|(i, n)| Step::Wake(i, n)),
        1 => any::<usize>().prop_map(Step::Stop),
        1 => (any::<usize>(), ns).prop_map(|(i, n)| Step::Finish(i, n)),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 256, failure_persistence: None, ..ProptestConfig::default() })]

    /// Against a model that knows where each run is: none is lost, doubled, or handed out
    /// while it is elsewhere; the counts add up after each step.
    #[test]
    fn no_run_is_lost_or_doubled(steps in prop::collection::vec(step(), 1..400)) {
        let mut q = levels();
        let mut queued: VecDeque<Key> = VecDeque::new();
        let mut running: Vec<Key> = Vec::new();
        let mut parked: Vec<Key> = Vec::new();
        let mut names: HashMap<Key, u32> = HashMap::new();
        let mut now = 0;
        for (name, step) in steps.into_iter().enumerate() {
            let pick = |v: &Vec<Key>, i: usize| (!v.is_empty()).then(|| i % v.len());
            match step {
                Step::Arrive => {
                    let name = u32::try_from(name).unwrap();
                    let key = arrive_of(&mut q, name, of(name % 3, 1 + name % 2));
                    prop_assert!(names.insert(key, name).is_none());
                    queued.push_back(key);
                }
                Step::Take => match q.take() {
                    Some(taken) => {
                        let at = queued.iter().position(|&k| k == taken.key);
                        prop_assert!(at.is_some(), "took a run that wasn't queued");
                        queued.remove(at.unwrap());
                        running.push(taken.key);
                    }
                    None => prop_assert!(queued.is_empty()),
                },
                Step::EndYield(i, used, preempted) => if let Some(i) = pick(&running, i) {
                    let key = running.swap_remove(i);
                    now += used;
                    q.end_slice(key, used, now, preempted);
                    prop_assert!(q.enqueue(key, Why::Yield, now));
                    queued.push_back(key);
                },
                Step::EndPark(i, used) => if let Some(i) = pick(&running, i) {
                    let key = running.swap_remove(i);
                    now += used;
                    q.end_slice(key, used, now, false);
                    parked.push(key);
                },
                Step::Wake(i, after) => if let Some(i) = pick(&parked, i) {
                    let key = parked.swap_remove(i);
                    now += after;
                    prop_assert!(q.enqueue(key, Why::Wake, now));
                    prop_assert!(!q.enqueue(key, Why::Wake, now), "queued twice");
                    queued.push_back(key);
                },
                Step::Stop(i) => if !queued.is_empty() {
                    let key = queued[i % queued.len()];
                    q.expedite(key);
                    prop_assert_eq!(q.place(key), Some(Place::Queued { lane: URGENT }));
                },
                Step::Finish(i, used) => {
                    let all: Vec<Key> = names.keys().copied().collect();
                    if let Some(i) = pick(&all, i) {
                        let key = all[i];
                        prop_assert_eq!(q.remove(key, used), names.remove(&key));
                        queued.retain(|&k| k != key);
                        running.retain(|&k| k != key);
                        parked.retain(|&k| k != key);
                    }
                }
            }
            let waiting: usize = (0..4).map(|l| q.waiting(l)).sum::<usize>() + q.urgent();
            prop_assert_eq!(waiting, queued.len());
            prop_assert_eq!(q.running(), running.len());
            prop_assert_eq!(q.len(), queued.len() + running.len() + parked.len());
            prop_assert_eq!(q.bitmap() == 0, queued.is_empty());
        }
        // Everything queued comes out exactly once.
        let mut left: Vec<Key> = std::iter::from_fn(|| q.take()).map(|t| t.key).collect();
        left.sort();
        let mut expected: Vec<Key> = queued.into();
        expected.sort();
        prop_assert_eq!(left, expected);
    }
}
