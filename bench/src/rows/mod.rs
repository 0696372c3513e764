//! The rows: what is asked, of whom, and what is to be reached.
//!
//! Targets stand here and nowhere else. A row starts its contenders, drives them round by round,
//! checks answers, and adds its lines to the table.

mod command;
mod compute;
mod cost;
mod guest;
mod hangup;
mod idle;
mod languages;
mod many;
mod observed;
mod overload;
mod parked;
mod peers;
mod saturated;
mod start;
mod trivial;
mod watch;

use crate::scale::Scale;
use crate::table::Table;

/// A row.
pub type Row = fn(&Scale, &mut Table) -> anyhow::Result<()>;

/// All rows by name.
pub const ALL: &[(&str, Row)] = &[
    ("a", trivial::run),
    ("b", saturated::run),
    ("c", parked::run),
    ("d", hangup::run),
    ("e", idle::run),
    ("f", guest::run),
    ("g", command::run),
    ("h", peers::run),
    ("i", compute::run),
    ("j", languages::run),
    ("k", start::run),
    ("l", many::run),
    ("m", cost::run),
    ("n", overload::run),
    ("o", observed::run),
    ("p", watch::run),
];
