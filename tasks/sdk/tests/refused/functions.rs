//! Functions that are no tasks.

struct Thing;

#[unblock::task]
async fn waits() {}

#[unblock::task]
fn generic<T>(t: T) {}

#[unblock::task]
unsafe fn dangerous() {}

#[unblock::task]
fn method(self: Thing) {}

#[unblock::task]
fn unnamed((a, b): (u8, u8)) {}

#[unblock::task]
fn twice(a_b: u8, a__b: u8) {}

#[unblock::task]
fn größe() {}

#[unblock::task(path = "x")]
fn argument() {}

#[unblock::task]
struct NoFunction;

fn main() {}
