//! The thread that owns the dataplane.

use std::{
    sync::mpsc::{Receiver, RecvTimeoutError},
    time::{Duration, Instant, SystemTime},
};

use super::{Intervals, Pass, Schedule};
use crate::{
    dataplane::{Applied, ApplyError, Dataplane, MapUse, Status, iptables::Figures},
    explain::explain,
    metrics::Metrics,
    model::{Changes, Cluster, ClusterEvent, Delta, NodeContext, Plan},
    node::NodeFacts,
};

/// What the runner is told.
#[derive(Debug)]
pub enum Event {
    /// By a source.
    Cluster(ClusterEvent),
    /// By netlink.
    Node(NodeFacts),
}

/// A moment, by the clock that durations are measured with and by the one on the wall.
pub type Now = (Instant, SystemTime);

/// Owns the dataplane and everything that is known about the cluster.
pub struct Runner<D, C = fn() -> Now> {
    dataplane: D,
    cluster: Cluster,
    changes: Changes,
    plan: Plan,
    facts: Option<NodeFacts>,
    warned: Warned,
    services: Schedule,
    node: Schedule,
    /// When the kernel is looked at next, and how long after that again.
    drift: (Option<Instant>, Duration),
    /// So long after a pass over the node comes the next one.
    attached: Duration,
    metrics: Metrics,
    clock: C,
}

impl<D: Dataplane> Runner<D> {
    /// `intervals` are those between two passes over the Services.
    pub fn new(dataplane: D, context: NodeContext, intervals: Intervals, metrics: Metrics) -> Self {
        Self::with_clock(dataplane, context, intervals, metrics, || {
            (Instant::now(), SystemTime::now())
        })
    }
}

impl<D: Dataplane, C: Fn() -> Now> Runner<D, C> {
    /// As [`Runner::new`], by another clock than the machine's.
    pub fn with_clock(
        dataplane: D,
        context: NodeContext,
        intervals: Intervals,
        metrics: Metrics,
        clock: C,
    ) -> Self {
        Self {
            dataplane,
            cluster: Cluster::default(),
            changes: Changes::default(),
            plan: Plan::new(context),
            facts: None,
            warned: Warned::default(),
            services: Schedule::new(intervals),
            node: Schedule::new(Intervals {
                min: Duration::ZERO,
                ..intervals
            }),
            drift: (None, intervals.drift),
            attached: intervals.attached,
            metrics,
            clock,
        }
    }

    /// Runs until all senders are gone.
    pub fn run(mut self, events: &Receiver<Event>) {
        loop {
            match self.wait(events) {
                Ok(event) => self.note(event),
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => return,
            }
            // A burst is filed before a pass begins: its objects belong together.
            events.try_iter().for_each(|event| self.note(event));
            self.pass();
        }
    }

    fn wait(&self, events: &Receiver<Event>) -> Result<Event, RecvTimeoutError> {
        match self.next() {
            Some(due) => events.recv_timeout(due.saturating_duration_since(self.now())),
            None => events.recv().map_err(|_| RecvTimeoutError::Disconnected),
        }
    }

    fn now(&self) -> Instant {
        (self.clock)().0
    }

    /// When something is to be done, if nothing happens until then.
    fn next(&self) -> Option<Instant> {
        // A Service that is in the maps is to be served, so the programs come first.
        let services = self.services.next().filter(|_| self.facts.is_some());
        services
            .into_iter()
            .chain(self.node.next())
            .chain(self.drift.0)
            .min()
    }

    fn note(&mut self, event: Event) {
        let now = self.now();
        match event {
            Event::Cluster(event) => {
                let listed = self.cluster.has_listed_all();
                self.changes.merge(self.cluster.handle(event));
                if self.cluster.has_listed_all() && (!listed || !self.changes.is_empty()) {
                    self.services.request(now);
                }
            }
            Event::Node(facts) => {
                if self.facts.as_ref() != Some(&facts) {
                    self.facts = Some(facts);
                    self.node.request(now);
                }
            }
        }
    }

    fn pass(&mut self) {
        if self.drift.0.is_some_and(|due| due <= self.now()) {
            self.look_for_drift();
        }
        if let Some(pass) = self.node.is_due(self.now()) {
            self.apply_node(pass);
        }
        if let Some(pass) = self.services.is_due(self.now()).filter(|_| self.facts.is_some()) {
            self.apply_services(pass);
        }
    }

