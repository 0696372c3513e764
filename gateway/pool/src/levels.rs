//! Which run is next: a multi-level feedback queue with demotion, carried quanta and ageing. Within
//! a level the shares take turns (`turns.rs`), and the runs of a share come in order of arrival.
//!
//! Owns the order of runs and nothing else. Must not know threads, clocks, atomics, futures or
//! wakers: time comes in as nanoseconds, so that every rule below is tested with a fake clock.
//!
//! Runs live in a slab and are linked by index, so that taking one out of the middle of a level
//! (a stopped run goes to the front of everything) costs the same with 10 and 10,000 waiting.
//! Lane 0 is the urgent lane: runs that only have to be dropped. Lane `l + 1` is level `l`. A run that
//! waits is in two lists: its lane's, by waiting time, and (but for urgent ones) that of its share there.

use crate::turns::{EMPTY, List, NIL, Turns};

/// Levels beyond this are cut: the lanes are summarised in 32 bits, and a quantum that doubles
/// 16 times is longer than any call.
pub(crate) const LEVELS_MAX: usize = 16;

/// Credit an aged level may save up, in multiples of what one grant costs: more would let it
/// take the workers for a long stretch after a busy spell.
const CREDIT_GRANTS_MAX: i64 = 2;

const URGENT: usize = 0;

/// The two lists that link a run.
const OF_LANE: usize = 0;
const OF_SHARE: usize = 1;

/// Whose a run is, and how much of a level's time that share gets beside others.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Stake {
    pub(crate) share: u32,
    pub(crate) weight: u32,
}

/// How the queue orders runs.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Policy {
    /// Quantum of level 0; doubles with each level.
    pub(crate) quantum_ns: u64,
    /// A quantum with no more than this left counts as used up: slices are only cut at ticks,
    /// so that rounding to the nearest tick makes them as long as the quantum on average.
    pub(crate) slack_ns: u64,
    /// Number of levels, 1 to [`LEVELS_MAX`].
    pub(crate) levels: usize,
    /// Each level that waits gets one part in this many of the workers' time.
    pub(crate) guaranteed_share: u32,
    /// Slices granted by ageing at once: arrivals don't cut them short, so that some workers
    /// must stay open to arrivals.
    pub(crate) aged_max: usize,
}

/// Names one run in the slab; stale keys are recognised by their generation.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Key {
    index: u32,
    generation: u32,
}

impl Key {
    /// Both halves in one number, to be kept in an atomic.
    pub(crate) fn to_bits(self) -> u64 {
        u64::from(self.generation) << 32 | u64::from(self.index)
    }

    /// The inverse of [`Key::to_bits`].
    pub(crate) fn from_bits(bits: u64) -> Self {
        Self { index: (bits & u64::from(u32::MAX)) as u32, generation: (bits >> 32) as u32 }
    }
}

/// Where a run is. `Parked` → `Queued` by [`Levels::enqueue`]; `Queued` → `Running` by
/// [`Levels::take`]; `Running` → `Parked` by [`Levels::end_slice`]; any → gone by
/// [`Levels::remove`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Place {
    Parked,
    Queued { lane: usize },
    Running,
}

/// Why a run enters the queue.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Why {
    /// It is new.
    Arrival,
    /// What it waited for is there.
    Wake,
    /// It gave its worker back of its own will, or because it was told to.
    Yield,
    /// It is only to be dropped.
    Stopped,
}

/// A slice handed to a worker.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Taken {
    pub(crate) key: Key,
    pub(crate) level: usize,
    /// What is left of the run's quantum.
    pub(crate) quantum_ns: u64,
    /// CPU time after which the slice is to be cut at the next look: the quantum less the slack.
    pub(crate) cut_ns: u64,
    /// Granted by ageing: arrivals don't preempt it.
    pub(crate) aged: bool,
}

