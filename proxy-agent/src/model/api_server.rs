//! The endpoints of `default/kubernetes`, by which everything in the cluster reaches the API server.
//!
//! API servers write them themselves, and take themselves out when they stop. While none is left the Service keeps its last
//! ones: with them clients, and this agent, find the API server as soon as it is back; without them nobody would.

use std::collections::BTreeSet;

use super::{EndpointSlice, Family, ObjectName};

/// Slices of `default/kubernetes` that are kept beyond their end.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Kept(BTreeSet<ObjectName>);

/// Whether anything can be reached by the slice.
pub(super) fn is_usable(slice: &EndpointSlice) -> bool {
    let is_usable = |endpoint: &super::SliceEndpoint| endpoint.ready || endpoint.serving;
    !slice.ports.is_empty() && slice.endpoints.iter().any(is_usable)
}

impl Kept {
    /// Keeps a slice of which the source has only said that it is gone, or empty, if it is the last that is usable: whether it does.
    pub(super) fn keep<'a>(
        &mut self,
        slice: &EndpointSlice,
        mut all: impl Iterator<Item = &'a EndpointSlice>,
    ) -> bool {
        let is_other = |other: &EndpointSlice| other.name != slice.name && other.family == slice.family;
        let is_needed = slice.is_api_server()
            && is_usable(slice)
            && !all.any(|other| is_other(other) && is_usable(other));
        if is_needed && self.0.insert(slice.name.clone()) {
            tracing::warn!(
                "EndpointSlice {}: no API server is left in it; the last known ones stay in use",
                slice.name
            );
        }
        is_needed
    }

    /// The source has said what the slice is: it counts again.
    pub(super) fn release(&mut self, slice: &ObjectName) {
        self.0.remove(slice);
    }

    /// Those of a family that are not needed any more, because another slice is usable.
    pub(super) fn release_all<'a>(
        &mut self,
        family: Family,
        all: impl Iterator<Item = &'a EndpointSlice>,
    ) -> Vec<ObjectName> {
        let of_family = all.filter(|slice| slice.family == family && self.0.contains(&slice.name));
        let released: Vec<ObjectName> = of_family.map(|slice| slice.name.clone()).collect();
        released.iter().for_each(|name| self.release(name));
        released
    }
}

#[cfg(test)]
mod tests {
    use crate::model::{
        Cluster, ClusterEvent, Object, ObjectKind, ObjectRef,
        samples::{name, slice},
    };

    fn apply(cluster: &mut Cluster, at: &str, endpoints: &[&str]) {
        let service = if at.contains("web") { "web" } else { "kubernetes" };
        let slice = slice(at, service, endpoints);
        cluster.handle(ClusterEvent::Apply(Object::EndpointSlice(slice)));
    }

    fn delete(cluster: &mut Cluster, at: &str) {
        let (kind, name) = (ObjectKind::EndpointSlice, name(at));
        cluster.handle(ClusterEvent::Delete(ObjectRef { kind, name }));
    }

    fn endpoints(cluster: &Cluster, service: &str) -> Vec<String> {
        let slices = cluster.slices_of(&name(service));
        let endpoints = slices.iter().flat_map(|slice| &slice.endpoints);
        endpoints.map(|endpoint| endpoint.address.to_string()).collect()
    }

    const API: &str = "default/kubernetes";

    #[test]
    fn the_last_api_servers_stay_when_their_slice_is_emptied_or_deleted_or_missing_in_a_list() {
        let mut cluster = Cluster::default();
        for lose in [
            (|cluster| apply(cluster, API, &[])) as fn(&mut Cluster),
            |cluster| apply(cluster, API, &["192.168.0.1 unready"]),
            |cluster| delete(cluster, API),
            |cluster| {
                cluster.handle(ClusterEvent::Replace(ObjectKind::EndpointSlice, Vec::new()));
            },
        ] {
            apply(&mut cluster, API, &["192.168.0.1", "192.168.0.2"]);
            lose(&mut cluster);
            assert_eq!(endpoints(&cluster, API), ["192.168.0.1", "192.168.0.2"]);
        }
    }

    #[test]
    fn what_is_said_of_them_next_counts() {
        let mut cluster = Cluster::default();
        apply(&mut cluster, API, &["192.168.0.1", "192.168.0.2"]);
        apply(&mut cluster, API, &["192.168.0.2"]);
        assert_eq!(endpoints(&cluster, API), ["192.168.0.2"]);
        delete(&mut cluster, API);
        apply(&mut cluster, API, &["192.168.0.3"]);
        assert_eq!(endpoints(&cluster, API), ["192.168.0.3"]);
    }

    #[test]
    fn a_kept_slice_goes_when_another_one_is_usable() {
        let mut cluster = Cluster::default();
        apply(&mut cluster, API, &["192.168.0.1"]);
        delete(&mut cluster, API);
        apply(&mut cluster, "default/kubernetes-2", &["fd00::1"]);
        assert_eq!(
            endpoints(&cluster, API),
            ["192.168.0.1", "fd00::1"],
            "of another family"
        );
        apply(&mut cluster, "default/kubernetes-3", &["192.168.0.3"]);
        assert_eq!(endpoints(&cluster, API), ["fd00::1", "192.168.0.3"]);
        delete(&mut cluster, API);
        assert_eq!(endpoints(&cluster, API), ["fd00::1", "192.168.0.3"]);
    }

    #[test]
    fn a_slice_beside_a_usable_one_goes_as_any_other_and_so_do_those_of_other_services() {
        let mut cluster = Cluster::default();
        apply(&mut cluster, API, &["192.168.0.1"]);
        apply(&mut cluster, "default/kubernetes-2", &["192.168.0.2"]);
        delete(&mut cluster, API);
        assert_eq!(endpoints(&cluster, API), ["192.168.0.2"]);
        apply(&mut cluster, "default/web", &["10.0.0.1"]);
        delete(&mut cluster, "default/web");
        assert_eq!(endpoints(&cluster, "default/web"), [""; 0]);
    }
}
