//! From watch events to cluster events of one kind.

use std::collections::BTreeSet;

use kube::runtime::watcher::{Error, Event};

use super::received::Received;
use crate::{
    metrics::Metrics,
    model::{ClusterEvent, Object, ObjectKind, ObjectName, ObjectRef},
};

/// Gathers lists until they are whole, and remembers which objects the model has.
pub(super) struct Tracker {
    kind: ObjectKind,
    has_listed: bool,
    /// Objects that the model has, so that a malformed update leaves them and a list without them removes them.
    known: BTreeSet<ObjectName>,
    listed: Vec<Object>,
    listed_malformed: BTreeSet<ObjectName>,
    /// Objects whose present version cannot be used.
    malformed: BTreeSet<ObjectName>,
    metrics: Metrics,
}

/// What the API server sent for one name.
enum Update {
    Object(Object),
    NotOurs,
    Malformed,
}

impl Tracker {
    pub(super) fn new(kind: ObjectKind, metrics: Metrics) -> Self {
        Self {
            kind,
            has_listed: false,
            known: BTreeSet::new(),
            listed: Vec::new(),
            listed_malformed: BTreeSet::new(),
            malformed: BTreeSet::new(),
            metrics,
        }
    }

    pub(super) fn handle<K>(&mut self, event: Event<Received<K>>) -> Vec<ClusterEvent> {
        let events = match event {
            Event::Init => {
                self.listed.clear();
                self.listed_malformed.clear();
                Vec::new()
            }
            Event::InitApply(object) => {
                self.list(object);
                return Vec::new();
            }
            Event::InitDone => self.finish_list(),
            Event::Apply(object) => self.apply(object).into_iter().collect(),
            Event::Delete(object) => self.delete(object.name()).into_iter().collect(),
        };
        self.metrics.set_malformed(self.kind, self.malformed.len());
        events
    }

    /// An API server that has no such kind, or does not let us see it, is served without it if that is possible.
    pub(super) fn fail(&mut self, error: &Error) -> Vec<ClusterEvent> {
        if self.has_listed || self.kind != ObjectKind::ServiceCIDR || !is_refusal(error) {
            return Vec::new();
        }
        self.has_listed = true;
        vec![ClusterEvent::Replace(self.kind, Vec::new())]
    }

    fn apply<K>(&mut self, object: Received<K>) -> Option<ClusterEvent> {
        let name = object.name();
        match self.read(&name, object) {
            Update::Object(object) => {
                self.malformed.remove(&name);
                self.known.insert(name);
                Some(ClusterEvent::Apply(object))
            }
            Update::NotOurs => self.delete(name),
            Update::Malformed => {
                self.malformed.insert(name);
                None
            }
        }
    }

    fn delete(&mut self, name: ObjectName) -> Option<ClusterEvent> {
        self.malformed.remove(&name);
        let was_known = self.known.remove(&name);
        let reference = ObjectRef {
            kind: self.kind,
            name,
        };
        was_known.then_some(ClusterEvent::Delete(reference))
    }

    fn list<K>(&mut self, object: Received<K>) {
        let name = object.name();
        match self.read(&name, object) {
            Update::Object(object) => self.listed.push(object),
            Update::NotOurs => {}
            Update::Malformed => {
                self.listed_malformed.insert(name);
            }
        }
    }

    /// A malformed object that the model has cannot be in a `Replace`, and must not go: then the list is sent as differences.
    fn finish_list(&mut self) -> Vec<ClusterEvent> {
        let objects = std::mem::take(&mut self.listed);
        self.malformed = std::mem::take(&mut self.listed_malformed);
        let kept: BTreeSet<ObjectName> = self.malformed.intersection(&self.known).cloned().collect();
        let is_whole = kept.is_empty();
        let mut names: BTreeSet<_> = objects.iter().map(|object| object.reference().name).collect();
        names.extend(kept);
        let before = std::mem::replace(&mut self.known, names);
        if is_whole || !self.has_listed {
            self.has_listed = true;
            return vec![ClusterEvent::Replace(self.kind, objects)];
        }
        let reference = |name: &ObjectName| ObjectRef {
            kind: self.kind,
            name: name.clone(),
        };
        let gone = before
            .difference(&self.known)
            .map(|name| ClusterEvent::Delete(reference(name)));
        gone.chain(objects.into_iter().map(ClusterEvent::Apply)).collect()
    }

