//! How often a short run takes the pool's locks and how long each is held: `just pool-locks`.
//!
//! Submits from one thread and runs on one worker, first both on one core, then each on its own
//! (if there are two): the difference is what it costs that the lock's data was last written by
//! another core, which is what `docs/pool.md` extrapolates. Times are as measured less one clock
//! reading, which is measured too.
#![allow(
    clippy::unwrap_used,
    clippy::print_stdout,
    clippy::indexing_slicing,
    reason = "an example that prints, and stops when something is wrong"
)]

use std::collections::VecDeque;
use std::future::Future;
use std::num::NonZeroUsize;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll, Wake, Waker};
use std::thread::{self, Thread};
use std::time::{Duration, Instant};
use unblock_pool::{Budget, Config, Pool, ShareLimits, Ticket, lock_figures};

const RUNS: u32 = 300_000;
const FLIGHT_MAX: usize = 64;
const FAR: Duration = Duration::from_secs(3600);

struct Unpark(Thread);

impl Wake for Unpark {
    fn wake(self: Arc<Self>) {
        self.0.unpark();
    }
}

fn wait<F: Future>(future: F, waker: &Waker) -> F::Output {
    let mut future = pin!(future);
    loop {
        match future.as_mut().poll(&mut Context::from_waker(waker)) {
            Poll::Ready(output) => return output,
            Poll::Pending => thread::park(),
        }
    }
}

fn pin_to(core: usize) {
    let mut set = rustix::thread::CpuSet::new();
    set.set(core);
    rustix::thread::sched_setaffinity(None, &set).unwrap();
}

/// The least that a clock reading adds.
fn clock_ns() -> usize {
    let least = (0..100_000).map(|_| Instant::now().elapsed()).min().unwrap();
    usize::try_from(least.as_nanos()).unwrap()
}

fn percentile(held_ns: &[u64], percent: u64) -> usize {
    let all: u64 = held_ns.iter().sum();
    let mut seen = 0;
    held_ns
        .iter()
        .position(|n| {
            seen += n;
            seen * 100 >= all * percent
        })
        .unwrap_or(0)
}

fn report(title: &str, clock_ns: usize) {
    println!("{title}:");
    for lock in lock_figures() {
        let [p10, p50, p90] = [10, 50, 90].map(|p| percentile(&lock.held_ns, p).saturating_sub(clock_ns));
        // Without the tenth in which the thread lost its core.
        let (mut count, mut sum) = (0, 0);
        for (ns, n) in lock.held_ns.iter().enumerate().take(p90 + clock_ns + 1) {
            count += n;
            sum += n * (ns.saturating_sub(clock_ns)) as u64;
        }
        let mean = sum as f64 / count as f64;
        let taken = lock.taken as f64 / f64::from(RUNS);
        println!(
            "  {}: taken {taken:.2} times a run, held {mean:.0} ns (mean of the lower nine tenths; p10 {p10}, \
             p50 {p50}, p90 {p90}), waited for in {:.1} %, so {:.0} ns a run",
            lock.name,
            100.0 * lock.waited as f64 / lock.taken as f64,
            mean * taken
        );
    }
}

/// Two cores pass one cache line to and fro: nanoseconds for one way, in the best and in the middle
/// one of many batches (in the others one of the threads lost its core).
fn line_transfer_ns() -> [u64; 2] {
    const BATCH: u64 = 500;
    const ROUNDS: u64 = 1000 * BATCH;
    let line = Arc::new(AtomicU64::new(0));
    let other = Arc::clone(&line);
    let thread = thread::spawn(move || {
        pin_to(1);
        for i in 0..ROUNDS {
            while other.load(Ordering::Acquire) != 2 * i + 1 {
                std::hint::spin_loop();
            }
            other.store(2 * i + 2, Ordering::Release);
        }
    });
    pin_to(0);
    let mut batches = Vec::new();
    let mut start = Instant::now();
    for i in 0..ROUNDS {
        line.store(2 * i + 1, Ordering::Release);
        while line.load(Ordering::Acquire) != 2 * i + 2 {
            std::hint::spin_loop();
        }
        if (i + 1) % BATCH == 0 {
            batches.push(u64::try_from(start.elapsed().as_nanos()).unwrap() / (2 * BATCH));
            start = Instant::now();
        }
    }
    thread.join().unwrap();
    batches.sort_unstable();
    [batches[0], batches[batches.len() / 2]]
}

fn measure(title: &str, cores: [usize; 2], clock_ns: usize) {
    pin_to(cores[0]);
    let waker = Waker::from(Arc::new(Unpark(thread::current())));
    let config = Config { workers: NonZeroUsize::MIN, nice: 0, ..Config::default() };
    let on_thread = Arc::new(move |life: &mut dyn FnMut()| {
        pin_to(cores[1]);
        life();
    });
    let pool = Pool::new(config, Arc::new(|| {}), on_thread).unwrap();
    let share = pool.share(ShareLimits { concurrency: 10_000, queue: 0, weight: 1 });
    lock_figures();
    let mut flight: VecDeque<Ticket<u32>> = VecDeque::new();
    for i in 0..RUNS {
        if flight.len() == FLIGHT_MAX {
            wait(flight.pop_front().unwrap(), &waker).unwrap();
        }
        let permit = share.try_enter().unwrap();
        let budget = Budget { queue_until: Some(Instant::now() + FAR), wall: FAR, cpu: FAR };
        flight.push_back(pool.submit(permit, budget, move |_| async move { i }));
    }
    for ticket in flight {
        wait(ticket, &waker).unwrap();
    }
    report(title, clock_ns);
}

fn main() {
    let cores = thread::available_parallelism().unwrap().get();
    let clock_ns = clock_ns();
    println!("one clock reading: {clock_ns} ns (taken off below)");
    measure("submitted and run on one core", [0, 0], clock_ns);
    if cores > 1 {
        let [best, middle] = line_transfer_ns();
        println!("one cache line from core to core: {best} ns at best, {middle} ns in the middle");
        measure("submitted on one core, run on another", [0, 1], clock_ns);
    }
}
