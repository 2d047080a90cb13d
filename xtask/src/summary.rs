//! Counts what passed, failed and was skipped, and says so at the end.

use std::process::ExitCode;

use anyhow::Result;

use crate::exec::{bold, red};

/// What came out of a number of checks.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Summary {
    pub(crate) passed: usize,
    /// Each with what failed and why.
    pub(crate) failed: Vec<String>,
    /// Each with what was skipped and why.
    pub(crate) skipped: Vec<String>,
}

impl Summary {
    pub(crate) fn fail(&mut self, what: impl Into<String>) {
        self.failed.push(what.into());
    }

    pub(crate) fn skip(&mut self, what: impl Into<String>) {
        self.skipped.push(what.into());
    }

    /// Counts one check.
    pub(crate) fn add(&mut self, name: &str, outcome: Result<()>) {
        match outcome {
            Ok(()) => self.passed += 1,
            Err(error) => {
                eprintln!("{} {name}: {error:#}", red("failed:"));
                self.fail(format!("{name}: {error:#}"));
            }
        }
    }

    pub(crate) fn merge(&mut self, other: Self) {
        self.passed += other.passed;
        self.failed.extend(other.failed);
        self.skipped.extend(other.skipped);
    }

    /// Prints the failures and the skips with their reasons, then the counts, as the last line.
    pub(crate) fn close(self) -> ExitCode {
        eprintln!();
        for skipped in &self.skipped {
            println!("{} {skipped}", bold("skipped:"));
        }
        for failed in &self.failed {
            println!("{} {failed}", red("failed:"));
        }
        println!("{}", self.counts());
        if self.failed.is_empty() {
            ExitCode::SUCCESS
        } else {
            ExitCode::FAILURE
        }
    }

    fn counts(&self) -> String {
        format!(
            "{} passed, {} failed, {} skipped",
            self.passed,
            self.failed.len(),
            self.skipped.len()
        )
    }
}

#[cfg(test)]
mod tests {
    use anyhow::anyhow;

    use super::*;

    #[test]
    fn the_closing_line_counts_everything_that_was_merged() {
        let mut summary = Summary {
            passed: 3,
            ..Summary::default()
        };
        summary.add("good", Ok(()));
        summary.add("bad", Err(anyhow!("broken")));
        let mut other = Summary::default();
        other.skip("kernel tests: need root");
        summary.merge(other);
        assert_eq!(summary.counts(), "4 passed, 1 failed, 1 skipped");
        assert_eq!(summary.failed, ["bad: broken"]);
    }

    #[test]
    fn only_failures_make_the_command_fail() {
        let mut summary = Summary::default();
        summary.skip("x: y");
        assert_eq!(summary.close(), ExitCode::SUCCESS);
        let mut summary = Summary::default();
        summary.fail("x: y");
        assert_eq!(summary.close(), ExitCode::FAILURE);
    }
}
