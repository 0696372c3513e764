//! Whose turn it is on one level: of the shares that have runs waiting there, the one that had the
//! least CPU time for its weight.
//!
//! Start-time fair queueing (Goyal, Vin, Cheng 1996): what a share had is a *virtual time* that a
//! slice moves forward by its CPU time over the share's weight. A share that comes back is set to
//! the time of whoever was served last: it goes before those that were, and has saved nothing up.
//! Owns that order and, per share, the list of its waiting runs; must not know what a run is.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::collections::binary_heap::PeekMut;

/// No run.
pub(crate) const NIL: u32 = u32::MAX;

/// Runs in a row, linked through the nodes of their slab.
#[derive(Clone, Copy, Debug)]
pub(crate) struct List {
    pub(crate) head: u32,
    pub(crate) tail: u32,
    pub(crate) len: usize,
}

pub(crate) const EMPTY: List = List { head: NIL, tail: NIL, len: 0 };

/// A share on this level.
#[derive(Clone, Copy, Debug)]
struct Flow {
    /// Its waiting runs, first come first.
    runs: List,
    /// Its place in the order, as it is now.
    place: Place,
    /// There is an entry for it among the others, perhaps with an older place.
    entered: bool,
}

const FRESH: Flow = Flow { runs: EMPTY, place: Place { had_ns: 0, served: 0 }, entered: false };

/// Smaller is sooner. A share's place only ever moves back.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Place {
    /// CPU time over weight, in nanoseconds: 584 years of one core fit.
    had_ns: u64,
    /// Among equals, who was served longest ago: what a slice costs is known at its end only, and
    /// several may run at once.
    served: u64,
}

/// The order of shares on one level. All steps take a time that grows with the logarithm of the
/// shares that wait, whatever the number of runs.
#[derive(Debug)]
pub(crate) struct Turns {
    flows: Vec<Flow>,
    /// Whose turn it is, a share with runs; [`NIL`] if there is none. Apart from the others, so that
    /// a share by itself is in no order at all.
    first: u32,
    /// The shares that come later, by places that may be of before a slice was charged; and some
    /// that have no runs any more. At most one entry per share.
    others: BinaryHeap<Reverse<(Place, u32)>>,
    /// What the share that was served last had at that moment.
    now_ns: u64,
    served: u64,
}

impl Turns {
    pub(crate) fn new() -> Self {
        Self { flows: Vec::new(), first: NIL, others: BinaryHeap::new(), now_ns: 0, served: 0 }
    }

    fn flow(&self, share: u32) -> Option<&Flow> {
        self.flows.get(share as usize)
    }

    fn flow_mut(&mut self, share: u32) -> Option<&mut Flow> {
        self.flows.get_mut(share as usize)
    }

    /// Makes room for a share.
    pub(crate) fn open(&mut self, share: u32) {
        let count = share as usize + 1;
        if self.flows.len() < count {
            self.flows.resize(count, FRESH);
        }
    }

    /// A share's waiting runs. Who adds one says [`Turns::joined`] after that; who takes one out says
    /// [`Turns::left`], or [`Turns::serve`] if it gets a worker.
    pub(crate) fn runs(&mut self, share: u32) -> Option<&mut List> {
        self.flow_mut(share).map(|flow| &mut flow.runs)
    }

    /// A run of this share was added.
    pub(crate) fn joined(&mut self, share: u32) {
        let now_ns = self.now_ns;
        let Some(flow) = self.flow_mut(share).filter(|flow| flow.runs.len == 1) else {
            return;
        };
        flow.place.had_ns = flow.place.had_ns.max(now_ns);
        let (place, entered) = (flow.place, flow.entered);
        if self.first == NIL {
            self.first = share;
        } else if !entered {
            if self.flow(self.first).is_some_and(|first| place < first.place) {
                let old = std::mem::replace(&mut self.first, share);
                self.enter(old);
            } else {
                self.enter(share);
            }
        }
        // An entry that it has already comes up in time: it is not behind the share's place.
    }

