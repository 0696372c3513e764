//! Structs and enums that no derive can take.

#[derive(unblock::Record)]
struct Size(u32, u32);

#[derive(unblock::Record)]
struct Empty {}

#[derive(unblock::Record)]
struct Tree {
    children: Vec<Tree>,
}

#[derive(unblock::Record)]
struct Page<T> {
    items: Vec<T>,
}

#[derive(unblock::Record)]
struct Count {
    /// How many.
    count: usize,
}

#[derive(unblock::Record)]
enum Wrong {
    A,
}

#[derive(unblock::Enum)]
enum Carries {
    A(u8),
}

#[derive(unblock::Variant)]
enum Fields {
    A { b: u8 },
}

#[derive(unblock::Flags)]
struct Rights {
    read: u8,
}

#[derive(unblock::Record)]
struct Upload {
    body: unblock::Body,
}

fn main() {}
