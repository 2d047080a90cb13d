//! What this node's dataplane shall do, kept up to date change by change.
//!
//! ```text
//! Changes ─▶ per Service: Wishes ─┬─ replace its Service ports and lists ──────────┐
//!                                 └─ settle who gets each frontend that it claims ─┴─▶ Desired, Delta
//! ```
//! The work is that of the Services that changed, however many others there are.

use std::collections::{BTreeMap, BTreeSet};

use super::{
    Changes, Cluster, Delta, Desired, Frontend, FrontendKey, ListKey, NodeContext, NodeRules, ObjectName,
    ServicePortId,
    compute::{Place, Wishes},
    topology::Here,
};

/// [`Desired`] and what it takes to change it in parts.
#[derive(Debug)]
pub struct Plan {
    context: NodeContext,
    desired: Desired,
    /// Where each Service wants to be reached.
    claimed: BTreeMap<ObjectName, Vec<FrontendKey>>,
}

/// What this node's dataplane shall do. Equal input gives equal output, whatever the order in which objects came.
#[must_use]
pub fn compute(cluster: &Cluster, context: &NodeContext) -> Desired {
    let mut plan = Plan::new(context.clone());
    plan.update(cluster, &Changes::everything());
    plan.desired
}

impl Plan {
    /// For a node, as long as there is nothing in the cluster.
    #[must_use]
    pub fn new(context: NodeContext) -> Self {
        Self {
            context,
            desired: Desired::default(),
            claimed: BTreeMap::new(),
        }
    }

    /// What shall be, as of the last update.
    #[must_use]
    pub const fn desired(&self) -> &Desired {
        &self.desired
    }

    /// Follows the cluster, of which only `changes` have changed since the last time, and tells what is different.
    pub fn update(&mut self, cluster: &Cluster, changes: &Changes) -> Delta {
        let context = self.context.clone();
        let own = cluster.nodes.get(&ObjectName::cluster_scoped(&context.name));
        let rules = NodeRules::new(&context, own, cluster.mesh_groups());
        let rules = rules.with_service_cidrs(cluster.service_cidrs());
        let place = Place {
            own,
            here: Here::new(&context, own),
            rules: &rules,
        };
        let touched = self.touched(cluster, changes);
        let mut delta = Delta {
            node: self.desired.node != rules,
            ..Delta::default()
        };
        let mut claims = BTreeMap::new();
        for service in &touched {
            let wishes = wishes(cluster, service, place);
            self.update_service(service, wishes, &mut claims, &mut delta);
        }
        for (key, claims) in claims {
            self.settle(key, claims, &touched, &mut delta);
        }
        self.desired.node = rules;
        delta
    }

    fn touched(&self, cluster: &Cluster, changes: &Changes) -> BTreeSet<ObjectName> {
        if changes.all {
            let known = self.claimed.keys().chain(cluster.services.keys());
            return known.cloned().collect();
        }
        changes.services.clone()
    }

    /// Replaces what is the Service's alone, and adds all that it claims or has claimed to `claims`.
    fn update_service(
        &mut self,
        name: &ObjectName,
        wishes: Wishes,
        claims: &mut BTreeMap<FrontendKey, Vec<Frontend>>,
        delta: &mut Delta,
    ) {
        let Desired {
            service_ports, lists, ..
        } = &mut self.desired;
        let first = ServicePortId::first_of(name);
        let old = keys(service_ports, &first, |key| key.service == *name);
        replace(service_ports, old, wishes.service_ports, &mut delta.service_ports);
        let old = keys(lists, &ListKey::first_of(first), |key| {
            key.service_port.service == *name
        });
        replace(lists, old, wishes.lists, &mut delta.lists);
        for key in self.claimed.remove(name).into_iter().flatten() {
            claims.entry(key).or_default();
        }
        if !wishes.claims.is_empty() {
            let keys = wishes.claims.keys().cloned().collect();
            self.claimed.insert(name.clone(), keys);
        }
        for (key, mine) in wishes.claims {
            claims.entry(key).or_default().extend(mine);
        }
    }

    /// Gives the frontend to whom it belongs: `claims` are those of the Services that were `touched`.
    fn settle(
        &mut self,
        key: FrontendKey,
        mut claims: Vec<Frontend>,
        touched: &BTreeSet<ObjectName>,
        delta: &mut Delta,
    ) {
        let winner = self.desired.frontends.remove(&key);
        let losers = self.desired.refused.remove(&key).unwrap_or_default();
        let others = winner.iter().chain(&losers);
        claims.extend(
            others
                .filter(|claim| !touched.contains(&claim.service_port.service))
                .cloned(),
        );
        claims.sort_by(|one, other| one.rank().cmp(&other.rank()));
        let mut claims = claims.into_iter();
        let new_winner = claims.next();
        let new_losers: Vec<Frontend> = claims.collect();
        if new_losers != losers {
            delta.conflicts.insert(key.clone());
        }
        if new_winner != winner || Self::has_another_port_or_list(&key, new_winner.as_ref(), delta) {
            delta.frontends.insert(key.clone());
        }
        let frontends = &mut self.desired.frontends;
        frontends.extend(new_winner.map(|winner| (key.clone(), winner)));
        if !new_losers.is_empty() {
            self.desired.refused.insert(key, new_losers);
        }
    }

    fn has_another_port_or_list(key: &FrontendKey, frontend: Option<&Frontend>, delta: &Delta) -> bool {
        let family = key.address.family();
        frontend.is_some_and(|frontend| {
            let scopes = [frontend.external_clients, frontend.internal_clients];
            let has_another_list = scopes
                .iter()
                .any(|scope| delta.lists.contains(&frontend.list_key(family, *scope)));
            has_another_list || delta.service_ports.contains(&frontend.service_port)
        })
    }
}

fn wishes(cluster: &Cluster, service: &ObjectName, place: Place<'_>) -> Wishes {
    let of = |service| Wishes::of(service, &cluster.slices_of(&service.name), place);
    cluster.services.get(service).map_or_else(Wishes::default, of)
}

/// The keys from `first` on, as long as they are wanted.
fn keys<K: Ord + Clone, V>(map: &BTreeMap<K, V>, first: &K, wanted: impl Fn(&K) -> bool) -> Vec<K> {
    let keys = map.range(first..).map(|(key, _)| key);
    keys.take_while(|key| wanted(key)).cloned().collect()
}

/// Puts `new` in the place of the `old` keys, and tells which are different.
fn replace<K: Ord + Clone, V: PartialEq>(
    map: &mut BTreeMap<K, V>,
    old: Vec<K>,
    new: BTreeMap<K, V>,
    different: &mut BTreeSet<K>,
) {
    for key in old.into_iter().filter(|key| !new.contains_key(key)) {
        map.remove(&key);
        different.insert(key);
    }
    for (key, value) in new {
        if map.get(&key) != Some(&value) {
            map.insert(key.clone(), value);
            different.insert(key);
        }
    }
}

#[cfg(test)]
mod tests;
