//! Colours, where a human looks at a terminal.

use std::{
    env,
    io::{IsTerminal as _, stderr, stdout},
};

/// A heading.
pub(crate) fn heading(text: &str) -> String {
    escape("1", text, stdout().is_terminal())
}

/// Something good.
pub(crate) fn green(text: &str) -> String {
    escape("32", text, stdout().is_terminal())
}

/// Something bad.
pub(crate) fn red(text: &str) -> String {
    escape("31", text, stdout().is_terminal())
}

/// Something to read when there is time.
pub(crate) fn dim(text: &str) -> String {
    escape("2", text, stdout().is_terminal())
}

/// Something bad on standard error.
pub(crate) fn stderr_red(text: &str) -> String {
    escape("31", text, stderr().is_terminal())
}

fn escape(code: &str, text: &str, terminal: bool) -> String {
    // https://no-color.org
    if terminal && env::var_os("NO_COLOR").is_none() {
        format!("\x1b[{code}m{text}\x1b[0m")
    } else {
        text.to_owned()
    }
}
