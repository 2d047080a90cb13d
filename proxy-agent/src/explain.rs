//! Errors in one line.

/// An error and its causes, each said once: the libraries' errors often repeat their cause in their own text.
#[must_use]
pub fn explain(error: &anyhow::Error) -> String {
    let mut text = String::new();
    for cause in error.chain().map(ToString::to_string) {
        if !text.contains(&cause) {
            text = if text.is_empty() {
                cause
            } else {
                format!("{text}: {cause}")
            };
        }
    }
    text
}

/// What has been warned of, so that it is said once, however often it is tried again.
#[derive(Debug, Default)]
pub(crate) struct Complaint(Option<String>);

impl Complaint {
    /// Warns of a failure that is another than the last one.
    pub(crate) fn about(&mut self, result: anyhow::Result<()>) {
        let why = result.err().map(|error| explain(&error));
        if let Some(why) = why.as_ref().filter(|_| self.0 != why) {
            tracing::warn!("{why}");
        }
        self.0 = why;
    }
}

#[cfg(test)]
mod tests {
    use super::explain;
    use anyhow::anyhow;

    #[test]
    fn a_cause_that_its_error_has_told_is_not_told_again() {
        let error = anyhow!("no such file")
            .context("cannot read a.yaml: no such file")
            .context("the source has ended");
        assert_eq!(
            explain(&error),
            "the source has ended: cannot read a.yaml: no such file"
        );
    }
}
