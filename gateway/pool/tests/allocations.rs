//! What one short run allocates: the task and its state, nothing else.
#![allow(clippy::unwrap_used, reason = "tests fail by panicking")]

mod support;

use std::alloc::{GlobalAlloc, Layout, System};
use std::sync::atomic::{AtomicU64, Ordering};
use support::{no_limit, rig, wait};

struct Counting;

static ALLOCATIONS: AtomicU64 = AtomicU64::new(0);

// SAFETY: every call is passed on to the system's allocator unchanged.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        ALLOCATIONS.fetch_add(1, Ordering::Relaxed);
        // SAFETY: the caller's promise is the system allocator's.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        // SAFETY: as above.
        unsafe { System.dealloc(pointer, layout) }
    }
}

#[global_allocator]
static COUNTING: Counting = Counting;

#[test]
fn a_short_run_allocates_its_task_and_its_state() {
    let rig = rig(1);
    let one = || {
        let permit = wait(rig.share.enter()).unwrap();
        wait(rig.pool.submit(permit, no_limit(), |_| async {})).unwrap();
    };
    // What waiting in this test allocates by itself: one waker for each of the two waits.
    for _ in 0..100 {
        one();
    }
    let before = ALLOCATIONS.load(Ordering::Relaxed);
    for _ in 0..1000 {
        one();
    }
    let each = (ALLOCATIONS.load(Ordering::Relaxed) - before) as f64 / 1000.0;
    assert!(each <= 4.05, "{each} allocations, 2 of them by the test itself");
}
