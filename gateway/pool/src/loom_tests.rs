//! Every interleaving of the idle protocol and of the stop transitions, on the code that the
//! pool runs: [`Signal`], [`Once8`] and [`Levels`] under a mutex.

use super::*;
use crate::levels::{Key, Levels, Place, Policy, Stake, Why};
use loom::sync::{Arc, Mutex};

fn levels() -> Levels<u32> {
    Levels::new(Policy { quantum_ns: 1_000_000, slack_ns: 0, levels: 2, guaranteed_share: 8, aged_max: 1 })
}

/// The queue as `shared.rs` steps it: idle list and levels under one lock.
struct Hall {
    state: Mutex<(Levels<u32>, Vec<usize>)>,
    signals: Vec<Signal>,
}

impl Hall {
    fn arrive(&self) {
        let worker = {
            let mut state = self.state.lock().unwrap();
            let key = state.0.insert(1, Stake { share: 0, weight: 1 });
            assert!(state.0.enqueue(key, Why::Arrival, 0));
            state.1.pop()
        };
        if let Some(signal) = worker.and_then(|w| self.signals.get(w)) {
            signal.notify();
        }
    }

    /// Serves until `n` runs were had.
    fn work(&self, index: usize, n: usize) {
        let signal = self.signals.get(index).unwrap();
        signal.register();
        let mut had = 0;
        while had < n {
            let taken = {
                let mut state = self.state.lock().unwrap();
                let taken = state.0.take();
                match taken {
                    Some(taken) => {
                        state.0.remove(taken.key, 0);
                    }
                    None => {
                        signal.prepare();
                        state.1.push(index);
                    }
                }
                taken
            };
            match taken {
                Some(_) => had += 1,
                None => signal.sleep(),
            }
        }
    }
}

/// A lost wake-up is a deadlock here, which the checker reports.
#[test]
fn loom_no_arrival_is_slept_through() {
    loom::model(|| {
        let hall = Arc::new(Hall { state: Mutex::new((levels(), Vec::new())), signals: vec![Signal::new()] });
        let arrivals: Vec<_> = (0..2)
            .map(|_| {
                let hall = Arc::clone(&hall);
                thread::spawn(move || hall.arrive())
            })
            .collect();
        hall.work(0, 2);
        for arrival in arrivals {
            arrival.join().unwrap();
        }
    });
}

/// Two workers, one run each: whichever is called, both runs are served and both leave.
#[test]
fn loom_two_workers_share_two_arrivals() {
    let mut model = loom::model::Builder::new();
    model.preemption_bound = Some(3);
    model.check(|| {
        let hall = Arc::new(Hall {
            state: Mutex::new((levels(), Vec::new())),
            signals: vec![Signal::new(), Signal::new()],
        });
        let other = Arc::clone(&hall);
        let worker = thread::spawn(move || other.work(1, 1));
        hall.arrive();
        hall.arrive();
        // The main thread is the second worker.
        hall.work(0, 1);
        worker.join().unwrap();
    });
}

/// Two queues: a run is put into one whose only worker is busy, while the worker of the other runs
/// dry. It is called for the run, or sees it before it sleeps; a miss is a deadlock, which the
/// checker reports.
#[test]
fn loom_a_worker_of_another_queue_is_called_or_sees_the_run() {
    loom::model(|| {
        let idle = Arc::new(IdleMask::new());
        let waiting = Arc::new(loom::sync::atomic::AtomicU32::new(0));
        let list = Arc::new(Mutex::new(Vec::new()));
        let signal = Arc::new(Signal::new());
        let submitter = {
            let (idle, waiting, list, signal) =
                (Arc::clone(&idle), Arc::clone(&waiting), Arc::clone(&list), Arc::clone(&signal));
            thread::spawn(move || {
                waiting.store(1, Ordering::Relaxed);
                if idle.after_fence() & 1 != 0 {
                    let mut list = list.lock().unwrap();
                    let worker: Option<usize> = list.pop();
                    idle.set(0, !list.is_empty());
                    drop(list);
                    if worker.is_some() {
                        signal.notify();
                    }
                }
            })
        };
        signal.register();
        {
            let mut list = list.lock().unwrap();
            signal.prepare();
            list.push(0);
            idle.set(0, true);
        }
        fence_before_look();
        if waiting.load(Ordering::Relaxed) == 0 {
            signal.sleep();
        }
        submitter.join().unwrap();
    });
}

