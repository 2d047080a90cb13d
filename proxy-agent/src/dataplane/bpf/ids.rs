//! Ids of Service ports and endpoint lists.
//!
//! A list's id never names another list, and no id is given away twice while the pin directory lives: a flow may name an
//! id for as long as it likes.

use std::collections::BTreeMap;

use super::alias::{Slot, slots};
use crate::model::{EndpointList, Family, ListKey, Scope, ServicePortId};

/// What a list is known by: it survives a restart through the maps.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct ListOwner {
    /// Id of the Service port.
    pub service: u32,
    /// Family of the endpoints.
    pub family: Family,
    /// Cluster or Local.
    pub scope: Scope,
}

impl ListOwner {
    /// Of a list of Service port `service`.
    #[must_use]
    pub const fn new(service: u32, key: &ListKey) -> Self {
        Self {
            service,
            family: key.family,
            scope: key.scope,
        }
    }
}

/// A list as the maps have it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ListId {
    /// Its id.
    pub id: u32,
    /// Whether it is in `LIST_MEMBERS`, too.
    pub members: bool,
}

/// The ids in use.
#[derive(Clone, Debug)]
pub struct Ids {
    services: BTreeMap<(String, u8), u32>,
    /// Lists as the maps hold them: what the maps do not say, such as whether an endpoint is local, makes no other list.
    lists: BTreeMap<ListOwner, (ListId, Vec<Slot>)>,
    next_service: u32,
    next_list: u32,
    /// Lists that have another id by now, or none.
    replaced: Vec<u32>,
}

impl Default for Ids {
    fn default() -> Self {
        // 0 stands for "no list" in a frontend.
        Self {
            services: BTreeMap::new(),
            lists: BTreeMap::new(),
            next_service: 1,
            next_list: 1,
            replaced: Vec::new(),
        }
    }
}

impl Ids {
    /// Ids given away are below these.
    #[must_use]
    pub const fn next(&self) -> (u32, u32) {
        (self.next_list, self.next_service)
    }

    /// Never gives away ids below these.
    pub fn reserve(&mut self, next_list: u32, next_service: u32) {
        self.next_list = self.next_list.max(next_list);
        self.next_service = self.next_service.max(next_service);
    }

    /// Takes over a Service port of an earlier run.
    pub fn restore_service(&mut self, name: &str, protocol: u8, id: u32) {
        self.services.insert((name.to_owned(), protocol), id);
        self.reserve(0, id + 1);
    }

    /// Takes over a list of an earlier run.
    pub fn restore_list(&mut self, owner: ListOwner, list: ListId, slots: Vec<Slot>) {
        self.lists.insert(owner, (list, slots));
        self.reserve(list.id + 1, 0);
    }

    /// The id that a Service port has already.
    #[must_use]
    pub fn known_service(&self, service: &ServicePortId, protocol: u8) -> Option<u32> {
        self.services.get(&(service.to_string(), protocol)).copied()
    }

    /// Forgets a Service port: if it comes back it is a new one.
    pub fn forget_service(&mut self, service: &ServicePortId, protocol: u8) -> Option<u32> {
        self.services.remove(&(service.to_string(), protocol))
    }

    /// Forgets a list.
    pub fn forget_list(&mut self, owner: &ListOwner) {
        self.replaced
            .extend(self.lists.remove(owner).map(|(list, _)| list.id));
    }

    /// The ids that lists have lost since the last call.
    pub fn take_replaced(&mut self) -> Vec<u32> {
        std::mem::take(&mut self.replaced)
    }

    /// The id of a Service port; `protocol` is its IP protocol number.
    pub fn service(&mut self, service: &ServicePortId, protocol: u8) -> u32 {
        let next = &mut self.next_service;
        *self
            .services
            .entry((service.to_string(), protocol))
            .or_insert_with(|| give(next))
    }

    /// The id that a list has already.
    #[must_use]
    pub fn known_list(&self, owner: &ListOwner) -> Option<u32> {
        self.lists.get(owner).map(|(list, _)| list.id)
    }

    /// The id of a list: the one it has, or a new one if its endpoints have changed or `members` are wanted that it lacks. `None`
    /// for an empty list.
    pub fn list(
        &mut self,
        service: u32,
        key: &ListKey,
        list: &EndpointList,
        members: bool,
    ) -> Option<ListId> {
        let owner = ListOwner::new(service, key);
        if list.endpoints.is_empty() {
            self.forget_list(&owner);
            return None;
        }
        let slots = slots(list);
        match self.lists.get(&owner) {
            Some((known, at)) if *at == slots && (known.members || !members) => Some(*known),
            _ => {
                self.forget_list(&owner);
                let id = give(&mut self.next_list);
                let given = ListId { id, members };
                self.lists.insert(owner, (given, slots));
                Some(given)
            }
        }
    }

