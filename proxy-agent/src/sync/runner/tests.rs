//! The runner by a clock that stands still until it is told to go on.

use std::{
    cell::{Cell, RefCell},
    rc::Rc,
    sync::{Arc, Mutex},
    time::{Duration, Instant, SystemTime},
};

use super::{Event, Now, Runner};
use crate::{
    dataplane::{
        Applied, ApplyError, Dataplane, Status,
        iptables::{Counted, Figures, render::RuleCounts},
    },
    metrics::Metrics,
    model::{ClusterEvent, Delta, Desired, NodeContext, Object, ObjectKind, samples},
    node::NodeFacts,
    sync::Intervals,
};

const MS: Duration = Duration::from_millis(1);

const INTERVALS: Intervals = Intervals {
    min: Duration::from_millis(50),
    retry: Duration::from_secs(1),
    full: Duration::from_secs(3_600),
    drift: Duration::from_secs(300),
    attached: Duration::from_secs(1_800),
};

/// What the clock on the wall shows at first.
const START: SystemTime = SystemTime::UNIX_EPOCH;

/// What a dataplane was asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Asked {
    Node,
    All(usize),
    Delta(usize),
    Drift,
}

/// Notes what it is asked for, and fails as often as it is told to.
#[derive(Clone, Default)]
struct Recorder {
    asked: Arc<Mutex<Vec<Asked>>>,
    failures: Arc<Mutex<usize>>,
    drift: Arc<Mutex<usize>>,
    unserved: Arc<Mutex<usize>>,
    rules: Arc<Mutex<Figures>>,
}

impl Recorder {
    fn note(&self, asked: Asked) -> Result<Applied, ApplyError> {
        self.asked.lock().unwrap().push(asked);
        let mut failures = self.failures.lock().unwrap();
        if *failures == 0 {
            return Ok(Applied::default());
        }
        *failures -= 1;
        Err(ApplyError(anyhow::anyhow!("injected")))
    }

    fn taken(&self) -> Vec<Asked> {
        std::mem::take(&mut self.asked.lock().unwrap())
    }
}

impl Dataplane for Recorder {
    fn apply_all(&mut self, desired: &Desired) -> Result<Applied, ApplyError> {
        self.note(Asked::All(desired.service_ports.len()))
    }

    fn apply_delta(&mut self, _: &Desired, delta: &Delta) -> Result<Applied, ApplyError> {
        self.note(Asked::Delta(delta.service_ports.len()))
    }

    fn count_drift(&mut self) -> Result<usize, ApplyError> {
        self.note(Asked::Drift)?;
        Ok(*self.drift.lock().unwrap())
    }

    fn apply_node(&mut self, _: &NodeFacts) -> Result<(), ApplyError> {
        self.asked.lock().unwrap().push(Asked::Node);
        Ok(())
    }

    fn status(&self) -> Status {
        Status {
            unserved: [("sctp", *self.unserved.lock().unwrap())].into(),
            rules: Some(*self.rules.lock().unwrap()),
            ..Status::default()
        }
    }
}

struct Scene {
    runner: Runner<Recorder, Box<dyn Fn() -> Now>>,
    dataplane: Recorder,
    metrics: Metrics,
    now: Rc<Cell<Instant>>,
    services: RefCell<u8>,
}

impl Scene {
    fn new() -> Self {
        let now = Rc::new(Cell::new(Instant::now()));
        let dataplane = Recorder::default();
        let clock: Box<dyn Fn() -> Now> = Box::new({
            let (now, start) = (Rc::clone(&now), now.get());
            move || (now.get(), START + now.get().duration_since(start))
        });
        let metrics = Metrics::default();
        let context = NodeContext::default();
        Self {
            runner: Runner::with_clock(dataplane.clone(), context, INTERVALS, metrics.clone(), clock),
            dataplane,
            metrics,
            now,
            services: RefCell::new(0),
        }
    }

    /// Everything is listed, applied and long ago.
    fn at_rest() -> Self {
        let mut scene = Self::new();
        scene.tell(Event::Node(NodeFacts::default()));
        for kind in ObjectKind::ALL {
            scene.tell(list(kind));
        }
        scene.wait(INTERVALS.min);
        scene.dataplane.taken();
        scene
    }

    fn tell(&mut self, event: Event) -> Vec<Asked> {
        self.runner.note(event);
        self.runner.pass();
        self.dataplane.taken()
    }

