//! The bounds of one decoding, counted down while the text is read.
//!
//! Owns the numbers, their defaults and the words of the refusal. It must not know JSON nor shapes:
//! the walks charge it before they build anything.

use super::error::{ArgError, Decoded};

/// Largest byte list of a call that goes the dynamic way, in bytes. Each byte costs the host 40
/// bytes there, and 1 MiB takes a quarter of a second to cross.
pub const BYTE_LIST_BYTES_MAX: usize = 1 << 20;

/// Bounds of one decoding, all met before the value behind them is built.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Deepest nesting of arrays and objects, in levels.
    pub depth_max: usize,
    /// Most values of all types together; each costs 40 bytes of host memory. A record's field
    /// counts twice, since its name is stored beside it.
    pub elements_max: usize,
    /// Most bytes of all strings, labels and field names together.
    pub bytes_max: usize,
}

impl Default for Limits {
    /// 128 levels (two per level of the deepest [`Shape`](super::Shape), and room), 2 Mi values, 16 MiB of text.
    fn default() -> Self {
        Self { depth_max: 128, elements_max: 2 << 20, bytes_max: 16 << 20 }
    }
}

/// What is left of the [`Limits`] while one call's arguments are decoded.
pub(super) struct Budget {
    limits: Limits,
    elements: usize,
    bytes: usize,
}

impl Budget {
    pub(super) fn new(limits: &Limits) -> Self {
        Self { limits: *limits, elements: limits.elements_max, bytes: limits.bytes_max }
    }

    pub(super) fn elements(&mut self, count: usize) -> Decoded<()> {
        match self.elements.checked_sub(count) {
            Some(left) => self.elements = left,
            None => {
                let max = self.limits.elements_max;
                let expected = format_args!("at most {max} values in all (limit elements_max)");
                return Err(ArgError::too_large("elements_max", expected, "more"));
            }
        }
        Ok(())
    }

    pub(super) fn bytes(&mut self, count: usize) -> Decoded<()> {
        match self.bytes.checked_sub(count) {
            Some(left) => self.bytes = left,
            None => {
                let max = self.limits.bytes_max;
                let expected = format_args!("at most {max} bytes of text in all (limit bytes_max)");
                return Err(ArgError::too_large("bytes_max", expected, "more"));
            }
        }
        Ok(())
    }

    /// Charges a string before it is copied.
    pub(super) fn string(&mut self, text: &str) -> Decoded<String> {
        self.bytes(text.len())?;
        Ok(text.to_owned())
    }

    /// Charges a byte list before it is built.
    pub(super) fn byte_list(&mut self, len: usize) -> Decoded<()> {
        if len > BYTE_LIST_BYTES_MAX {
            let expected = format_args!(
                "list<u8> of at most {BYTE_LIST_BYTES_MAX} bytes; for more, make it the only parameter \
                 (raw body) or use unblock:task/body"
            );
            let found = format_args!("{len} bytes or more");
            return Err(ArgError::too_large("byte_list_bytes_max", expected, found));
        }
        self.elements(len)
    }

    pub(super) fn depth_max(&self) -> usize {
        self.limits.depth_max
    }
}
