//! Annotations with weights that cannot be used: each is told once, not with every version of its Service, and counted.

use std::collections::BTreeMap;

use crate::{
    metrics::Metrics,
    model::{ClusterEvent, Object, ObjectKind, ObjectName, Service},
};

/// What has been told.
#[derive(Debug)]
pub(super) struct WeightFaults {
    metrics: Metrics,
    told: BTreeMap<ObjectName, String>,
}

impl WeightFaults {
    pub(super) const fn new(metrics: Metrics) -> Self {
        Self {
            metrics,
            told: BTreeMap::new(),
        }
    }

    /// Tells what is new in an event that is sent to the model.
    pub(super) fn tell(&mut self, event: &ClusterEvent) {
        let before = self.told.len();
        for fault in self.new_ones(event) {
            tracing::error!("{fault}; until it is fixed all endpoints have the same weight");
        }
        // The watches of other kinds have none and say nothing.
        if self.told.len() != before {
            self.metrics.set_malformed_weights(self.told.len());
        }
    }

    fn new_ones(&mut self, event: &ClusterEvent) -> Vec<String> {
        match event {
            ClusterEvent::Replace(ObjectKind::Service, objects) => {
                let before = std::mem::take(&mut self.told);
                let all: Vec<String> = objects.iter().filter_map(|object| self.note(object)).collect();
                let is_new = |fault: &String| !before.values().any(|told| told == fault);
                all.into_iter().filter(is_new).collect()
            }
            ClusterEvent::Apply(object) => self.note(object).into_iter().collect(),
            ClusterEvent::Delete(object) if object.kind == ObjectKind::Service => {
                self.told.remove(&object.name);
                Vec::new()
            }
            ClusterEvent::Replace(..) | ClusterEvent::Delete(_) | ClusterEvent::MeshGroups(_) => Vec::new(),
        }
    }

    /// The fault of a Service, if it was not told before.
    fn note(&mut self, object: &Object) -> Option<String> {
        let Object::Service(Service { name, weights, .. }) = object else {
            return None;
        };
        let Some(fault) = weights.fault() else {
            self.told.remove(name);
            return None;
        };
        let told = self.told.insert(name.clone(), fault.to_owned());
        (told.as_deref() != Some(fault)).then(|| fault.to_owned())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{ObjectRef, Weights, samples};

    fn service(at: &str, fault: Option<&str>) -> Object {
        Object::Service(Service {
            weights: fault.map_or_else(Weights::default, |text| Weights::malformed(text.to_owned())),
            ..samples::service(at, "10.96.0.1")
        })
    }

    #[test]
    fn a_fault_is_told_when_it_comes_and_again_when_it_comes_back() {
        let mut faults = WeightFaults::new(Metrics::default());
        let a = |fault| service("x/a", fault);
        let (apply, list) = (ClusterEvent::Apply, |objects| {
            ClusterEvent::Replace(ObjectKind::Service, objects)
        });
        let gone = ClusterEvent::Delete(ObjectRef {
            kind: ObjectKind::Service,
            name: samples::name("x/a"),
        });
        for (event, told) in [
            (list(vec![a(Some("1")), service("x/b", None)]), vec!["1"]),
            (apply(a(Some("1"))), vec![]),
            (list(vec![a(Some("1"))]), vec![]),
            (ClusterEvent::Replace(ObjectKind::EndpointSlice, vec![]), vec![]),
            (apply(a(Some("2"))), vec!["2"]),
            (apply(a(None)), vec![]),
            (apply(a(Some("2"))), vec!["2"]),
            (gone, vec![]),
            (apply(a(Some("2"))), vec!["2"]),
            (list(vec![]), vec![]),
            (list(vec![a(Some("2"))]), vec!["2"]),
        ] {
            assert_eq!(faults.new_ones(&event), told, "{event:?}");
        }
    }
}
