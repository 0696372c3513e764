//! Stacks of a guest's functions, merged into a tree, and what can be read off it.
//!
//! Bounded in functions and in places of the tree, whatever is sampled: beyond the bounds a sample counts
//! for the last of its callers that is known. Names are looked at when a function is first seen. Knows
//! neither clocks nor where samples come from.

use crate::runtime::{Frame, Key};
use std::collections::HashMap;
use std::sync::Arc;

/// The name of what has no place of its own any more.
const OTHERS: &str = "(others)";

/// The name of callers that a sample does not have.
const CUT: &str = "(further callers)";

/// What a tree holds at most.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Room {
    /// Functions of different names.
    pub functions: usize,
    /// Places.
    pub places: usize,
}

/// See the file's page.
#[derive(Debug)]
pub struct Stacks {
    room: Room,
    known: HashMap<Key, u32>,
    named: HashMap<Arc<str>, u32>,
    names: Vec<Arc<str>>,
    places: Vec<Place>,
    below: HashMap<(Option<u32>, u32), u32>,
    samples: u64,
    micros: u64,
    name_bytes: usize,
}

/// A function, called as its callers say.
#[derive(Clone, Copy, Debug)]
struct Place {
    /// Has a lower number.
    caller: Option<u32>,
    function: u32,
    /// Microseconds of CPU time in the function itself.
    micros: u64,
}

/// The time of a function.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Share {
    /// Its name.
    pub name: Arc<str>,
    /// Microseconds of CPU time in the function itself.
    pub own: u64,
    /// Microseconds of CPU time in it and in what it called.
    pub total: u64,
}

/// A place of the tree, for whoever draws it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Leaf {
    /// The place.
    pub place: u32,
    /// Microseconds of CPU time that end there.
    pub micros: u64,
}

/// About what a function takes in memory beside its name.
const FUNCTION_BYTES: usize = 150;

/// About what a place takes in memory.
const PLACE_BYTES: usize = 60;

impl Stacks {
    /// An empty tree.
    #[must_use]
    pub fn new(room: Room) -> Self {
        Self {
            room,
            known: HashMap::new(),
            named: HashMap::new(),
            names: Vec::new(),
            places: Vec::new(),
            below: HashMap::new(),
            samples: 0,
            micros: 0,
            name_bytes: 0,
        }
    }

    /// How many samples were added.
    #[must_use]
    pub fn samples(&self) -> u64 {
        self.samples
    }

    /// Microseconds of CPU time that they stand for.
    #[must_use]
    pub fn micros(&self) -> u64 {
        self.micros
    }

    /// About what it takes in memory.
    #[must_use]
    pub fn bytes(&self) -> usize {
        self.names.len() * FUNCTION_BYTES + self.name_bytes + self.places.len() * PLACE_BYTES
    }

    /// From now on it takes no more memory than it does.
    pub fn close(&mut self) {
        self.room = Room { functions: 0, places: 0 };
    }