#[derive(Debug)]
struct Node<P> {
    generation: u32,
    payload: Option<P>,
    stake: Stake,
    place: Place,
    level: usize,
    /// Part of the level's quantum that is used; survives waits.
    used_ns: u64,
    /// When it was parked.
    since_ns: u64,
    /// When it joined its lane; a preempted run that goes to the front keeps the time as well.
    queued_ns: u64,
    /// Goes to the front of its share's runs when it yields: it was preempted.
    keeps_place: bool,
    aged: bool,
    urgent: bool,
    links: [Link; 2],
}

#[derive(Clone, Copy, Debug)]
struct Link {
    prev: u32,
    next: u32,
}

const LOOSE: Link = Link { prev: NIL, next: NIL };

/// The queue. `P` is what the pool keeps per run.
#[derive(Debug)]
pub(crate) struct Levels<P> {
    policy: Policy,
    nodes: Vec<Node<P>>,
    free: Vec<u32>,
    /// All runs that wait, per lane, by waiting time.
    lanes: Vec<List>,
    /// A bit per lane that is not empty, lane 0 the lowest.
    bitmap: u32,
    /// The same per level, by whose turn it is.
    turns: Vec<Turns>,
    /// Slices running per level, without those granted by ageing.
    running: Vec<usize>,
    /// All slices running, also aged and urgent ones.
    running_total: usize,
    urgent_running: usize,
    aged_running: usize,
    live: usize,
    /// Worker time that went to others while a level waited, less what its own cost.
    credit_ns: Vec<i64>,
    demotions: u64,
    aged_slices: u64,
}

impl<P> Levels<P> {
    pub(crate) fn new(policy: Policy) -> Self {
        let levels = policy.levels.clamp(1, LEVELS_MAX);
        let policy = Policy {
            quantum_ns: policy.quantum_ns.max(1),
            slack_ns: policy.slack_ns.min(policy.quantum_ns / 2),
            levels,
            guaranteed_share: policy.guaranteed_share.max(2),
            aged_max: policy.aged_max.max(1),
        };
        Self {
            policy,
            nodes: Vec::new(),
            free: Vec::new(),
            lanes: vec![EMPTY; levels + 1],
            bitmap: 0,
            turns: (0..levels).map(|_| Turns::new()).collect(),
            running: vec![0; levels],
            running_total: 0,
            urgent_running: 0,
            aged_running: 0,
            live: 0,
            credit_ns: vec![0; levels],
            demotions: 0,
            aged_slices: 0,
        }
    }

    /// The quantum of a level.
    pub(crate) fn quantum_ns(&self, level: usize) -> u64 {
        self.policy.quantum_ns.saturating_mul(1 << level.min(LEVELS_MAX))
    }

    /// The time others must have had for this much of an aged slice.
    fn grant_cost_ns(&self, used_ns: u64) -> i64 {
        let others = u64::from(self.policy.guaranteed_share) - 1;
        i64::try_from(used_ns.saturating_mul(others)).unwrap_or(i64::MAX)
    }

    fn node(&self, key: Key) -> Option<&Node<P>> {
        self.nodes.get(key.index as usize).filter(|n| n.generation == key.generation && n.payload.is_some())
    }

    fn node_mut(&mut self, key: Key) -> Option<&mut Node<P>> {
        self.nodes
            .get_mut(key.index as usize)
            .filter(|n| n.generation == key.generation && n.payload.is_some())
    }

    /// Takes a new run in, at level 0 and not yet queued.
    pub(crate) fn insert(&mut self, payload: P, stake: Stake) -> Key {
        self.live += 1;
        self.turns.iter_mut().for_each(|turns| turns.open(stake.share));
        if let Some(index) = self.free.pop()
            && let Some(node) = self.nodes.get_mut(index as usize)
        {
            let generation = node.generation.wrapping_add(1);
            *node = Node::new(generation, payload, stake);
            return Key { index, generation };
        }
        let index = u32::try_from(self.nodes.len()).unwrap_or(NIL);
        self.nodes.push(Node::new(0, payload, stake));
        Key { index, generation: 0 }
    }

