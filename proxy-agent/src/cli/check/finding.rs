//! What a check has found, as a line.

use std::fmt;

use serde::Serialize;

/// How bad it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum State {
    /// As it should be.
    Ok,
    /// It may be meant so.
    Warning,
    /// Connections to Services fail.
    Failed,
}

/// A line of the report.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(super) struct Finding {
    /// What was looked at.
    pub(super) check: &'static str,
    /// How bad it is.
    pub(super) state: State,
    /// What there is, and why.
    pub(super) finding: String,
    /// What to do about it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) remedy: Option<String>,
}

impl Finding {
    /// All is well.
    pub(super) fn ok(check: &'static str, finding: impl Into<String>) -> Self {
        Self::new(check, State::Ok, finding.into(), None)
    }

    /// It may be meant so.
    pub(super) fn warning(
        check: &'static str,
        finding: impl Into<String>,
        remedy: impl Into<String>,
    ) -> Self {
        Self::new(check, State::Warning, finding.into(), Some(remedy.into()))
    }

    /// Something fails.
    pub(super) fn failed(check: &'static str, finding: impl Into<String>, remedy: impl Into<String>) -> Self {
        Self::new(check, State::Failed, finding.into(), Some(remedy.into()))
    }

    const fn new(check: &'static str, state: State, finding: String, remedy: Option<String>) -> Self {
        Self {
            check,
            state,
            finding,
            remedy,
        }
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let state = match self.state {
            State::Ok => "ok",
            State::Warning => "warning",
            State::Failed => "failed",
        };
        write!(f, "{state:<8}{}: {}", self.check, self.finding)?;
        match &self.remedy {
            Some(remedy) => write!(f, "; {remedy}"),
            None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::Finding;

    #[test]
    fn a_line_has_the_state_first_and_the_remedy_last() {
        let fine = Finding::ok("kernel", "Linux 6.18").to_string();
        assert_eq!(fine, "ok      kernel: Linux 6.18");
        let bad = Finding::failed("links", "none", "start it").to_string();
        assert_eq!(bad, "failed  links: none; start it");
    }
}
