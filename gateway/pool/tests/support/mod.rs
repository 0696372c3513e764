//! A pool for tests, guests that loop or wait, and a way to block on a future.
#![allow(dead_code, reason = "each test binary uses a part of it")]

use std::future::Future;
use std::num::NonZeroUsize;
use std::pin::{Pin, pin};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex};
use std::task::{Context, Poll, Wake, Waker};
use std::thread::{self, Thread};
use std::time::{Duration, Instant};
use unblock_pool::{Budget, Config, Permit, Pool, Run, Share, ShareLimits, Ticket, Verdict};

/// Long enough that only a hang reaches it.
pub const PATIENCE: Duration = Duration::from_secs(30);

struct Unpark(Thread);

impl Wake for Unpark {
    fn wake(self: Arc<Self>) {
        self.0.unpark();
    }
}

/// Runs a future on this thread; fails the test if it hangs.
pub fn wait<F: Future>(future: F) -> F::Output {
    let mut future = pin!(future);
    let waker = Waker::from(Arc::new(Unpark(thread::current())));
    let end = Instant::now() + PATIENCE;
    loop {
        if let Poll::Ready(output) = future.as_mut().poll(&mut Context::from_waker(&waker)) {
            return output;
        }
        assert!(Instant::now() < end, "hung for {PATIENCE:?}");
        thread::park_timeout(Duration::from_millis(500));
    }
}

/// Waits until something is so.
pub fn until(what: &str, mut so: impl FnMut() -> bool) {
    let end = Instant::now() + PATIENCE;
    while !so() {
        assert!(Instant::now() < end, "never: {what}");
        thread::sleep(Duration::from_micros(200));
    }
}

/// A pool whose interrupt bumps an epoch, as the engine's would.
pub struct Rig {
    pub pool: Pool,
    pub share: Share,
    pub epoch: Arc<AtomicU64>,
    /// One pool at a time: tests that measure would measure each other.
    _alone: Alone,
}

static TAKEN: Mutex<bool> = Mutex::new(false);
static FREE: Condvar = Condvar::new();

/// A lock that may change threads.
struct Alone;

impl Alone {
    fn take() -> Self {
        let mut taken = TAKEN.lock().unwrap();
        while *taken {
            taken = FREE.wait(taken).unwrap();
        }
        *taken = true;
        Self
    }
}

impl Drop for Alone {
    fn drop(&mut self) {
        *TAKEN.lock().unwrap() = false;
        FREE.notify_one();
    }
}

pub fn config(workers: usize) -> Config {
    Config { workers: NonZeroUsize::new(workers).unwrap(), nice: 0, ..Config::default() }
}

pub fn rig(workers: usize) -> Rig {
    rig_with(config(workers))
}

pub fn rig_with(config: Config) -> Rig {
    let alone = Alone::take();
    let epoch = Arc::new(AtomicU64::new(0));
    let bumped = Arc::clone(&epoch);
    let pool = Pool::new(
        config,
        Arc::new(move || {
            bumped.fetch_add(1, Ordering::Relaxed);
        }),
        Arc::new(|life: &mut dyn FnMut()| life()),
    )
    .unwrap();
    let share = pool.share(ShareLimits { concurrency: 100_000, queue: 0, weight: 1 });
    Rig { pool, share, epoch, _alone: alone }
}

pub fn no_limit() -> Budget {
    Budget { queue_until: None, wall: Duration::MAX, cpu: Duration::MAX }
}

impl Rig {
    pub fn permit(&self) -> Permit {
        self.share.try_enter().unwrap()
    }

    pub fn spawn<T, F, Fut>(&self, budget: Budget, start: F) -> Ticket<T>
    where
        T: Send + 'static,
        F: FnOnce(Guest) -> Fut + Send + 'static,
        Fut: Future<Output = T> + Send + 'static,
    {
        self.spawn_of(&self.share, budget, start)
    }