    fn look_for_drift(&mut self) {
        let drift = self.dataplane.count_drift();
        let now = self.now();
        match drift {
            Ok(0) => {}
            Ok(entries) => {
                self.metrics.entries_repaired(entries);
                tracing::warn!(
                    entries,
                    "somebody else has changed what was written; writing it anew"
                );
                self.request_repair(now);
            }
            Err(error) => {
                tracing::warn!("cannot look at what was written: {}", explain(&error.0));
                self.request_repair(now);
            }
        }
        self.drift.0 = Some(now + self.drift.1);
    }

    fn request_repair(&mut self, now: Instant) {
        self.node.request_full(now);
        self.services.request_full(now);
    }

    fn apply_node(&mut self, pass: Pass) {
        let Some(facts) = &self.facts else { return };
        let result = self.dataplane.apply_node(facts);
        let now = self.now();
        match result {
            Ok(()) => {
                self.warned.node.clear();
                self.node.succeeded(now, pass, Some(self.attached));
            }
            Err(error) => {
                self.metrics.sync_failed();
                warn_once(&mut self.warned.node, &error);
                self.node.failed(now);
            }
        }
    }

    fn apply_services(&mut self, pass: Pass) {
        let start = self.now();
        let changes = std::mem::take(&mut self.changes);
        let delta = self.plan.update(&self.cluster, &changes);
        self.report_conflicts(&delta);
        let result = match pass {
            Pass::Full => {
                // Both name whatever there is, at a time when memory is needed for the maps' contents.
                drop((changes, delta));
                self.dataplane.apply_all(self.plan.desired())
            }
            Pass::Changes => self.dataplane.apply_delta(self.plan.desired(), &delta),
        };
        let (now, wall) = (self.clock)();
        let took = now.duration_since(start);
        self.metrics.sync_ended(pass == Pass::Full, took);
        self.report_status();
        match result {
            Ok(applied) => {
                self.metrics.sync_succeeded(wall);
                self.report(applied, took);
                self.warned.services.clear();
                self.services.succeeded(now, pass, applied.again_in);
                self.drift.0.get_or_insert(now + self.drift.1);
            }
            Err(error) => {
                self.metrics.sync_failed();
                warn_once(&mut self.warned.services, &error);
                self.services.failed(now);
            }
        }
    }

    fn report(&self, applied: Applied, took: Duration) {
        let Applied { updates, deletes, .. } = applied;
        if updates + deletes > 0 {
            let frontends = self.plan.desired().frontends.len();
            tracing::info!(frontends, updates, deletes, ?took, "synced");
        }
    }

    fn report_status(&self) {
        let Status {
            unserved,
            maps,
            rules,
        } = self.dataplane.status();
        for (reason, frontends) in unserved {
            self.metrics.set_unserved(reason, frontends);
        }
        for MapUse { name, entries, size } in maps {
            self.metrics.set_map(name, entries, size);
        }
        if let Some(Figures {
            rules,
            last,
            failures,
            partial_failures,
            counted,
        }) = rules
        {
            self.metrics.set_rules("filter", rules.filter, last.filter);
            self.metrics.set_rules("nat", rules.nat, last.nat);
            self.metrics.set_restore_failures(failures, partial_failures);
            self.metrics
                .set_counted(counted.dropped_invalid, counted.accepted_localhost);
        }
    }

    fn report_conflicts(&self, delta: &Delta) {
        let desired = self.plan.desired();
        for conflict in delta.conflicts.iter().flat_map(|key| desired.conflicts(key)) {
            tracing::warn!("{conflict}");
        }
        if !delta.conflicts.is_empty() {
            self.metrics
                .set_refused(desired.refused.values().map(Vec::len).sum());
        }
    }
}

/// What was last warned of, by kind of pass.
#[derive(Debug, Default)]
struct Warned {
    node: String,
    services: String,
}

/// Says it once, however often it is tried again.
fn warn_once(last: &mut String, error: &ApplyError) {
    let warning = explain(&error.0);
    if warning != *last {
        tracing::warn!("not everything could be applied, trying again every second: {warning}");
    }
    *last = warning;
}

#[cfg(test)]
mod tests;
