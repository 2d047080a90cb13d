//! What the figures of the control plane and of the iptables rules should stay below.

use crate::figures::{Bound, Figure};

/// One promise.
pub(crate) struct Target {
    /// The row.
    what: &'static str,
    /// The size of the cluster that it names; any, if it names none.
    size: Option<&'static str>,
    below: f64,
    unit: &'static str,
}

/// Of the control plane.
pub(crate) const CONTROL_PLANE: [Target; 10] = [
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

/// Of the iptables rules.
pub(crate) const IPTABLES: [Target; 6] = [
    target(
        "IPv4: all rules, as a full restore text",
        Some("10000"),
        500.0,
        "ms",
    ),
    target(
        "IPv6: all rules, as a full restore text",
        Some("10000"),
        500.0,
        "ms",
    ),
    target(
        "IPv4: one endpoint changed, as a partial restore text",
        None,
        1.0,
        "ms",
    ),
    target(
        "IPv6: one endpoint changed, as a partial restore text",
        None,
        1.0,
        "ms",
    ),
    target(
        "IPv4: one Service added, as a partial restore text",
        None,
        1.0,
        "ms",
    ),
    target(
        "IPv6: one Service added, as a partial restore text",
        None,
        1.0,
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
pub(crate) fn set(targets: &[Target], rows: &mut [Figure]) {
    for row in rows {
        let own = targets
            .iter()
            .find(|target| target.what == row.what && target.size.is_none_or(|size| size == row.size));
        row.target = own.map(|target| Bound::Below(target.below));
    }
}

/// A line for each target that has no row, whatever the size.
pub(crate) fn without_row(targets: &[Target], rows: &[Figure]) -> Vec<String> {
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
    targets.iter().filter(is_missing).map(line).collect()
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
        set(&CONTROL_PLANE, &mut rows);
        assert_eq!(
            rows.each_ref().map(|row| row.target),
            [None, Some(Bound::Below(2_000.0))]
        );
        let mut rows = ["1000", "10000"].map(|size| row("one endpoint changed", size));
        set(&CONTROL_PLANE, &mut rows);
        assert_eq!(
            rows.each_ref().map(|row| row.target),
            [Some(Bound::Below(5.0)); 2]
        );
    }

    #[test]
    fn all_rules_have_a_target_where_there_are_ten_thousand_services_and_one_change_has_one_anywhere() {
        let (all, one) = (
            "IPv6: all rules, as a full restore text",
            "IPv4: one Service added, as a partial restore text",
        );
        let mut rows = [row(all, "1000"), row(all, "10000"), row(one, "1000")];
        set(&IPTABLES, &mut rows);
        assert_eq!(
            rows.map(|row| row.target),
            [None, Some(Bound::Below(500.0)), Some(Bound::Below(1.0))]
        );
    }

    #[test]
    fn a_target_that_nothing_was_measured_for_is_named() {
        let lines = without_row(&CONTROL_PLANE, &[row("cold start", "10")]);
        assert_eq!(lines.len(), CONTROL_PLANE.len() - 1);
        assert_eq!(lines[0], "peak memory after it, with the target 100 MiB");
    }
}
