//! Who may do what: tokens, their scopes, and the file that keeps them.
//!
//! A token is a random text that its holder shows with each request; the file has its digest only, so
//! whoever reads the file cannot use it. Nothing here knows requests or statuses: the edge asks
//! [`Tokens::holder`] whose token a text is, and [`Holder::may`] whether it allows what is asked.
//!
//! | file | owns |
//! |---|---|
//! | `token.rs` | the text of a token: made, read, compared |
//! | `store.rs` | the file: read, written whole, never open to others |

mod store;
mod token;

pub use store::{Record, Store, Tokens};
pub use token::PREFIX;

use crate::task::TaskName;
use std::fmt;
use std::sync::Arc;

/// What a scope for calls says in place of a task's name to mean every task.
const EVERY_TASK: &str = "*";

/// One thing that a token allows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Scope {
    /// `call:TASK`: call that task, and read its description.
    Call(TaskName),
    /// `call:*`: the same for every task.
    CallAll,
    /// `read`: what is loaded, the API's description, the numbers.
    Read,
    /// `manage`: put and delete tasks, and all that the others allow.
    Manage,
}

impl Scope {
    /// Reads `call:TASK`, `call:*`, `read` or `manage`.
    ///
    /// # Errors
    /// What was found and what was expected.
    pub fn parse(text: &str) -> Result<Self, String> {
        match text {
            "read" => Ok(Self::Read),
            "manage" => Ok(Self::Manage),
            _ => match text.strip_prefix("call:") {
                Some(EVERY_TASK) => Ok(Self::CallAll),
                Some(name) => TaskName::new(name)
                    .map(Self::Call)
                    .map_err(|_| format!("found {text:?}, expected a task's name or * after \"call:\"")),
                None => Err(format!("found {text:?}, expected call:TASK, call:*, read or manage")),
            },
        }
    }
}

impl fmt::Display for Scope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Call(name) => write!(f, "call:{name}"),
            Self::CallAll => write!(f, "call:{EVERY_TASK}"),
            Self::Read => f.write_str("read"),
            Self::Manage => f.write_str("manage"),
        }
    }
}

/// What a request needs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Need<'a> {
    /// To call the task of that name, which need not be loaded.
    Call(&'a str),
    /// To read the description of that task.
    Describe(&'a str),
    /// To read what concerns all tasks.
    Read,
    /// To change what is served.
    Manage,
}

impl fmt::Display for Need<'_> {
    /// The least scope that grants it.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Call(name) | Self::Describe(name) => write!(f, "call:{name}"),
            Self::Read => f.write_str("read"),
            Self::Manage => f.write_str("manage"),
        }
    }
}

/// Who holds a token. Its text is not kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Holder {
    /// The token's id: public, it names the token in logs and to `unblock token revoke`.
    pub id: Arc<str>,
    /// What its maker called it.
    pub name: Option<Arc<str>>,
    /// What it allows.
    pub scopes: Vec<Scope>,
}

impl Holder {
    /// Whether one of its scopes grants that.
    #[must_use]
    pub fn may(&self, need: Need<'_>) -> bool {
        self.scopes.iter().any(|scope| match (scope, need) {
            (Scope::Manage, _)
            | (Scope::Read, Need::Read | Need::Describe(_))
            | (Scope::CallAll, Need::Call(_) | Need::Describe(_)) => true,
            (Scope::Call(own), Need::Call(name) | Need::Describe(name)) => own.as_str() == name,
            _ => false,
        })
    }
}

/// Why a text grants nothing. Told to whoever sent it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// It does not look like a token of a gateway.
    Malformed,
    /// No such token: never made, revoked, or mistyped.
    Unknown,
    /// It has expired.
    Expired,
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Malformed => {
                write!(
                    f,
                    "found a text that is no token of a gateway, expected one that starts with {PREFIX}"
                )
            }
            Self::Unknown => f.write_str("the token is not known: it was revoked, or is not of this gateway"),
            Self::Expired => f.write_str("the token has expired; have another made"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn holder(scopes: &[&str]) -> Holder {
        let scopes = scopes.iter().map(|scope| Scope::parse(scope).expect(scope)).collect();
        Holder { id: "a".into(), name: None, scopes }
    }

    #[test]
    fn a_scope_grants_what_it_says_and_nothing_else() {
        let needs = [
            Need::Call("sleep"),
            Need::Call("other"),
            Need::Describe("sleep"),
            Need::Describe("other"),
            Need::Read,
            Need::Manage,
        ];
        for (scopes, granted) in [
            (&["call:sleep"][..], [true, false, true, false, false, false]),
            (&["call:*"], [true, true, true, true, false, false]),
            (&["read"], [false, false, true, true, true, false]),
            (&["manage"], [true; 6]),
            (&["call:sleep", "read"], [true, false, true, true, true, false]),
            (&[], [false; 6]),
        ] {
            assert_eq!(needs.map(|need| holder(scopes).may(need)), granted, "{scopes:?}");
        }
    }

    #[test]
    fn a_scope_survives_its_text_and_a_wrong_one_says_what_was_expected() {
        for text in ["call:sleep", "call:*", "read", "manage"] {
            assert_eq!(Scope::parse(text).expect(text).to_string(), text);
        }
        for wrong in ["", "call", "call:", "call:Sleep", "call:a/b", "write", "READ", "call:**"] {
            assert!(Scope::parse(wrong).expect_err(wrong).contains("expected"), "{wrong}");
        }
    }
}
