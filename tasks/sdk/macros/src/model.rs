//! What is known of the types that cross, as plain data.
//!
//! A macro sees only its own tokens, so each derive writes its type's definition down, with all the
//! definitions that it mentions, as one string in a macro of the type's own name (`chain.rs`). Knows
//! neither syntax nor WIT; the texts are Rust's own names.

use serde::{Deserialize, Serialize};

/// A type as it is written in a signature or a field.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Ty {
    /// A number, `bool` or `char`, by its name in Rust.
    Scalar(String),
    /// `String`, or `&str` as a parameter.
    Text,
    /// `&str` in a result.
    BorrowedText,
    /// `Vec<T>`.
    List(Box<Ty>),
    /// `Option<T>`.
    Option(Box<Ty>),
    /// `Result<T, E>`; `None` for `()`.
    Result(Option<Box<Ty>>, Option<Box<Ty>>),
    /// `(A, B, …)`, never empty.
    Tuple(Vec<Ty>),
    /// A type with a definition, by its place in a list that stands beside.
    Named(usize),
}

/// A field, a flag, or a case without a value.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Member {
    /// Its name in WIT.
    pub name: String,
    /// Its doc comment.
    pub docs: String,
}

/// What a named type is made of.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Shape {
    /// A struct with named fields.
    Record(Vec<(Member, Ty)>),
    /// An enum whose cases carry any number of values.
    Variant(Vec<(Member, Vec<Ty>)>),
    /// An enum whose cases carry nothing.
    Enum(Vec<Member>),
    /// A struct of `bool`s.
    Flags(Vec<Member>),
    /// `unblock::Body`: the raw request body, which is no parameter in WIT.
    Body,
    /// `unblock::Raw`: the raw response, which is no result in WIT.
    Raw,
}

/// The definition of a named type.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Definition {
    /// Tells types of one name apart: where it was defined.
    pub id: String,
    /// Its name in Rust.
    pub name: String,
    /// Its doc comment.
    pub docs: String,
    /// What it is made of.
    pub shape: Shape,
}

/// A definition with all definitions it mentions, directly or not; places point into the list.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Closure {
    /// The place of the definition that this is about.
    pub root: usize,
    /// All of them.
    pub definitions: Vec<Definition>,
}

/// The definitions of several closures, each once.
#[derive(Debug, Default)]
pub struct Table {
    /// What the places of [`Ty::Named`] point to.
    pub definitions: Vec<Definition>,
}

impl Table {
    /// Takes in a closure; gives the place of its root here.
    pub fn add(&mut self, closure: Closure) -> Option<usize> {
        let known = self.definitions.len();
        let mut places = Vec::new();
        let mut fresh = Vec::new();
        for definition in closure.definitions {
            let place = match self.definitions.iter().position(|known| known.id == definition.id) {
                Some(place) => place,
                None => {
                    fresh.push(definition);
                    known + fresh.len() - 1
                }
            };
            places.push(place);
        }
        for mut definition in fresh {
            definition.shape.each_type(&mut |ty| ty.moved(&places));
            self.definitions.push(definition);
        }
        places.get(closure.root).copied()
    }
}

impl Shape {
    /// Visits the types of the fields and cases.
    pub fn each_type(&mut self, visit: &mut dyn FnMut(&mut Ty)) {
        match self {
            Self::Record(fields) => fields.iter_mut().for_each(|(_, ty)| visit(ty)),
            Self::Variant(cases) => cases.iter_mut().flat_map(|(_, values)| values).for_each(visit),
            Self::Enum(_) | Self::Flags(_) | Self::Body | Self::Raw => {}
        }
    }
}

impl Ty {
    /// Points each named type to its new place.
    pub fn moved(&mut self, places: &[usize]) {
        match self {
            Self::Named(place) => *place = places.get(*place).copied().unwrap_or(usize::MAX),
            Self::List(item) | Self::Option(item) => item.moved(places),
            Self::Result(ok, err) => [ok, err].into_iter().flatten().for_each(|side| side.moved(places)),
            Self::Tuple(items) => items.iter_mut().for_each(|item| item.moved(places)),
            Self::Scalar(_) | Self::Text | Self::BorrowedText => {}
        }
    }

    /// The places of all named types within.
    pub fn named(&self) -> Vec<usize> {
        match self {
            Self::Named(place) => vec![*place],
            Self::List(item) | Self::Option(item) => item.named(),
            Self::Result(ok, err) => [ok, err].into_iter().flatten().flat_map(|side| side.named()).collect(),
            Self::Tuple(items) => items.iter().flat_map(Self::named).collect(),
            Self::Scalar(_) | Self::Text | Self::BorrowedText => Vec::new(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(id: &str, fields: &[Ty]) -> Definition {
        let fields = fields.iter().map(|ty| (Member { name: "a".into(), docs: String::new() }, ty.clone()));
        let shape = Shape::Record(fields.collect());
        Definition { id: id.into(), name: id.into(), docs: String::new(), shape }
    }

    #[test]
    fn a_definition_that_two_closures_share_is_kept_once() {
        let inner = record("inner", &[Ty::Text]);
        let outer = record("outer", &[Ty::List(Box::new(Ty::Named(0)))]);
        let mut table = Table::default();
        let only = Closure { root: 0, definitions: vec![record("other", &[Ty::Text])] };
        assert_eq!(table.add(only), Some(0));
        let both = Closure { root: 1, definitions: vec![inner.clone(), outer] };
        assert_eq!(table.add(both), Some(2));
        assert_eq!(table.add(Closure { root: 0, definitions: vec![inner] }), Some(1));
        let ids: Vec<&str> = table.definitions.iter().map(|definition| definition.id.as_str()).collect();
        assert_eq!(ids, ["other", "inner", "outer"]);
        assert_eq!(table.definitions.last(), Some(&record("outer", &[Ty::List(Box::new(Ty::Named(1)))])));
    }
}
