//! How far a benchmark is.

use std::io::{self, IsTerminal as _, Write as _};

/// One line that replaces the one before, on a terminal; else a line of its own. An empty one at the end.
pub(crate) fn progress(text: &str) {
    if io::stderr().is_terminal() {
        eprint!("\r\x1b[K{text}");
        // A line that is not shown yet is no loss.
        let _ = io::stderr().flush();
    } else if !text.is_empty() {
        eprintln!("{text}");
    }
}
