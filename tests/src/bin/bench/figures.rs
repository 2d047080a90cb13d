//! What was measured, and what it should be.

use serde::Serialize;

/// Everything of one run.
#[derive(Debug, Serialize)]
pub(crate) struct Figures {
    /// Of `uname`.
    pub(crate) kernel: String,
    /// Processors of the machine.
    pub(crate) cpus: usize,
    /// Rows, in the order in which they were measured.
    pub(crate) rows: Vec<Figure>,
    /// What could not be measured here, and why.
    pub(crate) skipped: Vec<String>,
}

/// One row.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub(crate) struct Figure {
    /// What was measured.
    pub(crate) what: String,
    /// In which size of cluster.
    pub(crate) size: String,
    /// The median.
    pub(crate) value: f64,
    /// The 99th percentile, where there are many.
    pub(crate) p99: Option<f64>,
    /// Of both.
    pub(crate) unit: &'static str,
    /// What the value should stay below.
    pub(crate) target: Option<f64>,
}

impl Figure {
    /// A row without target.
    pub(crate) fn new(what: &str, size: &str, value: f64, unit: &'static str) -> Self {
        Self {
            what: what.to_owned(),
            size: size.to_owned(),
            value,
            p99: None,
            unit,
            target: None,
        }
    }

    /// With the 99th percentile.
    pub(crate) fn with_p99(self, p99: Option<f64>) -> Self {
        Self { p99, ..self }
    }

    /// Whether there is a target and the value is not below it.
    pub(crate) fn is_missed(&self) -> bool {
        self.target.is_some_and(|target| self.value >= target)
    }
}
