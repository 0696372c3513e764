//! What the macros' output refers to. No promise is made of any of it.
//!
//! Types are taken apart and put together here without being named, so that a task can use types
//! whose fields it cannot see. Knows nothing of the gateway's interfaces but how bodies pass.

pub use crate::body::{answer, request_body};
pub use unblock_sdk_macros::__next as next;
pub use wit_bindgen::rt;

/// A type with a derive of `unblock`.
#[diagnostic::on_unimplemented(
    message = "`{Self}` cannot cross between a task and its caller",
    label = "this type has no definition that a caller could be told",
    note = "a struct or an enum of this crate: add `#[derive(unblock::Record)]` to a struct, `unblock::Enum` or \
            `unblock::Variant` to an enum, `unblock::Flags` to a struct of `bool`s",
    note = "a type of another crate: copy what is needed of it into a struct of your own; times are numbers of \
            seconds (`f64`), paths and errors are `String`",
    note = "a type alias: write the type itself"
)]
pub trait Crosses {}

/// Compiles for types that cross; never runs.
pub fn crosses<T: Crosses>() {}

/// A value in parts: a tuple of fields, or one of several cases.
pub trait IntoParts<P> {
    /// Takes the value apart.
    fn into_parts(self) -> P;
}

/// A value from its parts.
pub trait FromParts<P> {
    /// Puts a value together.
    fn from_parts(parts: P) -> Self;
}

/// The case at hand, or one of the cases after it.
pub enum Or<A, B> {
    /// This one, with its values.
    This(A),
    /// A later one.
    That(B),
}

/// What comes after the last case.
pub enum Never {}

/// The list with each item converted.
pub fn list<A, B>(items: Vec<A>, convert: impl FnMut(A) -> B) -> Vec<B> {
    items.into_iter().map(convert).collect()
}
