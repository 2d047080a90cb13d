//! What is different in [`super::Desired`] since the last time.

use std::collections::BTreeSet;

use super::{FrontendKey, ListKey, ServicePortId};
#[cfg(test)]
use {
    super::{Desired, EndpointList, Frontend, ServicePort},
    std::collections::BTreeMap,
};

/// The keys whose values are new, others than before, or gone.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Delta {
    /// Service ports.
    pub service_ports: BTreeSet<ServicePortId>,
    /// Endpoint lists.
    pub lists: BTreeSet<ListKey>,
    /// Frontends, also those that are as before but whose Service port or one of whose lists is not.
    pub frontends: BTreeSet<FrontendKey>,
    /// What holds for all of them.
    pub node: bool,
    /// Frontends that other Service ports claim in vain than before. Only for the log.
    pub conflicts: BTreeSet<FrontendKey>,
}

impl Delta {
    /// What is different between two states, by looking at all of both.
    #[cfg(test)]
    pub(crate) fn between(before: &Desired, after: &Desired) -> Self {
        Self {
            service_ports: different(&before.service_ports, &after.service_ports),
            lists: different(&before.lists, &after.lists),
            frontends: different(&in_full(before), &in_full(after)),
            node: before.node != after.node,
            conflicts: different(&before.refused, &after.refused),
        }
    }

    /// Whether a dataplane has something to do.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        !self.node && self.service_ports.is_empty() && self.lists.is_empty() && self.frontends.is_empty()
    }
}

#[cfg(test)]
fn different<K: Ord + Clone, V: PartialEq>(before: &BTreeMap<K, V>, after: &BTreeMap<K, V>) -> BTreeSet<K> {
    let keys = before.keys().chain(after.keys());
    keys.filter(|key| before.get(key) != after.get(key))
        .cloned()
        .collect()
}

/// A frontend with its Service port and its lists.
#[cfg(test)]
type InFull = (Frontend, Option<ServicePort>, [Option<EndpointList>; 2]);

#[cfg(test)]
fn in_full(desired: &Desired) -> BTreeMap<FrontendKey, InFull> {
    let lists = |key: &FrontendKey, frontend: &Frontend| {
        [frontend.external_clients, frontend.internal_clients].map(|scope| {
            let key = frontend.list_key(key.address.family(), scope);
            desired.lists.get(&key).cloned()
        })
    };
    let frontends = desired.frontends.iter();
    frontends
        .map(|(key, frontend)| {
            let port = desired.service_ports.get(&frontend.service_port).cloned();
            (key.clone(), (frontend.clone(), port, lists(key, frontend)))
        })
        .collect()
}