    /// Lets time go by as the loop does: from one due moment to the next.
    fn wait(&mut self, time: Duration) -> Vec<Asked> {
        let end = self.now.get() + time;
        while let Some(due) = self.runner.next().filter(|due| *due <= end) {
            self.now.set(due.max(self.now.get()));
            self.runner.pass();
        }
        self.now.set(end);
        self.dataplane.taken()
    }

    fn add_service(&mut self) -> Vec<Asked> {
        let index = self.services.replace_with(|index| *index + 1);
        let service = samples::service(&format!("default/web-{index}"), &format!("10.96.0.{index}"));
        self.tell(Event::Cluster(ClusterEvent::Apply(Object::Service(service))))
    }
}

fn list(kind: ObjectKind) -> Event {
    Event::Cluster(ClusterEvent::Replace(kind, Vec::new()))
}

fn assert_told(metrics: &Metrics, expected: &[&str]) {
    let text = metrics.encode();
    for line in expected {
        assert!(text.lines().any(|told| told == *line), "no {line:?} in\n{text}");
    }
}

#[test]
fn nothing_is_applied_before_every_kind_is_listed() {
    let mut scene = Scene::new();
    assert_eq!(scene.tell(Event::Node(NodeFacts::default())), [Asked::Node]);
    let (last, first) = ObjectKind::ALL.split_last().expect("kinds");
    scene.add_service();
    for kind in first {
        assert_eq!(scene.tell(list(*kind)), []);
    }
    assert_eq!(scene.wait(INTERVALS.retry), []);
    assert_eq!(
        scene.tell(list(*last)),
        [Asked::All(0)],
        "the list has no Service"
    );
}

#[test]
fn services_wait_for_the_first_facts_about_the_node_because_programs_come_first() {
    let mut scene = Scene::new();
    for kind in ObjectKind::ALL {
        assert_eq!(scene.tell(list(kind)), []);
    }
    assert_eq!(
        scene.tell(Event::Node(NodeFacts::default())),
        [Asked::Node, Asked::All(0)]
    );
}

#[test]
fn a_change_is_applied_at_once_and_those_soon_after_it_together() {
    let mut scene = Scene::at_rest();
    assert_eq!(scene.add_service(), [Asked::Delta(1)]);
    for _ in 0..3 {
        assert_eq!(scene.wait(10 * MS), []);
        assert_eq!(scene.add_service(), []);
    }
    assert_eq!(scene.wait(19 * MS), []);
    assert_eq!(scene.wait(MS), [Asked::Delta(3)]);
    assert_eq!(scene.wait(INTERVALS.retry), []);
}

#[test]
fn that_there_is_a_mesh_or_none_is_applied_at_once_and_when_it_changes() {
    let mut scene = Scene::at_rest();
    for groups in [&[][..], &["linkerd.io"], &[]] {
        let groups = groups.iter().map(|&group| group.to_owned()).collect();
        let event = ClusterEvent::MeshGroups(groups);
        assert_eq!(scene.tell(Event::Cluster(event.clone())), [Asked::Delta(0)]);
        scene.wait(INTERVALS.min);
        assert_eq!(scene.tell(Event::Cluster(event)), []);
    }
}

#[test]
fn a_failed_pass_is_retried_in_full_until_it_succeeds() {
    let mut scene = Scene::at_rest();
    *scene.dataplane.failures.lock().unwrap() = 3;
    assert_eq!(scene.add_service(), [Asked::Delta(1)]);
    assert_eq!(
        scene.wait(10 * INTERVALS.retry),
        [Asked::All(1), Asked::All(1), Asked::All(1)]
    );
    assert_eq!(scene.add_service(), [Asked::Delta(1)]);
}

#[test]
fn every_hour_everything_is_applied() {
    let mut scene = Scene::at_rest();
    let asked = scene.wait(INTERVALS.full);
    assert_eq!(asked.iter().filter(|asked| **asked == Asked::All(0)).count(), 1);
}

#[test]
fn what_somebody_else_changed_is_found_and_repaired() {
    let mut scene = Scene::at_rest();
    assert_eq!(scene.wait(INTERVALS.drift), [Asked::Drift]);
    *scene.dataplane.drift.lock().unwrap() = 2;
    assert_eq!(
        scene.wait(INTERVALS.drift),
        [Asked::Drift, Asked::Node, Asked::All(0)]
    );
}