    /// Puts a parked run into its level (or the urgent lane). `false`: it isn't parked.
    pub(crate) fn enqueue(&mut self, key: Key, why: Why, now_ns: u64) -> bool {
        let Some(node) = self.node(key) else {
            return false;
        };
        if node.place != Place::Parked {
            return false;
        }
        let (mut level, keeps_place, since_ns) = (node.level, node.keeps_place, node.since_ns);
        let mut front = false;
        let mut fresh = false;
        match why {
            Why::Arrival => {}
            Why::Yield => front = keeps_place,
            // A run that waited as long as its quantum is interactive again. One that waited
            // less keeps its level and the used part of its quantum.
            Why::Wake => fresh = now_ns.saturating_sub(since_ns) >= self.quantum_ns(level),
            Why::Stopped => {}
        }
        if fresh {
            level = 0;
        }
        let lane = if why == Why::Stopped { URGENT } else { level + 1 };
        if let Some(node) = self.node_mut(key) {
            node.level = level;
            node.keeps_place = false;
            if !front {
                node.queued_ns = now_ns;
            }
            if fresh {
                node.used_ns = 0;
            }
        }
        self.link(key.index, lane, front);
        true
    }

    /// Moves a queued run to the urgent lane. `false`: it isn't queued, or is there already.
    pub(crate) fn expedite(&mut self, key: Key) -> bool {
        match self.place(key) {
            Some(Place::Queued { lane }) if lane != URGENT => {
                self.unlink(key.index, lane);
                self.link(key.index, URGENT, false);
                true
            }
            _ => false,
        }
    }

    /// The lane the next slice would come from by its rank alone, and since when a run waits there
    /// (the first of all shares). Smaller is more pressing, also between queues.
    pub(crate) fn pressing(&self) -> Option<(u32, u64)> {
        let lane = self.best_lane()?;
        let head = self.nodes.get(self.lanes.get(lane)?.head as usize)?;
        Some((u32::try_from(lane).ok()?, head.queued_ns))
    }

    /// Would ageing grant the next slice?
    pub(crate) fn grant_due(&self) -> bool {
        self.best_lane().is_some_and(|best| best != URGENT && self.due_level(best).is_some())
    }

    /// A worker of this queue spent its time on a level of another queue.
    pub(crate) fn worked_elsewhere(&mut self, level: usize, used_ns: u64) {
        self.owe(level, false, used_ns);
    }

    /// Runs on level 0, waiting or running.
    pub(crate) fn fresh(&self) -> usize {
        self.waiting(0) + self.running.first().copied().unwrap_or(0)
    }

    /// The next slice: what is to be dropped, then a level whose guaranteed share is due, then
    /// the best level; there the first run of the share whose turn it is.
    pub(crate) fn take(&mut self) -> Option<Taken> {
        let best = self.best_lane()?;
        let mut lane = best;
        let mut aged = false;
        if best != URGENT
            && let Some(level) = self.due_level(best)
        {
            lane = level + 1;
            aged = true;
        }
        let index = match lane.checked_sub(1) {
            None => {
                let index = self.lanes.get(URGENT)?.head;
                self.cut_from_lane(index, URGENT);
                index
            }
            Some(level) => {
                let turns = self.turns.get_mut(level)?;
                let (share, index) = turns.next()?;
                cut(&mut self.nodes, OF_SHARE, turns.runs(share)?, index);
                turns.serve(share);
                self.cut_from_lane(index, lane);
                index
            }
        };
        let base_ns = self.policy.quantum_ns;
        let urgent = lane == URGENT;
        let node = self.nodes.get_mut(index as usize)?;
        node.place = Place::Running;
        node.aged = aged;
        node.urgent = urgent;
        let level = node.level;
        let key = Key { index, generation: node.generation };
        let used_ns = node.used_ns;
        self.running_total += 1;
        let mut quantum_ns = self.quantum_ns(level).saturating_sub(used_ns).max(1);
        if aged {
            // Short slices, often: the same share, and callers above wait 1 ms, not 8.
            quantum_ns = base_ns;
            self.aged_slices += 1;
            self.aged_running += 1;
            let cost_ns = self.grant_cost_ns(base_ns);
            self.settle(level, -cost_ns, true);
        } else if urgent {
            self.urgent_running += 1;
        } else if let Some(n) = self.running.get_mut(level) {
            *n += 1;
        }
        Some(Taken {
            key,
            level,
            quantum_ns,
            cut_ns: quantum_ns.saturating_sub(self.policy.slack_ns).max(1),
            aged,
        })
    }