    /// A run of another share.
    pub fn spawn_of<T, F, Fut>(&self, share: &Share, budget: Budget, start: F) -> Ticket<T>
    where
        T: Send + 'static,
        F: FnOnce(Guest) -> Fut + Send + 'static,
        Fut: Future<Output = T> + Send + 'static,
    {
        let epoch = Arc::clone(&self.epoch);
        self.pool.submit(share.try_enter().unwrap(), budget, move |run| start(Guest { run, epoch }))
    }

    /// Another share, beside [`Rig::share`], which has weight 1.
    pub fn other(&self, weight: u32) -> Share {
        self.pool.share(ShareLimits { concurrency: 100_000, queue: 0, weight })
    }

    /// A run that loops until it is stopped.
    pub fn spin_forever(&self, budget: Budget) -> Ticket<()> {
        self.spawn(budget, |guest| async move { guest.spin(Duration::MAX).await })
    }
}

/// What a guest sees: its run and the engine's epoch.
#[derive(Clone)]
pub struct Guest {
    pub run: Run,
    epoch: Arc<AtomicU64>,
}

impl Guest {
    /// Burns CPU time of its own; asks for a verdict only when the epoch moves, like the
    /// engine's callback.
    pub async fn spin(&self, cpu: Duration) {
        let mut seen = self.epoch.load(Ordering::Relaxed);
        loop {
            for _ in 0..200 {
                std::hint::black_box(seen);
            }
            let now = self.epoch.load(Ordering::Relaxed);
            if now == seen {
                continue;
            }
            seen = now;
            match self.run.verdict() {
                Verdict::Continue => {}
                Verdict::Yield => yield_now().await,
                Verdict::Stop(_) => std::future::pending().await,
            }
            if self.run.cpu_used() >= cpu {
                return;
            }
        }
    }
}

/// Wakes itself and is pending once.
pub fn yield_now() -> impl Future<Output = ()> {
    let mut yielded = false;
    std::future::poll_fn(move |cx| {
        if yielded {
            return Poll::Ready(());
        }
        yielded = true;
        cx.waker().wake_by_ref();
        Poll::Pending
    })
}

/// Opened once, by hand; any number of futures wait for it.
#[derive(Clone, Default)]
pub struct Gate(Arc<Mutex<(bool, Vec<Waker>)>>);

impl Gate {
    pub fn open(&self) {
        let wakers = {
            let mut state = self.0.lock().unwrap();
            state.0 = true;
            std::mem::take(&mut state.1)
        };
        for waker in wakers {
            waker.wake();
        }
    }

    pub fn passed(&self) -> impl Future<Output = ()> + Send + 'static {
        let state = Arc::clone(&self.0);
        std::future::poll_fn(move |cx| {
            let mut state = state.lock().unwrap();
            if state.0 {
                return Poll::Ready(());
            }
            state.1.push(cx.waker().clone());
            Poll::Pending
        })
    }
}

/// Ready after a while, woken by a thread of its own.
pub fn sleep(time: Duration) -> Pin<Box<dyn Future<Output = ()> + Send>> {
    let mut gate = None;
    let mut inner: Option<Pin<Box<dyn Future<Output = ()> + Send>>> = None;
    Box::pin(std::future::poll_fn(move |cx| {
        if gate.is_none() {
            let fresh = Gate::default();
            let opened = fresh.clone();
            thread::spawn(move || {
                thread::sleep(time);
                opened.open();
            });
            inner = Some(Box::pin(fresh.passed()));
            gate = Some(fresh);
        }
        inner.as_mut().unwrap().as_mut().poll(cx)
    }))
}

/// Counts drops.
#[derive(Clone, Default)]
pub struct Drops(Arc<AtomicU64>);

impl Drops {
    pub fn count(&self) -> u64 {
        self.0.load(Ordering::SeqCst)
    }

    pub fn probe(&self) -> Probe {
        Probe(self.clone())
    }
}

pub struct Probe(Drops);

impl Drop for Probe {
    fn drop(&mut self) {
        self.0.0.fetch_add(1, Ordering::SeqCst);
    }
}