    /// A run was taken out.
    pub(crate) fn left(&mut self, share: u32) {
        if share == self.first {
            self.correct();
        }
    }

    /// The share whose turn it is, and the first of its runs.
    pub(crate) fn next(&self) -> Option<(u32, u32)> {
        self.flow(self.first).map(|flow| (self.first, flow.runs.head))
    }

    /// A run of this share, whose turn it was, was taken out and gets a worker.
    pub(crate) fn serve(&mut self, share: u32) {
        self.served += 1;
        let (now_ns, served) = (self.now_ns, self.served);
        if let Some(flow) = self.flow_mut(share) {
            flow.place.served = served;
            self.now_ns = now_ns.max(flow.place.had_ns);
        }
        self.correct();
    }

    /// A slice of this share ended.
    pub(crate) fn charge(&mut self, share: u32, weight: u32, used_ns: u64) {
        if let Some(flow) = self.flow_mut(share) {
            let had_ns = used_ns.div_ceil(u64::from(weight.max(1)));
            flow.place.had_ns = flow.place.had_ns.saturating_add(had_ns);
        }
        self.left(share);
    }

    fn enter(&mut self, share: u32) {
        if let Some(flow) = self.flow_mut(share)
            && !std::mem::replace(&mut flow.entered, true)
        {
            let entry = Reverse((flow.place, share));
            self.others.push(entry);
        }
    }

    /// The first share has moved back or has no runs any more.
    fn correct(&mut self) {
        let own = self.flow(self.first).filter(|flow| flow.runs.len > 0).map(|flow| flow.place);
        if self.others.is_empty() {
            if own.is_none() {
                self.first = NIL;
            }
            return;
        }
        self.replace_first(own);
    }

    /// Looks who comes before `own`, the place of the first share. Each step but the last is paid for
    /// by the change that made an entry wrong.
    fn replace_first(&mut self, own: Option<Place>) {
        while let Some(mut entry) = self.others.peek_mut() {
            let Reverse((place, share)) = *entry;
            if own.is_some_and(|own| own <= place) {
                return;
            }
            let flow = self.flows.get_mut(share as usize);
            match flow {
                None => {
                    PeekMut::pop(entry);
                }
                Some(flow) if flow.runs.len == 0 => {
                    flow.entered = false;
                    PeekMut::pop(entry);
                }
                Some(flow) if flow.place != place => *entry = Reverse((flow.place, share)),
                Some(flow) => {
                    flow.entered = false;
                    let old = std::mem::replace(&mut self.first, share);
                    let Some(own) = own else {
                        PeekMut::pop(entry);
                        return;
                    };
                    *entry = Reverse((own, old));
                    if let Some(old) = self.flows.get_mut(old as usize) {
                        old.entered = true;
                    }
                    return;
                }
            }
        }
        if own.is_none() {
            self.first = NIL;
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "tests fail by panicking")]
mod tests {
    use super::*;

    /// A run more or less; which one does not matter here.
    fn change(turns: &mut Turns, share: u32, by: isize) {
        turns.open(share);
        let runs = turns.runs(share).unwrap();
        runs.len = runs.len.strict_add_signed(by);
        if by > 0 { turns.joined(share) } else { turns.left(share) }
    }

    /// Serves whoever is next.
    fn serve(turns: &mut Turns) -> u32 {
        let (share, _) = turns.next().unwrap();
        turns.runs(share).unwrap().len -= 1;
        turns.serve(share);
        share
    }

    #[test]
    fn among_equals_the_one_served_longest_ago_is_next() {
        let mut turns = Turns::new();
        for share in [3, 1, 2] {
            (0..2).for_each(|_| change(&mut turns, share, 1));
        }
        // No slice has ended, so that all had nothing.
        let order: Vec<u32> = (0..6).map(|_| serve(&mut turns)).collect();
        assert_eq!(order, [3, 1, 2, 3, 1, 2]);
        assert_eq!(turns.next(), None);
    }

