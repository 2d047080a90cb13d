//! What Prometheus is told, under kube-proxy's names where it has one.
//!
//! Whoever knows a number tells [`Metrics`]; [`serve`] answers with all of them. `docs/metrics.md` explains each.

use std::{
    sync::{Arc, atomic::Ordering},
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use prometheus_client::{encoding::text, metrics::counter::Counter, registry::Registry};

use self::series::{Labels, Series};
use crate::model::ObjectKind;

mod series;
mod server;

pub use server::serve;

/// Every series of the agent. Clones count into the same ones.
#[derive(Clone, Debug)]
pub struct Metrics(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    registry: Registry,
    series: Series,
}

impl Default for Metrics {
    fn default() -> Self {
        let mut registry = Registry::default();
        let series = Series::default();
        series.register(&mut registry);
        Self(Arc::new(Inner { registry, series }))
    }
}

impl Metrics {
    /// A version of an object of `kind` could not be used.
    pub fn object_error(&self, kind: ObjectKind) {
        self.series().object_errors.get_or_create(&of_kind(kind)).inc();
    }

    /// So many objects of `kind` are malformed at present.
    pub fn set_malformed(&self, kind: ObjectKind, objects: usize) {
        let gauge = self.series().objects_malformed.get_or_create(&of_kind(kind));
        gauge.set(signed(objects));
    }

    /// So many documents below `--manifests` cannot be used at present.
    pub fn set_malformed_documents(&self, documents: usize) {
        self.series().manifest_documents_malformed.set(signed(documents));
    }

    /// So many Services have weights at present that cannot be used.
    pub fn set_malformed_weights(&self, services: usize) {
        self.series().weights_malformed.set(signed(services));
    }

    /// A list or watch of `kind` failed.
    pub fn watch_error(&self, kind: ObjectKind) {
        self.series().watch_errors.get_or_create(&of_kind(kind)).inc();
    }

    /// So many frontends are not served at present, or not in all they ask for, for this reason.
    pub fn set_unserved(&self, reason: &str, frontends: usize) {
        let gauge = self
            .series()
            .frontends_unserved
            .get_or_create(&label("reason", reason));
        gauge.set(signed(frontends));
    }

    /// So many entries are in this map at present, and it has room for so many.
    pub fn set_map(&self, name: &str, entries: usize, size: u32) {
        let (series, of_map) = (self.series(), label("map", name));
        series.map_entries.get_or_create(&of_map).set(signed(entries));
        series.map_size.get_or_create(&of_map).set(size.into());
    }

    /// So many iptables rules are in this table at present, of which so many were written the last time.
    pub fn set_rules(&self, table: &str, rules: usize, last: usize) {
        let (series, of_table) = (self.series(), label("table", table));
        series.rules.get_or_create(&of_table).set(signed(rules));
        series.rules_last.get_or_create(&of_table).set(signed(last));
    }

    /// So often iptables rules could not be written since the start, and so often of that changes alone.
    pub fn set_restore_failures(&self, all: u64, partial: u64) {
        let series = self.series();
        set(&series.restore_failures, all);
        set(&series.partial_restore_failures, partial);
    }

    /// So many packets were dropped by iptables rules since they were made because they belong to no connection, and so many accepted
    /// at a node port of a loopback address.
    pub fn set_counted(&self, dropped_invalid: u64, accepted_localhost: u64) {
        let series = self.series();
        set(&series.dropped_invalid, dropped_invalid);
        set(&series.accepted_localhost, accepted_localhost);
    }

    /// So many claims to frontends went to another Service port at present.
    pub fn set_refused(&self, claims: usize) {
        self.series().frontends_refused.set(signed(claims));
    }

    /// A pass over all Services (`is_full`), or over what had changed, took this long, whether it succeeded or not.
    pub fn sync_ended(&self, is_full: bool, took: Duration) {
        let Series {
            sync,
            sync_full,
            sync_partial,
            ..
        } = self.series();
        let of_its_kind = if is_full { sync_full } else { sync_partial };
        for histogram in [sync, of_its_kind] {
            histogram.observe(took.as_secs_f64());
        }
    }

    /// A pass over the Services succeeded at this time.
    pub fn sync_succeeded(&self, at: SystemTime) {
        let since_1970 = at.duration_since(UNIX_EPOCH).unwrap_or_default();
        self.series().sync_last.set(since_1970.as_secs_f64());
    }

    /// A pass over the Services or the node failed.
    pub fn sync_failed(&self) {
        self.series().sync_failures.inc();
    }

    /// So many entries of maps were not as they had been written, and are written anew.
    pub fn entries_repaired(&self, entries: usize) {
        let entries = u64::try_from(entries).unwrap_or(u64::MAX);
        self.series().map_entries_repaired.inc_by(entries);
    }

    /// All series in the OpenMetrics text format, in which the names of counters end in `_total`.
    #[must_use]
    pub fn encode(&self) -> String {
        let mut text = String::new();
        // Writing to a String cannot fail.
        let _ = text::encode(&mut text, &self.0.registry);
        text
    }

    fn series(&self) -> &Series {
        &self.0.series
    }
}

fn of_kind(kind: ObjectKind) -> Labels {
    label("kind", &kind.to_string())
}

fn label(name: &'static str, value: &str) -> Labels {
    [(name, value.to_owned())]
}

/// Of what somebody else counts.
fn set(counter: &Counter, count: u64) {
    counter.inner().store(count, Ordering::Relaxed);
}

fn signed(count: usize) -> i64 {
    i64::try_from(count).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[track_caller]
    fn assert_has(metrics: &Metrics, expected: &[&str]) {
        let text = metrics.encode();
        let lines: BTreeSet<&str> = text.lines().collect();
        for line in expected {
            assert!(lines.contains(line), "no line {line:?} in\n{text}");
        }
    }

    #[test]
    fn what_was_told_is_in_the_text_under_its_name() {
        let metrics = Metrics::default();
        let clone = metrics.clone();
        clone.object_error(ObjectKind::Service);
        clone.set_malformed(ObjectKind::Service, 3);
        clone.set_malformed_documents(2);
        clone.set_malformed_weights(4);
        clone.watch_error(ObjectKind::Node);
        clone.set_refused(6);
        clone.sync_failed();
        clone.entries_repaired(5);
        assert_has(
            &metrics,
            &[
                "kubeportal_object_errors_total{kind=\"Service\"} 1",
                "kubeportal_objects_malformed{kind=\"Service\"} 3",
                "kubeportal_manifest_documents_malformed 2",
                "kubeportal_weights_malformed 4",
                "kubeportal_watch_errors_total{kind=\"Node\"} 1",
                "kubeportal_frontends_refused 6",
                "kubeportal_sync_failures_total 1",
                "kubeportal_map_entries_repaired_total 5",
            ],
        );
    }

    #[test]
    fn what_has_not_happened_yet_is_zero_so_that_its_first_time_is_an_increase() {
        assert_has(
            &Metrics::default(),
            &[
                "kubeportal_object_errors_total{kind=\"EndpointSlice\"} 0",
                "kubeportal_objects_malformed{kind=\"Node\"} 0",
                "kubeportal_watch_errors_total{kind=\"ServiceCIDR\"} 0",
                "kubeportal_sync_failures_total 0",
            ],
        );
    }

    #[test]
    fn a_pass_counts_once_in_all_and_once_among_its_kind() {
        let metrics = Metrics::default();
        metrics.sync_ended(true, Duration::from_millis(3));
        metrics.sync_ended(false, Duration::from_micros(500));
        metrics.sync_succeeded(UNIX_EPOCH + Duration::from_millis(1_700_000_000_250));
        assert_has(
            &metrics,
            &[
                "kubeproxy_sync_proxy_rules_duration_seconds_count 2",
                "kubeproxy_sync_full_proxy_rules_duration_seconds_count 1",
                "kubeproxy_sync_full_proxy_rules_duration_seconds_bucket{le=\"0.002\"} 0",
                "kubeproxy_sync_full_proxy_rules_duration_seconds_bucket{le=\"0.004\"} 1",
                "kubeproxy_sync_partial_proxy_rules_duration_seconds_bucket{le=\"0.001\"} 1",
                "kubeproxy_sync_partial_proxy_rules_duration_seconds_bucket{le=\"16.384\"} 1",
                "kubeproxy_sync_proxy_rules_last_timestamp_seconds 1700000000.25",
            ],
        );
    }

    #[test]
    fn what_is_not_served_and_how_full_maps_are_is_told_as_it_is_at_present() {
        let metrics = Metrics::default();
        metrics.set_unserved("source-ranges", 1);
        for (sctp, entries) in [(4, 7), (0, 8)] {
            metrics.set_unserved("sctp", sctp);
            metrics.set_map("SERVICES", entries, 9);
        }
        assert_has(
            &metrics,
            &[
                "kubeportal_frontends_unserved{reason=\"sctp\"} 0",
                "kubeportal_frontends_unserved{reason=\"source-ranges\"} 1",
                "kubeportal_map_entries{map=\"SERVICES\"} 8",
                "kubeportal_map_size{map=\"SERVICES\"} 9",
            ],
        );
    }
}
