//! What was measured, and what it should be.

use std::fmt;

use anyhow::Result;
use serde::{Deserialize, Serialize};

use crate::stats::median;

/// Everything of one run.
#[derive(Debug, Deserialize, Serialize)]
pub(crate) struct Figures {
    /// Of `uname`.
    pub(crate) kernel: String,
    /// Processors of the machine.
    pub(crate) cpus: usize,
    /// What one has to know about the run to read them.
    #[serde(default)]
    pub(crate) notes: Vec<String>,
    /// Rows, in the order in which they were measured.
    pub(crate) rows: Vec<Figure>,
    /// What could not be measured here, and why.
    pub(crate) skipped: Vec<String>,
}

/// One row.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize)]
pub(crate) struct Figure {
    /// What was measured.
    pub(crate) what: String,
    /// With which proxy, where there are several.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) proxy: Option<String>,
    /// In which size of cluster.
    pub(crate) size: String,
    /// The median.
    pub(crate) value: f64,
    /// The 99th percentile, where there are many.
    pub(crate) p99: Option<f64>,
    /// The lowest and the highest, where there are few.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) range: Option<[f64; 2]>,
    /// Of all of them.
    pub(crate) unit: String,
    /// What the value should be.
    pub(crate) target: Option<Bound>,
}

/// What is promised.
#[derive(Clone, Copy, Debug, PartialEq, Deserialize, Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Bound {
    /// Less than this.
    Below(f64),
    /// This or less.
    AtMost(f64),
    /// This or more.
    AtLeast(f64),
}

impl Figures {
    /// Those of a run on this machine.
    pub(crate) fn of_this_machine(rows: Vec<Figure>, skipped: Vec<String>) -> Result<Self> {
        Ok(Self {
            kernel: nix::sys::utsname::uname()?
                .release()
                .to_string_lossy()
                .into_owned(),
            cpus: std::thread::available_parallelism()?.get(),
            notes: Vec::new(),
            rows,
            skipped,
        })
    }
}

impl Figure {
    /// A row without target.
    pub(crate) fn new(what: &str, size: &str, value: f64, unit: &str) -> Self {
        Self {
            what: what.to_owned(),
            proxy: None,
            size: size.to_owned(),
            value,
            p99: None,
            range: None,
            unit: unit.to_owned(),
            target: None,
        }
    }

    /// A row without target, of one value a round; `None` without any.
    pub(crate) fn of_rounds(what: &str, size: &str, values: &[f64], unit: &str) -> Option<Self> {
        let lowest = values.iter().copied().min_by(f64::total_cmp)?;
        let highest = values.iter().copied().max_by(f64::total_cmp)?;
        Some(Self {
            range: Some([lowest, highest]),
            ..Self::new(what, size, median(values)?, unit)
        })
    }

    /// With the 99th percentile.
    pub(crate) fn with_p99(self, p99: Option<f64>) -> Self {
        Self { p99, ..self }
    }

    /// Of one proxy.
    pub(crate) fn of(self, proxy: &str) -> Self {
        Self {
            proxy: Some(proxy.to_owned()),
            ..self
        }
    }

    /// Whether there is a target that the value does not meet.
    pub(crate) fn is_missed(&self) -> bool {
        self.target.is_some_and(|target| !target.is_met_by(self.value))
    }
}

impl Bound {
    fn is_met_by(self, value: f64) -> bool {
        match self {
            Self::Below(limit) => value < limit,
            Self::AtMost(limit) => value <= limit,
            Self::AtLeast(limit) => value >= limit,
        }
    }

    /// As in `< 5`.
    pub(crate) fn sign(self) -> String {
        match self {
            Self::Below(limit) => format!("< {limit}"),
            Self::AtMost(limit) => format!("≤ {limit}"),
            Self::AtLeast(limit) => format!("≥ {limit}"),
        }
    }
}

impl fmt::Display for Bound {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Below(limit) => write!(f, "below {limit}"),
            Self::AtMost(limit) => write!(f, "at most {limit}"),
            Self::AtLeast(limit) => write!(f, "at least {limit}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::Bound;

    #[test]
    fn a_bound_itself_is_not_below_it_but_at_most_and_at_least_it() {
        let met = |bound: Bound| [0.9, 1.0, 1.1].map(|value| bound.is_met_by(value));
        assert_eq!(met(Bound::Below(1.0)), [true, false, false]);
        assert_eq!(met(Bound::AtMost(1.0)), [true, true, false]);
        assert_eq!(met(Bound::AtLeast(1.0)), [false, true, true]);
    }
}
