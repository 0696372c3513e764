//! The pool's figures: `cargo run --release -p unblock-pool --example figures`.
//!
//! Throughput of submit → finish with 1 to 4 workers and many in flight, the hop there and back
//! with one in flight, short runs and stops beside 1,000 endless loops.
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
use unblock_pool::{Budget, Config, Pool, Run, Share, ShareLimits, Stop, Ticket, Verdict};

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

const NO_LIMIT: Budget = Budget { queue_until: None, wall: Duration::MAX, cpu: Duration::MAX };

fn pool(workers: usize, spin: Duration) -> (Pool, Share, Arc<AtomicU64>) {
    let epoch = Arc::new(AtomicU64::new(0));
    let bumped = Arc::clone(&epoch);
    let config = Config { workers: NonZeroUsize::new(workers).unwrap(), spin, ..Config::default() };
    let interrupt = Arc::new(move || {
        bumped.fetch_add(1, Ordering::Relaxed);
    });
    let pool = Pool::new(config, interrupt, Arc::new(|life: &mut dyn FnMut()| life())).unwrap();
    let share = pool.share(ShareLimits { concurrency: 10_000, queue: 0, weight: 1 });
    (pool, share, epoch)
}

/// Loops until stopped; looks at the epoch as compiled code would.
async fn endless(run: Run, epoch: Arc<AtomicU64>) {
    let mut seen = 0;
    loop {
        let now = epoch.load(Ordering::Relaxed);
        if now == seen {
            continue;
        }
        seen = now;
        match run.verdict() {
            Verdict::Continue => {}
            Verdict::Yield => {
                let mut yielded = false;
                std::future::poll_fn(|cx| {
                    if yielded {
                        return Poll::Ready(());
                    }
                    yielded = true;
                    cx.waker().wake_by_ref();
                    Poll::Pending
                })
                .await;
            }
            Verdict::Stop(_) => return,
        }
    }
}

fn percentiles(mut times: Vec<Duration>) -> String {
    times.sort();
    let at = |p: usize| times[(times.len() - 1) * p / 100];
    format!("p50 {:?}, p90 {:?}, p99 {:?}, max {:?}", at(50), at(90), at(99), at(100))
}

fn main() {
    let waker = Waker::from(Arc::new(Unpark(thread::current())));
    let default_spin = Config::default().spin;
    let (single, share, _) = pool(1, default_spin);
    let n: u32 = 1_000_000;
    let start = Instant::now();
    for _ in 0..n {
        drop(share.try_enter());
    }
    println!("permit out and back: {:?}", start.elapsed() / n);
    let permit = share.try_enter().unwrap();
    let verdicts = single.submit(permit, NO_LIMIT, move |run| async move {
        let start = Instant::now();
        let going_on = (0..5000).filter(|_| run.verdict() == Verdict::Continue);
        (going_on.count(), start.elapsed() / 5000)
    });
    let ((going_on, each), _) = wait(verdicts, &waker).unwrap();
    println!("verdict: {each:?} ({going_on} of 5000 within the quantum)");
    for workers in 1..=4 {
        let (pool, share, _) = pool(workers, default_spin);
        let n: u32 = 300_000;
        let start = Instant::now();
        let mut flight: VecDeque<Ticket<u32>> = VecDeque::new();
        for i in 0..n {
            if flight.len() == 64 {
                wait(flight.pop_front().unwrap(), &waker).unwrap();
            }
            let permit = share.try_enter().unwrap();
            flight.push_back(pool.submit(permit, NO_LIMIT, move |_| async move { i }));
        }
        for ticket in flight {
            wait(ticket, &waker).unwrap();
        }
        let rate = f64::from(n) / start.elapsed().as_secs_f64();
        println!("{workers} workers, 64 in flight: {rate:.0} runs/s, {} wakes", pool.stats().worker_wakes);
    }
    for (spin_us, pause) in [(0, 0), (20, 0), (50, 0), (0, 200), (20, 200), (50, 200)] {
        let (pool, share, _) = pool(2, Duration::from_micros(spin_us));
        let times = (0..5000)
            .map(|_| {
                if pause > 0 {
                    thread::sleep(Duration::from_micros(pause));
                }
                let start = Instant::now();
                let permit = share.try_enter().unwrap();
                wait(pool.submit(permit, NO_LIMIT, |_| async {}), &waker).unwrap();
                start.elapsed()
            })
            .collect();
        println!("hop and back, {pause} µs apart, spin {spin_us} µs: {}", percentiles(times));
    }
    for loops in [32, 1000] {
        let (pool, share, epoch) = pool(2, default_spin);
        let mut crowd: Vec<_> = (0..loops)
            .map(|_| {
                let epoch = Arc::clone(&epoch);
                let permit = share.try_enter().unwrap();
                pool.submit(permit, NO_LIMIT, move |run| endless(run, epoch))
            })
            .collect();
        while pool.stats().queued[0] > 0 {
            thread::sleep(Duration::from_millis(10));
        }
        let times = (0..2000)
            .map(|_| {
                thread::sleep(Duration::from_micros(500));
                let start = Instant::now();
                let permit = share.try_enter().unwrap();
                wait(pool.submit(permit, NO_LIMIT, |_| async {}), &waker).unwrap();
                start.elapsed()
            })
            .collect();
        println!("short run beside {loops} loops: {}", percentiles(times));
        let times = (0..loops - 10)
            .map(|_| {
                let victim = crowd.swap_remove(crowd.len() / 2);
                let start = Instant::now();
                victim.stop(Stop::Cancelled);
                wait(victim, &waker).unwrap_err();
                start.elapsed()
            })
            .collect();
        println!("stop one of {loops} loops: {}", percentiles(times));
    }
    let (pool, share, _) = pool(2, default_spin);
    let cpu = || rustix::time::clock_gettime(rustix::time::ClockId::ProcessCPUTime);
    thread::sleep(Duration::from_millis(100));
    let before = cpu();
    thread::sleep(Duration::from_secs(2));
    let used_us = (cpu().tv_sec - before.tv_sec) * 1_000_000 + (cpu().tv_nsec - before.tv_nsec) / 1000;
    println!("idle for 2 s: {used_us} µs of CPU time, {} interrupts", pool.stats().interrupts);
    let start = Instant::now();
    let parked: Vec<_> = (0..10_000)
        .map(|_| {
            let permit = share.try_enter().unwrap();
            let budget = Budget { wall: Duration::from_secs(1), ..NO_LIMIT };
            pool.submit(permit, budget, |_| std::future::pending::<()>())
        })
        .collect();
    println!("10,000 submitted in {:?}", start.elapsed());
    for ticket in parked {
        wait(ticket, &waker).unwrap_err();
    }
    println!("10,000 parked runs with a wall budget of 1 s: all ended after {:?}", start.elapsed());
}
