//! The thread that owns the dataplane.

use std::{
    sync::mpsc::{Receiver, RecvTimeoutError},
    time::{Duration, Instant},
};

use super::{Intervals, Schedule};
use crate::{
    dataplane::{ApplyError, Dataplane},
    explain::explain,
    model::{Changes, Cluster, ClusterEvent, Conflict, NodeContext, compute},
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

/// Owns the dataplane and everything that is known about the cluster.
pub struct Runner<D> {
    dataplane: D,
    context: NodeContext,
    cluster: Cluster,
    changes: Changes,
    facts: Option<NodeFacts>,
    conflicts: Vec<Conflict>,
    warned: Warned,
    services: Schedule,
    node: Schedule,
}

impl<D: Dataplane> Runner<D> {
    /// `intervals` are those between two passes over the Services.
    pub fn new(dataplane: D, context: NodeContext, intervals: Intervals) -> Self {
        Self {
            dataplane,
            context,
            cluster: Cluster::default(),
            changes: Changes::default(),
            facts: None,
            conflicts: Vec::new(),
            warned: Warned::default(),
            services: Schedule::new(intervals),
            node: Schedule::new(Intervals {
                min: Duration::ZERO,
                ..intervals
            }),
        }
    }

    /// Runs until all senders are gone.
    pub fn run(mut self, events: &Receiver<Event>) {
        loop {
            match self.wait(events) {
                Ok(event) => self.note(event, Instant::now()),
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => return,
            }
            // A burst is filed before a pass begins: its objects belong together.
            events
                .try_iter()
                .for_each(|event| self.note(event, Instant::now()));
            self.pass();
        }
    }

    fn wait(&self, events: &Receiver<Event>) -> Result<Event, RecvTimeoutError> {
        // A Service that is in the maps is to be served, so the programs come first.
        let services = self.services.next().filter(|_| self.facts.is_some());
        match services.into_iter().chain(self.node.next()).min() {
            Some(due) => events.recv_timeout(due.saturating_duration_since(Instant::now())),
            None => events.recv().map_err(|_| RecvTimeoutError::Disconnected),
        }
    }

    fn note(&mut self, event: Event, now: Instant) {
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
        if self.node.is_due(Instant::now()) {
            self.apply_node();
        }
        if self.facts.is_some() && self.services.is_due(Instant::now()) {
            self.apply_services();
        }
    }

    fn apply_node(&mut self) {
        let Some(facts) = &self.facts else { return };
        let result = self.dataplane.apply_node(facts);
        match result {
            Ok(()) => {
                self.warned.node.clear();
                self.node.succeeded(Instant::now(), None);
            }
            Err(error) => {
                warn_once(&mut self.warned.node, &error);
                self.node.failed(Instant::now());
            }
        }
    }

    fn apply_services(&mut self) {
        let start = Instant::now();
        let changes = std::mem::take(&mut self.changes);
        let desired = compute(&self.cluster, &self.context);
        match self.dataplane.apply(&desired, &changes) {
            Ok(applied) => {
                let (updates, deletes, took) = (applied.updates, applied.deletes, start.elapsed());
                if updates + deletes > 0 {
                    let frontends = desired.frontends.len();
                    tracing::info!(frontends, updates, deletes, ?took, "synced");
                }
                self.warned.services.clear();
                self.services.succeeded(Instant::now(), applied.again_in);
            }
            Err(error) => {
                warn_once(&mut self.warned.services, &error);
                self.changes = Changes {
                    all: true,
                    ..Changes::default()
                };
                self.services.failed(Instant::now());
            }
        }
        self.report(desired.conflicts);
    }

    fn report(&mut self, conflicts: Vec<Conflict>) {
        for conflict in conflicts
            .iter()
            .filter(|conflict| !self.conflicts.contains(conflict))
        {
            tracing::warn!("{conflict}");
        }
        self.conflicts = conflicts;
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
mod tests {
    use super::{Event, Runner};
    use crate::{
        dataplane::{Applied, ApplyError, Dataplane},
        model::{Changes, ClusterEvent, Desired, NodeContext, ObjectKind},
        node::NodeFacts,
        sync::Intervals,
    };
    use std::{
        sync::mpsc::{Sender, channel},
        thread,
        time::Duration,
    };

    /// Fails the first passes, and tells of each.
    struct Flaky {
        failures: usize,
        passes: Sender<bool>,
    }

    impl Dataplane for Flaky {
        fn apply(&mut self, _: &Desired, changes: &Changes) -> Result<Applied, ApplyError> {
            let fails = self.failures > 0;
            self.failures = self.failures.saturating_sub(1);
            self.passes.send(changes.all).expect("the test listens");
            if fails {
                Err(ApplyError(anyhow::anyhow!("injected")))
            } else {
                Ok(Applied::default())
            }
        }

        fn apply_node(&mut self, _: &NodeFacts) -> Result<(), ApplyError> {
            Ok(())
        }
    }

    const INTERVALS: Intervals = Intervals {
        min: Duration::ZERO,
        retry: Duration::from_millis(1),
        full: Duration::from_secs(3_600),
    };

    fn replace(kind: ObjectKind) -> Event {
        Event::Cluster(ClusterEvent::Replace(kind, Vec::new()))
    }

    #[test]
    fn nothing_is_applied_before_every_kind_is_listed_and_a_failure_is_retried_in_full() {
        let (passes, seen) = channel();
        let (events, inbox) = channel();
        let runner = Runner::new(Flaky { failures: 2, passes }, NodeContext::default(), INTERVALS);
        let thread = thread::spawn(move || runner.run(&inbox));
        events.send(Event::Node(NodeFacts::default())).unwrap();
        events.send(replace(ObjectKind::Service)).unwrap();
        events.send(replace(ObjectKind::EndpointSlice)).unwrap();
        assert!(
            seen.recv_timeout(Duration::from_millis(50)).is_err(),
            "Nodes are not listed yet"
        );
        events.send(replace(ObjectKind::Node)).unwrap();
        let next = || seen.recv_timeout(Duration::from_secs(5)).expect("a pass");
        next();
        assert_eq!([next(), next()], [true, true], "both retries are full");
        drop(events);
        thread.join().unwrap();
    }
}