    /// The lowest level below `best` whose share is due.
    fn due_level(&self, best: usize) -> Option<usize> {
        if self.aged_running >= self.policy.aged_max || self.bitmap >> best <= 1 {
            return None;
        }
        let threshold = self.grant_cost_ns(self.policy.quantum_ns);
        (best..self.policy.levels)
            .rev()
            .find(|&level| self.waiting(level) > 0 && self.credit(level) >= threshold)
    }

    fn credit(&self, level: usize) -> i64 {
        self.credit_ns.get(level).copied().unwrap_or(0)
    }

    fn credit_max_ns(&self) -> i64 {
        self.grant_cost_ns(self.policy.quantum_ns).saturating_mul(CREDIT_GRANTS_MAX)
    }

    /// Changes a level's credit within bounds. A slice granted by ageing may leave a debt (it
    /// ran over); ordinary service never does.
    fn settle(&mut self, level: usize, change_ns: i64, aged: bool) {
        let max_ns = self.credit_max_ns();
        if let Some(credit) = self.credit_ns.get_mut(level) {
            let min_ns = if aged { -max_ns } else { (*credit).min(0) };
            *credit = credit.saturating_add(change_ns).clamp(min_ns, max_ns);
        }
    }

    /// A slice ended and the run goes on later: `Running` → `Parked`. A used-up quantum costs a
    /// level. `preempted`: it was told to yield to something better and keeps its place.
    pub(crate) fn end_slice(&mut self, key: Key, used_ns: u64, now_ns: u64, preempted: bool) {
        if !self.leave_worker(key, used_ns) {
            return;
        }
        let last = self.policy.levels - 1;
        let Some(node) = self.node(key) else { return };
        let level = node.level;
        let quantum_ns = self.quantum_ns(level);
        let slack_ns = self.policy.slack_ns;
        let mut demoted = false;
        if let Some(node) = self.node_mut(key) {
            node.place = Place::Parked;
            node.since_ns = now_ns;
            node.used_ns = node.used_ns.saturating_add(used_ns);
            node.keeps_place = preempted || node.aged;
            if node.used_ns.saturating_add(slack_ns) >= quantum_ns {
                // What ran over comes off the next quantum, so that equals stay equal.
                node.used_ns = node.used_ns.saturating_sub(quantum_ns).min(quantum_ns / 2);
                node.keeps_place = false;
                demoted = level < last;
                node.level = (level + 1).min(last);
            }
        }
        self.demotions += u64::from(demoted);
    }

    /// Forgets a run, wherever it is. A running one is charged for its last slice.
    pub(crate) fn remove(&mut self, key: Key, used_ns: u64) -> Option<P> {
        match self.place(key)? {
            Place::Running => {
                self.leave_worker(key, used_ns);
            }
            Place::Queued { lane } => self.unlink(key.index, lane),
            Place::Parked => {}
        }
        let payload = self.node_mut(key)?.payload.take();
        self.live -= 1;
        self.free.push(key.index);
        payload
    }

