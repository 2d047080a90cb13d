//! What the figures of the control plane should stay below.

use crate::figures::{Bound, Figure};

/// One promise.
struct Target {
    /// The row.
    what: &'static str,
    /// The size of the cluster that it names; any, if it names none.
    size: Option<&'static str>,
    below: f64,
    unit: &'static str,
}

/// All of them.
const TARGETS: [Target; 10] = [
    target("cold start", Some("10000"), 2_000.0, "ms"),
    target("peak memory after it", Some("10000"), 100.0, "MiB"),
    target("one endpoint changed", None, 5.0, "ms"),
    target("one Service added", None, 5.0, "ms"),
    target("one endpoint changed: ratio", None, 1.5, ""),
    target("one Service added: ratio", None, 1.5, ""),
    target("agent: process start to maps complete", Some("10000"), 3.0, "s"),
    target("agent: peak memory", Some("10000"), 100.0, "MiB"),
    target("API: answer to the write until map written", None, 10.0, "ms"),
    target(
        "API: the same beside 10 changes a second, from the answer",
        None,
        70.0,
        "ms",
    ),
];

const fn target(what: &'static str, size: Option<&'static str>, below: f64, unit: &'static str) -> Target {
    Target {
        what,
        size,
        below,
        unit,
    }
}

/// Gives each row its target.
pub(crate) fn set(rows: &mut [Figure]) {
    for row in rows {
        let own = TARGETS
            .iter()
            .find(|target| target.what == row.what && target.size.is_none_or(|size| size == row.size));
        row.target = own.map(|target| Bound::Below(target.below));
    }
}

/// A line for each target that has no row, whatever the size.
pub(crate) fn without_row(rows: &[Figure]) -> Vec<String> {
    let is_missing = |target: &&Target| {
        !rows
            .iter()
            .any(|row| row.what == target.what && row.unit == target.unit)
    };
    let line = |target: &Target| {
        format!(
            "{}, with the target {} {}",
            target.what, target.below, target.unit
        )
    };
    TARGETS.iter().filter(is_missing).map(line).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(what: &str, size: &str) -> Figure {
        Figure::new(what, size, 1.0, "ms")
    }

    #[test]
    fn a_target_is_for_the_size_that_it_names_or_for_any() {
        let mut rows = ["1000", "10000"].map(|size| row("cold start", size));
        set(&mut rows);
        assert_eq!(
            rows.each_ref().map(|row| row.target),
            [None, Some(Bound::Below(2_000.0))]
        );
        let mut rows = ["1000", "10000"].map(|size| row("one endpoint changed", size));
        set(&mut rows);
        assert_eq!(
            rows.each_ref().map(|row| row.target),
            [Some(Bound::Below(5.0)); 2]
        );
    }

    #[test]
    fn a_target_that_nothing_was_measured_for_is_named() {
        let lines = without_row(&[row("cold start", "10")]);
        assert_eq!(lines.len(), TARGETS.len() - 1);
        assert_eq!(lines[0], "peak memory after it, with the target 100 MiB");
    }
}