    /// Adds a sample, the innermost function first; `cut` if callers are missing. Returns its place, unless
    /// there is no room for any.
    pub fn add(&mut self, frames: &[Frame<'_>], cut: bool, micros: u64) -> Option<u32> {
        let mut place = None;
        if cut {
            let function = self.function(CUT);
            place = self.place(None, function);
        }
        for frame in frames.iter().rev() {
            let function = match self.known.get(&frame.key) {
                Some(function) => *function,
                None => {
                    let function = self.function(&frame.readable());
                    // As bounded as the names: versions may bring the same ones under other numbers.
                    if self.known.len() < self.room.functions {
                        self.known.insert(frame.key, function);
                    }
                    function
                }
            };
            match self.place(place, function) {
                Some(next) => place = Some(next),
                None => break,
            }
        }
        self.count(place, micros, 1);
        place
    }

    fn count(&mut self, place: Option<u32>, micros: u64, samples: u64) {
        self.samples += samples;
        self.micros += micros;
        if let Some(place) = place.and_then(|place| self.places.get_mut(place as usize)) {
            place.micros += micros;
        }
    }

    /// The number of a name.
    fn function(&mut self, name: &str) -> u32 {
        if let Some(function) = self.named.get(name) {
            return *function;
        }
        // One place more than there is room for: that of the others.
        let name: Arc<str> = if self.names.len() < self.room.functions { name.into() } else { OTHERS.into() };
        if let Some(function) = self.named.get(&name) {
            return *function;
        }
        let function = u32::try_from(self.names.len()).unwrap_or(u32::MAX);
        self.name_bytes += name.len();
        self.names.push(Arc::clone(&name));
        self.named.insert(name, function);
        function
    }

    fn place(&mut self, caller: Option<u32>, function: u32) -> Option<u32> {
        if let Some(place) = self.below.get(&(caller, function)) {
            return Some(*place);
        }
        if self.places.len() >= self.room.places {
            return None;
        }
        let place = u32::try_from(self.places.len()).ok()?;
        self.places.push(Place { caller, function, micros: 0 });
        self.below.insert((caller, function), place);
        Some(place)
    }

    /// Adds all of another tree.
    pub fn merge(&mut self, other: &Self) {
        let functions: Vec<u32> = other.names.iter().map(|name| self.function(name)).collect();
        // Callers have lower numbers, so theirs are there already.
        let mut places: Vec<Option<u32>> = Vec::with_capacity(other.places.len());
        let mut placed = 0;
        for from in &other.places {
            let caller = from.caller.map(|caller| places.get(caller as usize).copied().flatten());
            let function = functions.get(from.function as usize).copied().unwrap_or_default();
            let place = match caller {
                // The caller itself found no room.
                Some(None) => None,
                Some(caller) => self.place(caller, function).or(caller),
                None => self.place(None, function),
            };
            self.count(place, from.micros, 0);
            placed += from.micros;
            places.push(place);
        }
        self.samples += other.samples;
        self.micros += other.micros.saturating_sub(placed);
    }

    /// The function of a place, and its caller's place.
    #[must_use]
    pub fn of(&self, place: u32) -> Option<(&Arc<str>, Option<u32>)> {
        let place = self.places.get(place as usize)?;
        Some((self.names.get(place.function as usize)?, place.caller))
    }

    /// Microseconds of CPU time in each place and in all below it.
    fn totals(&self) -> Vec<u64> {
        let mut totals: Vec<u64> = self.places.iter().map(|place| place.micros).collect();
        for (index, place) in self.places.iter().enumerate().rev() {
            let total = totals.get(index).copied().unwrap_or_default();
            if let Some(caller) = place.caller.and_then(|caller| totals.get_mut(caller as usize)) {
                *caller += total;
            }
        }
        totals
    }

    /// The functions, those with the most time of their own first.
    #[must_use]
    pub fn functions(&self) -> Vec<Share> {
        let mut shares: Vec<Share> =
            self.names.iter().map(|name| Share { name: Arc::clone(name), own: 0, total: 0 }).collect();
        for (place, total) in self.places.iter().zip(self.totals()) {
            // A function that calls itself has its time once.
            let mut caller = place.caller.and_then(|caller| self.places.get(caller as usize));
            let again = loop {
                match caller {
                    Some(caller) if caller.function == place.function => break true,
                    Some(other) => caller = other.caller.and_then(|caller| self.places.get(caller as usize)),
                    None => break false,
                }
            };
            if let Some(share) = shares.get_mut(place.function as usize) {
                share.own += place.micros;
                share.total += if again { 0 } else { total };
            }
        }
        shares.retain(|share| share.total > 0);
        shares.sort_by(|a, b| (b.own, b.total, &a.name).cmp(&(a.own, a.total, &b.name)));
        shares
    }

    /// The `most` places with the most time, as the leaves of a tree: the time of the others is their
    /// callers'. In the order of a walk through the tree, the largest branch first.
    #[must_use]
    pub fn leaves(&self, most: usize) -> Vec<Leaf> {
        let totals = self.totals();
        let total = |place: &u32| totals.get(*place as usize).copied().unwrap_or_default();
        let mut order: Vec<u32> = (0..u32::try_from(self.places.len()).unwrap_or(u32::MAX)).collect();
        // Stable: a caller has a lower number and no less time, so it is never left out before its callees.
        order.sort_by_key(|place| std::cmp::Reverse(total(place)));
        order.retain(|place| total(place) > 0);
        order.truncate(most);
        let mut callees: HashMap<Option<u32>, Vec<u32>> = HashMap::new();
        for place in order {
            let caller = self.places.get(place as usize).and_then(|place| place.caller);
            callees.entry(caller).or_default().push(place);
        }
        let mut walk: Vec<u32> = callees.remove(&None).unwrap_or_default();
        walk.reverse();
        let mut leaves = Vec::new();
        while let Some(place) = walk.pop() {
            let below = callees.remove(&Some(place)).unwrap_or_default();
            let own = total(&place) - below.iter().map(total).sum::<u64>();
            if own > 0 {
                leaves.push(Leaf { place, micros: own });
            }
            walk.extend(below.into_iter().rev());
        }
        leaves
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ROOM: Room = Room { functions: 100, places: 100 };

    fn stacks(room: Room, samples: &[(&[u32], u64)]) -> Stacks {
        let mut stacks = Stacks::new(room);
        for (functions, micros) in samples {
            let names: Vec<String> = functions.iter().map(|function| format!("f{function}")).collect();
            let frames: Vec<Frame<'_>> =
                functions.iter().zip(&names).map(|(f, name)| Frame::of(*f, Some(name))).collect();
            stacks.add(&frames, false, *micros);
        }
        stacks
    }

    fn shares(stacks: &Stacks) -> Vec<(String, u64, u64)> {
        stacks.functions().into_iter().map(|share| (share.name.to_string(), share.own, share.total)).collect()
    }

    fn lines(stacks: &Stacks, most: usize) -> Vec<(String, u64)> {
        let path = |leaf: &Leaf| {
            let (mut at, mut names) = (Some(leaf.place), Vec::new());
            while let Some((name, caller)) = at.and_then(|at| stacks.of(at)) {
                names.push(name.to_string());
                at = caller;
            }
            names.reverse();
            (names.join(";"), leaf.micros)
        };
        stacks.leaves(most).iter().map(path).collect()
    }

    #[test]
    fn a_function_has_its_own_time_and_that_of_what_it_calls_once() {
        // The innermost first; 1 calls 2, which calls itself and 3.
        let stacks = stacks(ROOM, &[(&[2, 1], 5), (&[2, 2, 1], 7), (&[3, 2, 2, 1], 1), (&[1], 2)]);
        let expected = [("f2", 12, 13), ("f1", 2, 15), ("f3", 1, 1)];
        let expected: Vec<_> = expected.map(|(name, own, total)| (name.to_owned(), own, total)).into();
        assert_eq!(shares(&stacks), expected);
        assert_eq!((stacks.samples(), stacks.micros()), (4, 15));
    }

    #[test]
    fn a_merged_tree_is_the_tree_of_all_samples() {
        let (one, two) =
            (stacks(ROOM, &[(&[2, 1], 5), (&[4], 1)]), stacks(ROOM, &[(&[3, 1], 2), (&[2, 1], 1)]));
        let mut both = Stacks::new(ROOM);
        both.merge(&one);
        both.merge(&two);
        let all = stacks(ROOM, &[(&[2, 1], 6), (&[4], 1), (&[3, 1], 2)]);
        assert_eq!(shares(&both), shares(&all));
        assert_eq!((both.samples(), both.micros()), (4, 9));
        assert_eq!(lines(&both, 99), lines(&all, 99));
    }

    #[test]
    fn leaves_come_by_branches_and_what_is_left_out_is_its_callers() {
        let stacks = stacks(ROOM, &[(&[2, 1], 5), (&[4], 9), (&[3, 1], 1), (&[1], 1), (&[5, 2, 1], 1)]);
        let of = |lines: &[(&str, u64)]| -> Vec<(String, u64)> {
            lines.iter().map(|(path, micros)| ((*path).to_owned(), *micros)).collect()
        };
        let all = of(&[("f4", 9), ("f1", 1), ("f1;f2", 5), ("f1;f2;f5", 1), ("f1;f3", 1)]);
        assert_eq!(lines(&stacks, 99), all);
        assert_eq!(lines(&stacks, 3), of(&[("f4", 9), ("f1", 2), ("f1;f2", 6)]));
        assert_eq!(lines(&Stacks::new(ROOM), 99), []);
    }

    #[test]
    fn what_finds_no_room_counts_for_its_callers_or_the_others() {
        let few = Room { functions: 2, places: 99 };
        let tree = stacks(few, &[(&[2, 1], 1), (&[3, 1], 2), (&[4, 1], 3)]);
        let names: Vec<String> = shares(&tree).into_iter().map(|(name, ..)| name).collect();
        assert_eq!(names, ["(others)", "f2", "f1"]);
        let small = Room { functions: 99, places: 2 };
        let tree = stacks(small, &[(&[2, 1], 1), (&[3, 1], 2), (&[9], 3)]);
        assert_eq!(lines(&tree, 99), [("f1".to_owned(), 2), ("f1;f2".to_owned(), 1)]);
        assert_eq!((tree.samples(), tree.micros()), (3, 6), "all are counted");
        let mut merged = Stacks::new(Room { functions: 99, places: 1 });
        merged.merge(&tree);
        assert_eq!((lines(&merged, 99), merged.micros()), (vec![("f1".to_owned(), 3)], 6));
        let bytes = merged.bytes();
        merged.close();
        merged.add(&[Frame::of(70, Some("new"))], true, 1);
        assert!(merged.bytes() <= bytes + FUNCTION_BYTES + OTHERS.len(), "one name for the others");
    }
}