    /// Counts a slice out and settles the credits of the levels that waited meanwhile.
    fn leave_worker(&mut self, key: Key, used_ns: u64) -> bool {
        let Some(node) = self.node(key).filter(|n| n.place == Place::Running) else {
            return false;
        };
        let (level, aged, urgent, stake) = (node.level, node.aged, node.urgent, node.stake);
        self.running_total -= 1;
        if urgent {
            self.urgent_running -= 1;
            return true;
        }
        if let Some(turns) = self.turns.get_mut(level) {
            turns.charge(stake.share, stake.weight, used_ns);
        }
        let base_ns = self.policy.quantum_ns;
        if aged {
            self.aged_running -= 1;
            // The grant paid for the base quantum in advance.
            let paid_ns = self.grant_cost_ns(base_ns);
            let cost_ns = self.grant_cost_ns(used_ns);
            self.settle(level, paid_ns.saturating_sub(cost_ns), true);
        } else {
            if let Some(n) = self.running.get_mut(level) {
                *n -= 1;
            }
            let cost_ns = self.grant_cost_ns(used_ns);
            self.settle(level, -cost_ns, false);
        }
        self.owe(level, aged, used_ns);
        true
    }

    /// Credits the levels that waited while a worker spent its time on `level`.
    fn owe(&mut self, level: usize, aged: bool, used_ns: u64) {
        let lost_ns = i64::try_from(used_ns).unwrap_or(i64::MAX);
        for other in (0..self.policy.levels).filter(|&l| l != level) {
            if self.waiting(other) == 0 {
                // Nobody there to be owed anything.
                if let Some(credit) = self.credit_ns.get_mut(other) {
                    *credit = (*credit).min(0);
                }
            } else if aged || other > level {
                self.settle(other, lost_ns, true);
            }
        }
    }

    /// Where a run is; `None` when it is gone.
    pub(crate) fn place(&self, key: Key) -> Option<Place> {
        self.node(key).map(|n| n.place)
    }

    /// The level a run is on.
    pub(crate) fn level(&self, key: Key) -> Option<usize> {
        self.node(key).map(|n| n.level)
    }

    pub(crate) fn payload_mut(&mut self, key: Key) -> Option<&mut P> {
        self.node_mut(key).and_then(|n| n.payload.as_mut())
    }

