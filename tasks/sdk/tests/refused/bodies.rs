//! Raw bodies where they cannot be.
use unblock::{Body, Raw};

#[unblock::task]
fn optional(body: Option<Body>) {}

#[unblock::task]
fn two(a: Body, b: Body) {}

#[unblock::task]
fn wrong_way(raw: Raw) {}

#[unblock::task]
fn part() -> (Raw, u8) {
    unreachable!()
}

#[unblock::task]
fn back(body: Body) -> Body {
    body
}

fn main() {}
