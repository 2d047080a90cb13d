//! From watch events to cluster events of one kind.

use std::collections::BTreeSet;

use kube::{core::DynamicObject, runtime::watcher::Event};
use serde_json::Value;

use super::super::convert::{ApiKind, FieldError, WEIGHTS_ANNOTATION, deserialize_with_path};
use crate::model::{ClusterEvent, Object, ObjectKind, ObjectName, ObjectRef};

/// Gathers lists until they are whole, and remembers which objects the model has.
pub(super) struct Tracker {
    kind: ObjectKind,
    has_listed: bool,
    /// Objects that the model has, so that a malformed update leaves them and a list without them removes them.
    known: BTreeSet<ObjectName>,
    listed: Vec<Object>,
    malformed: BTreeSet<ObjectName>,
}

/// What the API server sent for one name.
enum Update {
    Object(Object),
    NotOurs,
    Malformed,
}

impl Tracker {
    pub(super) fn new(kind: ObjectKind) -> Self {
        Self {
            kind,
            has_listed: false,
            known: BTreeSet::new(),
            listed: Vec::new(),
            malformed: BTreeSet::new(),
        }
    }

    pub(super) fn handle(&mut self, event: Event<DynamicObject>) -> Vec<ClusterEvent> {
        match event {
            Event::Init => {
                self.listed.clear();
                self.malformed.clear();
                Vec::new()
            }
            Event::InitApply(object) => {
                self.list(object);
                Vec::new()
            }
            Event::InitDone => self.finish_list(),
            Event::Apply(object) => self.apply(object).into_iter().collect(),
            Event::Delete(object) => self.delete(name(&object)).into_iter().collect(),
        }
    }

    fn apply(&mut self, object: DynamicObject) -> Option<ClusterEvent> {
        let name = name(&object);
        match self.read(&name, object) {
            Update::Object(object) => {
                self.known.insert(name);
                Some(ClusterEvent::Apply(object))
            }
            Update::NotOurs => self.delete(name),
            Update::Malformed => None,
        }
    }

    fn delete(&mut self, name: ObjectName) -> Option<ClusterEvent> {
        let was_known = self.known.remove(&name);
        let reference = ObjectRef {
            kind: self.kind,
            name,
        };
        was_known.then_some(ClusterEvent::Delete(reference))
    }

    fn list(&mut self, object: DynamicObject) {
        let name = name(&object);
        match self.read(&name, object) {
            Update::Object(object) => self.listed.push(object),
            Update::NotOurs => {}
            Update::Malformed => {
                self.malformed.insert(name);
            }
        }
    }

    /// A malformed object that the model has cannot be in a `Replace`, and must not go: then the list is sent as differences.
    fn finish_list(&mut self) -> Vec<ClusterEvent> {
        let objects = std::mem::take(&mut self.listed);
        let malformed = std::mem::take(&mut self.malformed);
        let kept: BTreeSet<ObjectName> = malformed.intersection(&self.known).cloned().collect();
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

    fn read(&self, name: &ObjectName, object: DynamicObject) -> Update {
        match read(self.kind, object) {
            Ok(Some(object)) => Update::Object(object),
            Ok(None) => Update::NotOurs,
            Err(error) => {
                let kind = self.kind;
                tracing::error!(
                    "{kind} {name}: {error}; fix it, until then the last good version, if any, stays in use"
                );
                Update::Malformed
            }
        }
    }
}

fn name(object: &DynamicObject) -> ObjectName {
    let metadata = &object.metadata;
    let text = |field: &Option<String>| field.clone().unwrap_or_default();
    ObjectName {
        namespace: text(&metadata.namespace),
        name: text(&metadata.name),
    }
}

fn read(kind: ObjectKind, object: DynamicObject) -> Result<Option<Object>, FieldError> {
    let mut metadata = object.metadata;
    // The bulk of many objects, and of no use here.
    metadata.managed_fields = None;
    if let Some(annotations) = &mut metadata.annotations {
        annotations.retain(|key, _| key == WEIGHTS_ANNOTATION);
    }
    let whole_object = |error| FieldError {
        field: "metadata".to_owned(),
        reason: format!("{error}"),
    };
    let metadata = serde_json::to_value(metadata).map_err(|error: serde_json::Error| whole_object(error))?;
    let mut fields = object.data;
    if let Value::Object(fields) = &mut fields {
        fields.insert("metadata".to_owned(), metadata);
    }
    let object = deserialize_with_path(ApiKind(kind), fields)
        .map_err(|(path, error)| FieldError::new(&path, error))?;
    Ok(object.convert()?)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn service(name: &str, port: Value) -> DynamicObject {
        serde_json::from_value(json!({
            "metadata": {"name": name, "namespace": "default"},
            "spec": {"clusterIP": "10.96.0.1", "ports": [{"port": port}]},
        }))
        .unwrap()
    }

    /// The events of a list, then of what follows.
    fn listed(tracker: &mut Tracker, objects: Vec<DynamicObject>) -> Vec<String> {
        assert!(tracker.handle(Event::Init).is_empty());
        for object in objects {
            assert!(tracker.handle(Event::InitApply(object)).is_empty());
        }
        show(&tracker.handle(Event::InitDone))
    }

    fn show(events: &[ClusterEvent]) -> Vec<String> {
        let line = |event: &ClusterEvent| match event {
            ClusterEvent::Apply(object) => format!("+{}", object.reference().name.name),
            ClusterEvent::Delete(reference) => format!("-{}", reference.name.name),
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
        let mut tracker = Tracker::new(ObjectKind::Service);
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
        let mut tracker = Tracker::new(ObjectKind::Service);
        tracker.handle(Event::Init);
        tracker.handle(Event::InitApply(service("a", json!(80))));
        assert_eq!(listed(&mut tracker, vec![service("b", json!(80))]), ["=b"]);
    }

    #[test]
    fn a_malformed_update_leaves_the_last_good_version_also_in_a_new_list() {
        let mut tracker = Tracker::new(ObjectKind::Service);
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

    #[test]
    fn an_object_that_is_not_ours_any_more_goes() {
        let mut tracker = Tracker::new(ObjectKind::Service);
        listed(&mut tracker, vec![service("a", json!(80))]);
        let mut headless = service("a", json!(80));
        headless.data["spec"]["clusterIP"] = json!("None");
        assert_eq!(show(&tracker.handle(Event::Apply(headless.clone()))), ["-a"]);
        assert_eq!(show(&tracker.handle(Event::Apply(headless))), [""; 0]);
    }

    #[test]
    fn of_all_annotations_the_weights_are_kept() {
        let mut object = service("a", json!(80));
        object.metadata.annotations = Some(
            [(WEIGHTS_ANNOTATION, "*=many"), ("example.com/large", "text")]
                .map(|(key, value)| (key.to_owned(), value.to_owned()))
                .into(),
        );
        let Ok(Some(Object::Service(read))) = read(ObjectKind::Service, object) else {
            panic!("no Service");
        };
        assert!(read.weights.fault().is_some());
    }

    #[test]
    fn an_error_names_the_field() {
        let error = read(ObjectKind::Service, service("a", json!("bad"))).unwrap_err();
        assert_eq!(
            error.to_string(),
            "spec.ports[0].port: invalid type: string \"bad\", expected i32"
        );
        let error = read(ObjectKind::Service, service("a", json!(70000))).unwrap_err();
        assert_eq!(
            error.to_string(),
            "spec.ports[0].port: is \"70000\": write a port number from 1 to 65535"
        );
    }
}
