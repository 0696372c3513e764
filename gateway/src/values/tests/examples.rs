//! Each row by example, the bounds, and the words of the messages.

use super::*;