    #[test]
    fn who_had_less_for_its_weight_is_next() {
        let mut turns = Turns::new();
        for share in [0, 1] {
            (0..100).for_each(|_| change(&mut turns, share, 1));
        }
        let weights = [1, 3];
        let mut served = [0, 0];
        for _ in 0..80 {
            let share = serve(&mut turns);
            served[share as usize] += 1;
            turns.charge(share, weights[share as usize], 300);
        }
        assert_eq!(served, [20, 60]);
    }

    #[test]
    fn a_share_that_was_away_has_saved_nothing_up_and_is_next_once() {
        let mut turns = Turns::new();
        (0..100).for_each(|_| change(&mut turns, 0, 1));
        for _ in 0..50 {
            assert_eq!(serve(&mut turns), 0);
            turns.charge(0, 1, 10);
        }
        (0..10).for_each(|_| change(&mut turns, 1, 1));
        let order: Vec<u32> = (0..6)
            .map(|_| {
                let share = serve(&mut turns);
                turns.charge(share, 1, 10);
                share
            })
            .collect();
        assert_eq!(order, [1, 0, 1, 0, 1, 0]);
    }

    #[test]
    fn a_share_whose_runs_are_all_gone_has_no_turn() {
        let mut turns = Turns::new();
        for share in 0..3 {
            change(&mut turns, share, 1);
        }
        change(&mut turns, 1, -1);
        assert!(turns.flows[1].entered, "its entry is still there");
        change(&mut turns, 1, 1);
        assert_eq!(turns.others.len(), 2, "and counts again");
        change(&mut turns, 1, -1);
        change(&mut turns, 0, -1);
        assert_eq!([serve(&mut turns)], [2]);
        assert_eq!((turns.next(), turns.others.len()), (None, 0));
    }

    #[test]
    fn the_order_holds_each_share_once() {
        let mut turns = Turns::new();
        for round in 0..1000 {
            let share = round % 7;
            change(&mut turns, share, 1);
            turns.charge(share, 1, u64::from(round));
            change(&mut turns, share, -1);
        }
        assert!(turns.others.len() <= 7);
    }

    /// Against the plain rule, with all shares looked at each time.
    #[test]
    fn the_order_is_that_of_the_plain_rule() {
        let mut dice = 1_u64;
        let mut roll = move |below: u64| {
            dice = dice.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            (dice >> 33) % below
        };
        let mut turns = Turns::new();
        let mut had = [(0_u64, 0_u64); 8];
        let mut waiting = [0_u32; 8];
        let (mut now, mut served) = (0, 0);
        for _ in 0..20_000 {
            let share = u32::try_from(roll(8)).unwrap();
            let s = share as usize;
            match roll(4) {
                0 => {
                    change(&mut turns, share, 1);
                    if waiting[s] == 0 {
                        had[s].0 = had[s].0.max(now);
                    }
                    waiting[s] += 1;
                }
                1 if waiting[s] > 0 => {
                    change(&mut turns, share, -1);
                    waiting[s] -= 1;
                }
                2 => {
                    let used = roll(3) * 10;
                    turns.charge(share, 1 + share, used);
                    had[s].0 += used.div_ceil(u64::from(1 + share));
                }
                _ if waiting.iter().any(|&n| n > 0) => {
                    let best = (0..8).filter(|&s| waiting[s] > 0).map(|s| had[s]).min().unwrap();
                    let next = serve(&mut turns) as usize;
                    assert!(waiting[next] > 0);
                    assert_eq!(had[next], best);
                    waiting[next] -= 1;
                    now = now.max(best.0);
                    served += 1;
                    had[next].1 = served;
                }
                _ => {}
            }
            assert_eq!(turns.next().is_some(), waiting.iter().any(|&n| n > 0));
        }
    }
}