    /// Forgets everything else: a Service port or list that comes back is a new one.
    pub fn retain(&mut self, service: impl Fn(u32) -> bool, list: impl Fn(u32) -> bool) {
        self.services.retain(|_, id| service(*id));
        self.lists.retain(|_, (known, _)| list(known.id));
    }
}

fn give(next: &mut u32) -> u32 {
    let id = *next;
    *next = next.checked_add(1).unwrap_or(1);
    id
}

#[cfg(test)]
mod tests {
    use super::Ids;
    use crate::model::{Endpoint, EndpointList, Family, ListKey, ObjectName, Protocol, Scope, ServicePortId};

    fn key() -> ListKey {
        let service = ObjectName {
            namespace: "default".into(),
            name: "web".into(),
        };
        let service_port = ServicePortId {
            service,
            port: String::new(),
            protocol: Protocol::Tcp,
        };
        ListKey {
            service_port,
            family: Family::V4,
            scope: Scope::Cluster,
        }
    }

    fn list(last: &[u8]) -> EndpointList {
        let endpoint = |last: &u8| Endpoint {
            address: [10, 0, 0, *last].into(),
            port: 80,
            weight: 1,
            local: false,
        };
        EndpointList {
            endpoints: last.iter().map(endpoint).collect(),
        }
    }

    fn id_of(ids: &mut Ids, list: &EndpointList) -> u32 {
        ids.list(7, &key(), list, false).map_or(0, |list| list.id)
    }

    #[test]
    fn a_list_that_changes_and_changes_back_has_three_ids() {
        let mut ids = Ids::default();
        let given = [list(&[1]), list(&[1, 2]), list(&[1])].map(|list| id_of(&mut ids, &list));
        assert_eq!(given, [1, 2, 3]);
    }

    #[test]
    fn an_unchanged_list_keeps_its_id_and_an_empty_one_has_none() {
        let mut ids = Ids::default();
        assert_eq!(id_of(&mut ids, &list(&[1])), id_of(&mut ids, &list(&[1])));
        assert_eq!(id_of(&mut ids, &list(&[])), 0);
    }

    #[test]
    fn restored_ids_are_used_on_and_never_given_away_again() {
        let mut ids = Ids::default();
        ids.restore_service("default/web", 6, 9);
        ids.reserve(40, 0);
        assert_eq!(ids.service(&key().service_port, 6), 9);
        assert_eq!(ids.service(&key().service_port, 17), 10);
        assert_eq!(id_of(&mut ids, &list(&[1])), 40);
    }

    #[test]
    fn a_list_whose_shares_change_is_another_one_and_what_the_maps_do_not_hold_changes_nothing() {
        let mut ids = Ids::default();
        let mut given = |weights: [u16; 2], local| {
            let mut list = list(&[1, 2]);
            for (endpoint, weight) in list.endpoints.iter_mut().zip(weights) {
                (endpoint.weight, endpoint.local) = (weight, local);
            }
            id_of(&mut ids, &list)
        };
        let changes = [
            ([1, 1], false),
            ([1, 1], true),
            ([3, 3], true),
            ([1, 2], true),
            ([2, 4], false),
            ([2, 5], false),
        ];
        assert_eq!(
            changes.map(|(weights, local)| given(weights, local)),
            [1, 1, 1, 2, 2, 3]
        );
    }

    #[test]
    fn what_was_forgotten_comes_back_under_new_ids() {
        let mut ids = Ids::default();
        let given = |ids: &mut Ids| {
            let service = ids.service(&key().service_port, 6);
            (service, id_of(ids, &list(&[1])))
        };
        assert_eq!(given(&mut ids), (1, 1));
        ids.retain(|_| true, |_| false);
        assert_eq!(given(&mut ids), (1, 2));
        ids.retain(|_| false, |_| false);
        assert_eq!(given(&mut ids), (2, 3));
    }

    #[test]
    fn a_list_that_lacks_the_members_that_are_asked_for_is_written_anew_and_keeps_those_that_nobody_needs() {
        let mut ids = Ids::default();
        let mut given = |members| ids.list(7, &key(), &list(&[1]), members).expect("not empty");
        let all = [false, true, true, false].map(|members| {
            let list = given(members);
            (list.id, list.members)
        });
        assert_eq!(all, [(1, false), (2, true), (2, true), (2, true)]);
    }
}
