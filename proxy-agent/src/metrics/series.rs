//! The series, their names, and what each says.

use std::sync::atomic::AtomicU64;

use prometheus_client::{
    metrics::{
        counter::Counter,
        family::Family,
        gauge::Gauge,
        histogram::{Histogram, exponential_buckets},
    },
    registry::{Metric, Registry},
};

use crate::model::ObjectKind;

/// One label and its value.
pub(super) type Labels = [(&'static str, String); 1];

#[derive(Debug)]
pub(super) struct Series {
    pub(super) objects_malformed: Family<Labels, Gauge>,
    pub(super) object_errors: Family<Labels, Counter>,
    pub(super) manifest_documents_malformed: Gauge,
    pub(super) weights_malformed: Gauge,
    pub(super) watch_errors: Family<Labels, Counter>,
    pub(super) frontends_unserved: Family<Labels, Gauge>,
    pub(super) frontends_refused: Gauge,
    pub(super) map_entries: Family<Labels, Gauge>,
    pub(super) map_size: Family<Labels, Gauge>,
    pub(super) sync: Histogram,
    pub(super) sync_full: Histogram,
    pub(super) sync_partial: Histogram,
    pub(super) sync_last: Gauge<f64, AtomicU64>,
    pub(super) sync_failures: Counter,
    pub(super) map_entries_repaired: Counter,
    pub(super) rules: Family<Labels, Gauge>,
    pub(super) rules_last: Family<Labels, Gauge>,
    pub(super) restore_failures: Counter,
    pub(super) partial_restore_failures: Counter,
    pub(super) dropped_invalid: Counter,
    pub(super) accepted_localhost: Counter,
}

impl Default for Series {
    fn default() -> Self {
        let series = Self {
            objects_malformed: Family::default(),
            object_errors: Family::default(),
            manifest_documents_malformed: Gauge::default(),
            weights_malformed: Gauge::default(),
            watch_errors: Family::default(),
            frontends_unserved: Family::default(),
            frontends_refused: Gauge::default(),
            map_entries: Family::default(),
            map_size: Family::default(),
            sync: durations(),
            sync_full: durations(),
            sync_partial: durations(),
            sync_last: Gauge::default(),
            sync_failures: Counter::default(),
            map_entries_repaired: Counter::default(),
            rules: Family::default(),
            rules_last: Family::default(),
            restore_failures: Counter::default(),
            partial_restore_failures: Counter::default(),
            dropped_invalid: Counter::default(),
            accepted_localhost: Counter::default(),
        };
        series.begin();
        series
    }
}

impl Series {
    /// Counters are there from the start, so that a first error is seen as an increase.
    fn begin(&self) {
        for kind in ObjectKind::ALL {
            let labels = [("kind", kind.to_string())];
            drop(self.objects_malformed.get_or_create(&labels));
            drop(self.object_errors.get_or_create(&labels));
            drop(self.watch_errors.get_or_create(&labels));
        }
    }

    pub(super) fn register(&self, registry: &mut Registry) {
        self.register_sources(registry);
        self.register_dataplane(registry);
        self.register_sync(registry);
        self.register_rules(registry);
        self.register_counted(registry);
    }

    fn register_sources(&self, registry: &mut Registry) {
        add(
            registry,
            "kubeportal_objects_malformed",
            "Objects whose present version cannot be used: the last good one, if any, is served",
            &self.objects_malformed,
        );
        add(
            registry,
            "kubeportal_object_errors",
            "Versions of objects that could not be used",
            &self.object_errors,
        );
        add(
            registry,
            "kubeportal_manifest_documents_malformed",
            "Documents and files below --manifests that cannot be used",
            &self.manifest_documents_malformed,
        );
        add(
            registry,
            "kubeportal_weights_malformed",
            "Services whose weights annotation cannot be used: their endpoints have equal shares",
            &self.weights_malformed,
        );
        add(
            registry,
            "kubeportal_watch_errors",
            "Lists and watches of the API server that failed",
            &self.watch_errors,
        );
    }

    fn register_dataplane(&self, registry: &mut Registry) {
        add(
            registry,
            "kubeportal_frontends_unserved",
            "Addresses and ports of Services that are not served, or not in all they ask for",
            &self.frontends_unserved,
        );
        add(
            registry,
            "kubeportal_frontends_refused",
            "Claims to an address and port that belongs to another Service port",
            &self.frontends_refused,
        );
        add(
            registry,
            "kubeportal_map_entries",
            "Entries in a BPF map",
            &self.map_entries,
        );
        add(
            registry,
            "kubeportal_map_size",
            "Entries that a BPF map has room for",
            &self.map_size,
        );
        add(
            registry,
            "kubeportal_map_entries_repaired",
            "Map entries that somebody else had changed and that are written anew",
            &self.map_entries_repaired,
        );
    }

    fn register_sync(&self, registry: &mut Registry) {
        add(
            registry,
            "kubeproxy_sync_proxy_rules_duration_seconds",
            "Time that a pass took",
            &self.sync,
        );
        add(
            registry,
            "kubeproxy_sync_full_proxy_rules_duration_seconds",
            "Time that a pass over everything took",
            &self.sync_full,
        );
        add(
            registry,
            "kubeproxy_sync_partial_proxy_rules_duration_seconds",
            "Time that a pass over what had changed took",
            &self.sync_partial,
        );
        add(
            registry,
            "kubeproxy_sync_proxy_rules_last_timestamp_seconds",
            "When the last pass succeeded, in seconds since 1970",
            &self.sync_last,
        );
        add(
            registry,
            "kubeportal_sync_failures",
            "Passes that failed",
            &self.sync_failures,
        );
    }

    /// The first is a gauge, though its name ends as counters' do: kube-proxy's is so.
    fn register_rules(&self, registry: &mut Registry) {
        add(
            registry,
            "kubeproxy_sync_proxy_rules_iptables_total",
            "iptables rules in the table",
            &self.rules,
        );
        add(
            registry,
            "kubeproxy_sync_proxy_rules_iptables_last",
            "iptables rules of the table that the last pass wrote",
            &self.rules_last,
        );
        add(
            registry,
            "kubeproxy_sync_proxy_rules_iptables_restore_failures",
            "Failures of iptables-restore",
            &self.restore_failures,
        );
        add(
            registry,
            "kubeproxy_sync_proxy_rules_iptables_partial_restore_failures",
            "Failures of iptables-restore to write what had changed, after which everything is written",
            &self.partial_restore_failures,
        );
    }

    fn register_counted(&self, registry: &mut Registry) {
        add(
            registry,
            "kubeproxy_iptables_ct_state_invalid_dropped_packets",
            "Packets that rules have dropped because they belong to no connection",
            &self.dropped_invalid,
        );
        add(
            registry,
            "kubeproxy_iptables_localhost_nodeports_accepted_packets",
            "Packets that rules have accepted at node ports of loopback addresses",
            &self.accepted_localhost,
        );
    }
}

/// A clone counts into the same series.
fn add(registry: &mut Registry, name: &str, help: &str, series: &(impl Metric + Clone)) {
    registry.register(name, help, series.clone());
}

/// kube-proxy's buckets: 1 ms, doubled 14 times.
fn durations() -> Histogram {
    Histogram::new(exponential_buckets(0.001, 2.0, 15))
}