    /// All runs, in no order that means anything.
    pub(crate) fn keys(&self) -> impl Iterator<Item = Key> + '_ {
        self.nodes.iter().enumerate().filter_map(|(index, n)| {
            n.payload.as_ref()?;
            Some(Key { index: u32::try_from(index).ok()?, generation: n.generation })
        })
    }

    /// One bit per non-empty lane, the best one lowest.
    pub(crate) fn bitmap(&self) -> u32 {
        self.bitmap
    }

    fn best_lane(&self) -> Option<usize> {
        (self.bitmap != 0).then(|| self.bitmap.trailing_zeros() as usize)
    }

    /// Is something waiting that a running slice should make room for?
    pub(crate) fn outranks_running(&self) -> bool {
        match self.best_lane() {
            None => false,
            Some(URGENT) => self.running_total > self.urgent_running,
            Some(lane) => self.running.iter().rposition(|&n| n > 0).is_some_and(|worst| lane - 1 < worst),
        }
    }

    /// Runs waiting on a level.
    pub(crate) fn waiting(&self, level: usize) -> usize {
        self.lanes.get(level + 1).map_or(0, |l| l.len)
    }

    /// Runs waiting to be dropped.
    pub(crate) fn urgent(&self) -> usize {
        self.lanes.first().map_or(0, |l| l.len)
    }

    pub(crate) fn running(&self) -> usize {
        self.running_total
    }

    /// Runs that have or want a worker.
    pub(crate) fn wanting(&self) -> usize {
        self.running_total + self.lanes.iter().map(|l| l.len).sum::<usize>()
    }

    /// All runs: queued, running, parked.
    pub(crate) fn len(&self) -> usize {
        self.live
    }

    pub(crate) fn levels(&self) -> usize {
        self.policy.levels
    }

    pub(crate) fn demotions(&self) -> u64 {
        self.demotions
    }

    pub(crate) fn aged_slices(&self) -> u64 {
        self.aged_slices
    }

    fn link(&mut self, index: u32, lane: usize, front: bool) {
        let Some(node) = self.nodes.get_mut(index as usize) else {
            return;
        };
        node.place = Place::Queued { lane };
        let (share, queued_ns) = (node.stake.share, node.queued_ns);
        if let Some(list) = self.lanes.get_mut(lane) {
            // What goes first in its share need not have waited longest of all.
            let head = self.nodes.get(list.head as usize);
            let first = front && head.is_none_or(|head| queued_ns <= head.queued_ns);
            add(&mut self.nodes, OF_LANE, list, index, first);
            self.bitmap |= 1 << lane;
        }
        if let Some(turns) = lane.checked_sub(1).and_then(|level| self.turns.get_mut(level))
            && let Some(list) = turns.runs(share)
        {
            add(&mut self.nodes, OF_SHARE, list, index, front);
            turns.joined(share);
        }
    }

    fn unlink(&mut self, index: u32, lane: usize) {
        let Some(node) = self.nodes.get_mut(index as usize) else {
            return;
        };
        node.place = Place::Parked;
        let share = node.stake.share;
        self.cut_from_lane(index, lane);
        if let Some(turns) = lane.checked_sub(1).and_then(|level| self.turns.get_mut(level))
            && let Some(list) = turns.runs(share)
        {
            cut(&mut self.nodes, OF_SHARE, list, index);
            turns.left(share);
        }
    }

    fn cut_from_lane(&mut self, index: u32, lane: usize) {
        if let Some(list) = self.lanes.get_mut(lane) {
            cut(&mut self.nodes, OF_LANE, list, index);
            if list.len == 0 {
                self.bitmap &= !(1 << lane);
            }
        }
    }
}

/// Adds a run at an end of a list.
fn add<P>(nodes: &mut [Node<P>], which: usize, list: &mut List, index: u32, front: bool) {
    let link = if front { Link { prev: NIL, next: list.head } } else { Link { prev: list.tail, next: NIL } };
    list.len += 1;
    match link_mut(nodes, which, link.prev) {
        Some(prev) => prev.next = index,
        None => list.head = index,
    }
    match link_mut(nodes, which, link.next) {
        Some(next) => next.prev = index,
        None => list.tail = index,
    }
    if let Some(own) = link_mut(nodes, which, index) {
        *own = link;
    }
}

/// Takes a run out of the list it is in.
fn cut<P>(nodes: &mut [Node<P>], which: usize, list: &mut List, index: u32) {
    let Some(link) = link_mut(nodes, which, index).map(|own| std::mem::replace(own, LOOSE)) else {
        return;
    };
    list.len -= 1;
    match link_mut(nodes, which, link.prev) {
        Some(prev) => prev.next = link.next,
        None => list.head = link.next,
    }
    match link_mut(nodes, which, link.next) {
        Some(next) => next.prev = link.prev,
        None => list.tail = link.prev,
    }
}

fn link_mut<P>(nodes: &mut [Node<P>], which: usize, index: u32) -> Option<&mut Link> {
    nodes.get_mut(index as usize).and_then(|node| node.links.get_mut(which))
}

impl<P> Node<P> {
    fn new(generation: u32, payload: P, stake: Stake) -> Self {
        Self {
            generation,
            payload: Some(payload),
            stake,
            place: Place::Parked,
            level: 0,
            used_ns: 0,
            since_ns: 0,
            queued_ns: 0,
            keeps_place: false,
            aged: false,
            urgent: false,
            links: [LOOSE; 2],
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "tests fail by panicking")]
#[path = "levels_tests.rs"]
mod tests;
