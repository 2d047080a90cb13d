//! Reads what a test binary prints: pure, line by line.

use std::collections::BTreeMap;

use crate::summary::Summary;

/// Lines of tests that cannot run on this machine begin so, followed by `<name>: <reason>`.
const SKIPPED: &str = "SKIPPED ";

/// What one test binary has printed so far.
pub(crate) struct TestOutput {
    binary: String,
    passed: usize,
    failed: usize,
    failures: Vec<String>,
    skips: BTreeMap<String, String>,
    ignored: usize,
    has_result: bool,
    in_successes: bool,
}

/// How a test binary ended.
pub(crate) enum Ending {
    /// By itself.
    Exited {
        /// With status 0.
        success: bool,
        /// The status in words.
        status: String,
    },
    /// Killed by us, for the reason given.
    Killed(String),
}

impl TestOutput {
    pub(crate) fn new(binary: &str) -> Self {
        Self {
            binary: binary.to_owned(),
            passed: 0,
            failed: 0,
            failures: Vec::new(),
            skips: BTreeMap::new(),
            ignored: 0,
            has_result: false,
            in_successes: false,
        }
    }

    /// Takes in a line; says whether it is worth showing: the output of tests that passed is not.
    pub(crate) fn line(&mut self, line: &str) -> bool {
        if let Some((name, reason)) = skip(line) {
            return self.skips.insert(name.to_owned(), reason.to_owned()).is_none();
        }
        if let Some([passed, failed, ignored]) = result(line) {
            self.passed += passed;
            self.failed += failed;
            self.ignored += ignored;
            self.has_result = true;
            self.in_successes = false;
            return true;
        }
        if !self.in_successes {
            self.test_line(line);
        }
        match line {
            "successes:" => self.in_successes = true,
            "failures:" => self.in_successes = false,
            _ => {}
        }
        !self.in_successes && !line.is_empty()
    }

    fn test_line(&mut self, line: &str) {
        let Some((name, outcome)) = line
            .strip_prefix("test ")
            .and_then(|rest| rest.rsplit_once(" ... "))
        else {
            return;
        };
        if outcome == "FAILED" {
            self.failures.push(name.to_owned());
        } else if let Some(reason) = outcome.strip_prefix("ignored") {
            let reason = reason.trim_start_matches([',', ' ']);
            let reason = if reason.is_empty() {
                "marked #[ignore]"
            } else {
                reason
            };
            self.skips.insert(name.to_owned(), reason.to_owned());
            self.ignored = self.ignored.saturating_sub(1);
            self.passed += 1;
        }
    }

    /// The counts. A test that printed `SKIPPED` has not passed, whatever the test harness says.
    pub(crate) fn finish(mut self, ending: Ending) -> Summary {
        self.judge(ending);
        let mut summary = Summary {
            passed: self.passed.saturating_sub(self.skips.len()),
            ..Summary::default()
        };
        for failure in &self.failures {
            summary.fail(format!("{}: {failure}", self.binary));
        }
        for (name, reason) in &self.skips {
            summary.skip(format!("{}: {name}: {reason}", self.binary));
        }
        summary
    }

    fn judge(&mut self, ending: Ending) {
        let unnamed = self.failed.saturating_sub(self.failures.len());
        self.failures
            .extend((0..unnamed).map(|_| "a test whose name got lost in its output".to_owned()));
        match ending {
            Ending::Killed(reason) => self.failures.push(reason),
            Ending::Exited { success: true, .. } if self.has_result => {}
            // A test without Rust's test harness: its exit status is its result.
            Ending::Exited { success: true, .. } => self.passed += 1,
            Ending::Exited { status, .. } if self.failures.is_empty() => {
                self.failures
                    .push(format!("ended with {status} before it gave a result"));
            }
            Ending::Exited { .. } => {}
        }
    }
}

/// Name and reason of `SKIPPED name: reason`, which may follow the name of a test that is still running.
fn skip(line: &str) -> Option<(&str, &str)> {
    let rest = match line.strip_prefix(SKIPPED) {
        Some(rest) => rest,
        None => line
            .strip_prefix("test ")?
            .split_once(" ... ")?
            .1
            .strip_prefix(SKIPPED)?,
    };
    Some(rest.split_once(": ").unwrap_or((rest, "no reason given")))
}