#[test]
fn a_look_at_the_kernel_that_fails_leads_to_a_full_pass() {
    let mut scene = Scene::at_rest();
    *scene.dataplane.failures.lock().unwrap() = 1;
    assert_eq!(
        scene.wait(INTERVALS.drift),
        [Asked::Drift, Asked::Node, Asked::All(0)]
    );
}

#[test]
fn programs_are_seen_to_again_and_again_without_any_event() {
    let mut scene = Scene::at_rest();
    let asked = scene.wait(INTERVALS.attached);
    assert_eq!(asked.iter().filter(|asked| **asked == Asked::Node).count(), 1);
}

#[test]
fn facts_that_are_as_before_cost_nothing() {
    let mut scene = Scene::at_rest();
    assert_eq!(scene.tell(Event::Node(NodeFacts::default())), []);
}

#[test]
fn passes_are_told_with_their_kind_their_result_and_what_the_dataplane_says_of_itself() {
    let mut scene = Scene::at_rest();
    assert_told(
        &scene.metrics,
        &[
            "kubeproxy_sync_proxy_rules_duration_seconds_count 1",
            "kubeproxy_sync_full_proxy_rules_duration_seconds_count 1",
            "kubeproxy_sync_partial_proxy_rules_duration_seconds_count 0",
            "kubeproxy_sync_proxy_rules_last_timestamp_seconds 0.0",
            "kubeportal_frontends_unserved{reason=\"sctp\"} 0",
        ],
    );
    *scene.dataplane.failures.lock().unwrap() = 1;
    *scene.dataplane.unserved.lock().unwrap() = 4;
    scene.wait(INTERVALS.retry);
    scene.add_service();
    assert_told(
        &scene.metrics,
        &[
            "kubeportal_sync_failures_total 1",
            "kubeproxy_sync_proxy_rules_last_timestamp_seconds 0.0",
            "kubeproxy_sync_partial_proxy_rules_duration_seconds_count 1",
            "kubeportal_frontends_unserved{reason=\"sctp\"} 4",
        ],
    );
    scene.wait(INTERVALS.retry);
    assert_told(
        &scene.metrics,
        &[
            "kubeproxy_sync_full_proxy_rules_duration_seconds_count 2",
            "kubeproxy_sync_proxy_rules_last_timestamp_seconds 2.05",
        ],
    );
}

#[test]
fn how_many_rules_there_are_and_how_often_they_could_not_be_written_is_told_after_each_pass() {
    let mut scene = Scene::at_rest();
    let counts = |filter, nat| RuleCounts { filter, nat };
    *scene.dataplane.rules.lock().unwrap() = Figures {
        rules: counts(1, 2),
        last: counts(3, 4),
        failures: 6,
        partial_failures: 5,
        counted: Counted {
            dropped_invalid: 7,
            accepted_localhost: 8,
        },
    };
    scene.add_service();
    scene.wait(INTERVALS.min);
    assert_told(
        &scene.metrics,
        &[
            "kubeproxy_sync_proxy_rules_iptables_total{table=\"filter\"} 1",
            "kubeproxy_sync_proxy_rules_iptables_total{table=\"nat\"} 2",
            "kubeproxy_sync_proxy_rules_iptables_last{table=\"filter\"} 3",
            "kubeproxy_sync_proxy_rules_iptables_last{table=\"nat\"} 4",
            "kubeproxy_sync_proxy_rules_iptables_restore_failures_total 6",
            "kubeproxy_sync_proxy_rules_iptables_partial_restore_failures_total 5",
            "kubeproxy_iptables_ct_state_invalid_dropped_packets_total 7",
            "kubeproxy_iptables_localhost_nodeports_accepted_packets_total 8",
        ],
    );
}

#[test]
fn what_is_repaired_and_who_is_refused_are_told() {
    let mut scene = Scene::at_rest();
    *scene.dataplane.drift.lock().unwrap() = 3;
    scene.wait(INTERVALS.drift);
    let mut thief = samples::service("default/zzz", "10.96.0.99");
    thief.external_ips = vec!["10.96.0.0".parse().unwrap()];
    scene.add_service();
    scene.tell(Event::Cluster(ClusterEvent::Apply(Object::Service(thief))));
    scene.wait(INTERVALS.min);
    assert_told(
        &scene.metrics,
        &[
            "kubeportal_map_entries_repaired_total 3",
            "kubeportal_frontends_refused 1",
        ],
    );
}
