//! The macros of the crate `unblock-sdk`, which documents and re-exports them.
//!
//! From a plain function to a component: the signature is read (`types.rs`), the definitions of the
//! records and enums it names are collected (`chain.rs`; they were written down by the derives in
//! `derive.rs`), an interface is written from all of it (`wit.rs`), wit-bindgen's generator makes the
//! bindings, and conversions between the user's types and the generated ones connect the two
//! (`task.rs`, `convert.rs`). Nothing here knows the gateway.

mod chain;
mod convert;
mod derive;
mod model;
mod names;
mod task;
mod types;
mod wit;

use proc_macro::TokenStream;

/// Makes a plain function a task that callers reach over HTTP.
#[proc_macro_attribute]
pub fn task(arguments: TokenStream, item: TokenStream) -> TokenStream {
    task::attribute(arguments.into(), item.into()).into()
}

/// Lets a struct with named fields cross: a JSON object.
#[proc_macro_derive(Record)]
pub fn record(item: TokenStream) -> TokenStream {
    derive::expand(item.into(), derive::Kind::Record).into()
}

/// Lets an enum whose cases carry values cross: `{"tag": "case", "val": …}`.
#[proc_macro_derive(Variant)]
pub fn variant(item: TokenStream) -> TokenStream {
    derive::expand(item.into(), derive::Kind::Variant).into()
}

/// Lets an enum whose cases carry nothing cross: the case's name as a string.
#[proc_macro_derive(Enum)]
pub fn plain_enum(item: TokenStream) -> TokenStream {
    derive::expand(item.into(), derive::Kind::Enum).into()
}

/// Lets a struct of `bool`s cross: an array of the names of those that are true.
#[proc_macro_derive(Flags)]
pub fn flags(item: TokenStream) -> TokenStream {
    derive::expand(item.into(), derive::Kind::Flags).into()
}

/// A link in the chain that collects definitions; only macros write it.
#[doc(hidden)]
#[proc_macro]
pub fn __next(input: TokenStream) -> TokenStream {
    chain::next(input.into()).into()
}