/// Passed, failed and ignored of `test result: ok. 24 passed; 0 failed; 0 ignored; …`.
fn result(line: &str) -> Option<[usize; 3]> {
    let counts = line.strip_prefix("test result: ")?.split_once(". ")?.1;
    let count = |what: &str| {
        let mut parts = counts.split(';').map(str::trim);
        parts.find_map(|part| part.strip_suffix(what)?.trim().parse().ok())
    };
    Some([count("passed")?, count("failed")?, count("ignored")?])
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str, ending: Ending) -> Summary {
        let mut output = TestOutput::new("agent");
        for line in text.lines() {
            output.line(line);
        }
        output.finish(ending)
    }

    fn success() -> Ending {
        Ending::Exited {
            success: true,
            status: "exit status: 0".to_owned(),
        }
    }

    fn failure() -> Ending {
        Ending::Exited {
            success: false,
            status: "exit status: 101".to_owned(),
        }
    }

    #[test]
    fn passed_and_failed_tests_are_counted_and_failures_named() {
        let text = "running 3 tests\ntest a::works ... ok\ntest b::breaks ... FAILED\ntest c ... ok\n\n\
                    failures:\n    b::breaks\n\n\
                    test result: FAILED. 2 passed; 1 failed; 0 ignored; 0 measured; 0 filtered out; finished in 0.17s";
        let summary = read(text, failure());
        assert_eq!(summary.passed, 2);
        assert_eq!(summary.failed, ["agent: b::breaks"]);
        assert!(summary.skipped.is_empty());
    }

    #[test]
    fn a_test_that_says_skipped_has_not_passed() {
        let text = "SKIPPED c: needs root\ntest c ... ok\n\
                    test result: ok. 2 passed; 0 failed; 0 ignored; 0 measured; 0 filtered out; finished in 0.1s";
        let summary = read(text, success());
        assert_eq!(
            (summary.passed, summary.skipped),
            (1, vec!["agent: c: needs root".to_owned()])
        );
    }

    #[test]
    fn a_skip_is_counted_once_however_often_it_is_printed() {
        let text = "test c ... SKIPPED c: needs root\nok\n\nsuccesses:\n\n---- c stdout ----\nSKIPPED c: needs root\n\n\
                    test result: ok. 1 passed; 0 failed; 0 ignored; 0 measured; 0 filtered out; finished in 0.1s";
        let summary = read(text, success());
        assert_eq!((summary.passed, summary.skipped.len()), (0, 1));
    }

    #[test]
    fn ignored_tests_are_skipped_with_their_reason() {
        let text = "test a ... ignored\ntest b ... ignored, needs a GPU\n\
                    test result: ok. 0 passed; 0 failed; 2 ignored; 0 measured; 0 filtered out; finished in 0.1s";
        let summary = read(text, success());
        assert_eq!(summary.passed, 0);
        assert_eq!(
            summary.skipped,
            ["agent: a: marked #[ignore]", "agent: b: needs a GPU"]
        );
    }

    #[test]
    fn the_results_of_several_crates_documentation_are_added() {
        let line =
            "test result: ok. 2 passed; 0 failed; 0 ignored; 0 measured; 0 filtered out; finished in 0.1s\n";
        assert_eq!(read(&line.repeat(3), success()).passed, 6);
    }

    #[test]
    fn a_binary_that_crashes_has_failed() {
        let summary = read("running 3 tests\ntest a ... ok", failure());
        assert_eq!(
            summary.failed,
            ["agent: ended with exit status: 101 before it gave a result"]
        );
    }

    #[test]
    fn a_binary_that_hangs_has_failed() {
        let summary = read(
            "running 3 tests\ntest a ... ok",
            Ending::Killed("took too long".to_owned()),
        );
        assert_eq!(summary.failed, ["agent: took too long"]);
    }

    #[test]
    fn a_failure_without_a_readable_name_counts_too() {
        let text = "test result: FAILED. 1 passed; 2 failed; 0 ignored; 0 measured; 0 filtered out; finished in 0.1s";
        assert_eq!(read(text, failure()).failed.len(), 2);
    }

    #[test]
    fn a_test_without_a_harness_passes_by_its_exit_status() {
        assert_eq!(read("all good", success()).passed, 1);
        assert_eq!(read("all bad", failure()).failed.len(), 1);
    }

    #[test]
    fn the_output_of_passed_tests_is_not_shown() {
        let mut output = TestOutput::new("agent");
        let shown = |output: &mut TestOutput, line| output.line(line);
        assert!(shown(&mut output, "test a ... ok"));
        assert!(!shown(&mut output, "successes:"));
        assert!(!shown(&mut output, "chatter"));
        assert!(shown(&mut output, "failures:"));
        assert!(shown(&mut output, "panicked at"));
    }
}