    fn read<K>(&self, name: &ObjectName, object: Received<K>) -> Update {
        match object.into_object() {
            Ok(Some(object)) => Update::Object(object),
            Ok(None) => Update::NotOurs,
            Err(error) => {
                let kind = self.kind;
                self.metrics.object_error(kind);
                tracing::error!(
                    "{kind} {name}: {error}; fix it, until then the last good version, if any, stays in use"
                );
                Update::Malformed
            }
        }
    }
}

/// 403 or 404.
fn is_refusal(error: &Error) -> bool {
    let refuses =
        |error: &kube::Error| matches!(error, kube::Error::Api(status) if matches!(status.code, 403 | 404));
    match error {
        Error::InitialListFailed(error) | Error::WatchStartFailed(error) | Error::WatchFailed(error) => {
            refuses(error)
        }
        Error::WatchError(status) => matches!(status.code, 403 | 404),
        Error::NoResourceVersion => false,
    }
}

#[cfg(test)]
mod tests {
    use k8s_openapi::api::core::v1::Service;
    use serde_json::{Value, json};

    use super::*;

    fn service(name: &str, port: Value) -> Received<Service> {
        service_at(name, "10.96.0.1", &port)
    }

    fn service_at(name: &str, cluster_ip: &str, port: &Value) -> Received<Service> {
        let object = json!({
            "metadata": {"name": name, "namespace": "default", "managedFields": ["none", "of our", "business"]},
            "spec": {"clusterIP": cluster_ip, "ports": [{"port": port}]},
        });
        serde_json::from_str(&object.to_string()).unwrap()
    }

    fn tracker() -> Tracker {
        Tracker::new(ObjectKind::Service, Metrics::default())
    }

    /// The events of a list, then of what follows.
    fn listed(tracker: &mut Tracker, objects: Vec<Received<Service>>) -> Vec<String> {
        assert!(tracker.handle(Event::<Received<Service>>::Init).is_empty());
        for object in objects {
            assert!(tracker.handle(Event::InitApply(object)).is_empty());
        }
        show(&tracker.handle(Event::<Received<Service>>::InitDone))
    }

    fn show(events: &[ClusterEvent]) -> Vec<String> {
        let line = |event: &ClusterEvent| match event {
            ClusterEvent::Apply(object) => format!("+{}", object.reference().name.name),
            ClusterEvent::Delete(reference) => format!("-{}", reference.name.name),
            ClusterEvent::MeshGroups(groups) => format!("{groups:?}"),
            ClusterEvent::Replace(_, objects) => {
                let names: Vec<_> = objects
                    .iter()
                    .map(|object| object.reference().name.name)
                    .collect();
                format!("={}", names.join(","))
            }
        };
        events.iter().map(line).collect()
    }

    #[test]
    fn a_list_is_sent_whole_and_at_once() {
        let mut tracker = tracker();
        let objects = vec![
            service("a", json!(80)),
            service("b", json!("bad")),
            service("c", json!(80)),
        ];
        assert_eq!(listed(&mut tracker, objects), ["=a,c"]);
        assert_eq!(listed(&mut tracker, vec![service("c", json!(80))]), ["=c"]);
    }

    #[test]
    fn a_list_that_was_begun_twice_holds_only_the_second() {
        let mut tracker = tracker();
        tracker.handle(Event::<Received<Service>>::Init);
        tracker.handle(Event::InitApply(service("a", json!(80))));
        assert_eq!(listed(&mut tracker, vec![service("b", json!(80))]), ["=b"]);
    }