/// How a run's stop meets the end of its slice, and the wake that async-task delivers.
struct One {
    stop: Once8,
    queue: Mutex<Levels<u32>>,
    key: Key,
}

impl One {
    /// `Shared::stop`: the flag first, then a look at where the run is. `true`: a parked run is
    /// to be woken.
    fn stop(&self, reason: u8) -> bool {
        if !self.stop.set(reason) {
            return false;
        }
        let mut queue = self.queue.lock().unwrap();
        match queue.place(self.key) {
            Some(Place::Queued { .. }) => {
                queue.expedite(self.key);
                false
            }
            Some(Place::Parked) => true,
            _ => false,
        }
    }

    /// `Shared::end_slice`. `false`: stopped meanwhile.
    fn end_slice(&self) -> bool {
        let mut queue = self.queue.lock().unwrap();
        if self.stop.get() != 0 {
            return false;
        }
        queue.end_slice(self.key, 0, 0, false);
        true
    }

    /// `Shared::schedule`.
    fn schedule(&self) {
        let mut queue = self.queue.lock().unwrap();
        let why = if self.stop.get() == 0 { Why::Wake } else { Why::Stopped };
        queue.enqueue(self.key, why, 0);
    }
}

/// A slice that parks while the run is stopped: afterwards it was either dropped at the end of
/// the slice or is in the urgent lane; never parked, never in a level.
#[test]
fn loom_a_stop_is_never_lost_when_the_run_parks() {
    loom::model(|| {
        let mut queue = levels();
        let key = queue.insert(1, Stake { share: 0, weight: 1 });
        queue.enqueue(key, Why::Arrival, 0);
        queue.take();
        let run = Arc::new(One { stop: Once8::new(), queue: Mutex::new(queue), key });
        let stopper = {
            let run = Arc::clone(&run);
            thread::spawn(move || {
                if run.stop(4) {
                    run.schedule();
                }
            })
        };
        let parked = run.end_slice();
        stopper.join().unwrap();
        let queue = run.queue.lock().unwrap();
        if parked {
            assert_eq!(queue.place(key), Some(Place::Queued { lane: 0 }));
        } else {
            assert_eq!(queue.place(key), Some(Place::Running));
        }
    });
}

/// A stop, a second stop and a wake at once: one reason wins and the run ends up urgent.
#[test]
fn loom_stops_and_a_wake_leave_the_run_urgent() {
    loom::model(|| {
        let mut queue = levels();
        let key = queue.insert(1, Stake { share: 0, weight: 1 });
        queue.enqueue(key, Why::Arrival, 0);
        queue.take();
        queue.end_slice(key, 0, 0, false);
        let run = Arc::new(One { stop: Once8::new(), queue: Mutex::new(queue), key });
        let stopper = {
            let run = Arc::clone(&run);
            thread::spawn(move || {
                if run.stop(4) {
                    run.schedule();
                }
            })
        };
        let waker = {
            let run = Arc::clone(&run);
            thread::spawn(move || run.schedule())
        };
        if run.stop(2) {
            run.schedule();
        }
        stopper.join().unwrap();
        waker.join().unwrap();
        assert!([2, 4].contains(&run.stop.get()));
        let queue = run.queue.lock().unwrap();
        assert_eq!(queue.place(key), Some(Place::Queued { lane: 0 }));
    });
}
