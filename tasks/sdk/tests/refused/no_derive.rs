//! A type that was not given a definition.

struct Options {
    width: u32,
}

#[unblock::task]
fn resize(options: Option<Options>) {}

fn main() {}
