//! What a server says to whoever watches it. One whose terminal or pipe is gone goes on serving, and ends as it should: what
//! is not heard is not missed.

use core::fmt::Display;
use std::io::Write;

/// A line of what was asked for.
pub fn line(text: impl Display) {
    writeln!(std::io::stdout(), "{text}").unwrap_or_default();
}

/// A line beside it.
pub fn aside(text: impl Display) {
    writeln!(std::io::stderr(), "cairn: {text}").unwrap_or_default();
}