    #[test]
    fn a_malformed_update_leaves_the_last_good_version_also_in_a_new_list() {
        let mut tracker = tracker();
        listed(
            &mut tracker,
            vec![
                service("a", json!(80)),
                service("b", json!(80)),
                service("c", json!(80)),
            ],
        );
        assert_eq!(
            show(&tracker.handle(Event::Apply(service("a", json!("bad"))))),
            [""; 0]
        );
        let list = vec![service("a", json!("bad")), service("b", json!(81))];
        assert_eq!(listed(&mut tracker, list), ["-c", "+b"]);
        assert_eq!(
            show(&tracker.handle(Event::Delete(service("a", json!("bad"))))),
            ["-a"]
        );
    }

    /// Objects that are malformed at present, and malformed versions so far.
    fn malformed(metrics: &Metrics) -> [String; 2] {
        let text = metrics.encode();
        let of = |name: &str| {
            let series = format!("{name}{{kind=\"Service\"}} ");
            let value = text.lines().find_map(|line| line.strip_prefix(&series));
            value.unwrap().to_owned()
        };
        [
            of("kubeportal_objects_malformed"),
            of("kubeportal_object_errors_total"),
        ]
    }

    #[test]
    fn malformed_objects_are_counted_as_long_as_they_are_and_each_version_once() {
        let metrics = Metrics::default();
        let mut tracker = Tracker::new(ObjectKind::Service, metrics.clone());
        let bad = |name| service(name, json!("bad"));
        listed(&mut tracker, vec![bad("a"), bad("b"), service("c", json!(80))]);
        assert_eq!(malformed(&metrics), ["2", "2"]);
        tracker.handle(Event::Apply(bad("c")));
        assert_eq!(malformed(&metrics), ["3", "3"]);
        tracker.handle(Event::Apply(service("a", json!(80))));
        assert_eq!(malformed(&metrics), ["2", "3"]);
        tracker.handle(Event::Delete(bad("b")));
        assert_eq!(malformed(&metrics), ["1", "3"]);
        tracker.handle(Event::Apply(service_at("c", "None", &json!(80))));
        assert_eq!(malformed(&metrics), ["0", "3"]);
    }

    #[test]
    fn what_is_malformed_stays_so_while_a_list_is_on_its_way() {
        let metrics = Metrics::default();
        let mut tracker = Tracker::new(ObjectKind::Service, metrics.clone());
        listed(&mut tracker, vec![service("a", json!("bad"))]);
        tracker.handle(Event::<Received<Service>>::Init);
        tracker.handle(Event::InitApply(service("b", json!("bad"))));
        assert_eq!(malformed(&metrics), ["1", "2"]);
        tracker.handle(Event::<Received<Service>>::InitDone);
        assert_eq!(malformed(&metrics), ["1", "2"]);
        listed(&mut tracker, vec![]);
        assert_eq!(malformed(&metrics), ["0", "2"]);
    }

    #[test]
    fn an_object_that_is_not_ours_any_more_goes() {
        let mut tracker = tracker();
        listed(&mut tracker, vec![service("a", json!(80))]);
        let headless = service_at("a", "None", &json!(80));
        assert_eq!(show(&tracker.handle(Event::Apply(headless.clone()))), ["-a"]);
        assert_eq!(show(&tracker.handle(Event::Apply(headless))), [""; 0]);
    }

    #[test]
    fn of_all_annotations_the_weights_are_kept() {
        let object = json!({
            "metadata": {
                "name": "a", "namespace": "default",
                "annotations": {"kube-portal.io/weights": "*=many", "example.com/large": "text"},
            },
            "spec": {"clusterIP": "10.96.0.1", "ports": [{"port": 80}]},
        });
        let object: Received<Service> = serde_json::from_str(&object.to_string()).unwrap();
        let Ok(Some(Object::Service(read))) = object.into_object() else {
            panic!("no Service");
        };
        assert!(read.weights.fault().is_some());
    }

    #[test]
    fn an_error_names_the_field() {
        let error = service("a", json!("bad")).into_object().unwrap_err();
        assert_eq!(
            error.to_string(),
            "spec.ports[0].port: invalid type: string \"bad\", expected i32"
        );
        let error = service("a", json!(70000)).into_object().unwrap_err();
        assert_eq!(
            error.to_string(),
            "spec.ports[0].port: is \"70000\": write a port number from 1 to 65535"
        );
    }
}
