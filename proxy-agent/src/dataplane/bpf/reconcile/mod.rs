//! Writing the maps in an order in which no packet meets half a change.
//!
//! New lists → frontends → stale frontends → lists that no frontend names, a while later: a program that has read the old
//! frontend must still find its list.
//!
//! What fails costs only itself and what depends on it: a map that is full must not keep anything from being deleted.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::{Duration, Instant},
};

use proxy_common::{
    Addr4, Addr6, Address, Endpoint, EndpointKey, Frontend, FrontendKey, Interface, MemberKey, ServiceName,
    Settings,
};

use super::{
    alias::Slot,
    encode::{Contents, FamilyContents, Gone},
    ids::{Ids, ListId, ListOwner},
    maps::{MapError, RangeKey},
    object::MapSizes,
    tracked_map::{TrackedMap, Writes},
};
use crate::{
    dataplane::{Applied, MapUse},
    model::{Family, Scope},
};

/// How long a list stays after its last frontend. Programs run for microseconds; this covers a preempted virtual machine.
const GRACE: Duration = Duration::from_secs(1);

/// The maps that the agent writes.
pub struct Maps {
    /// Those of IPv4.
    pub v4: FamilyMaps<Addr4>,
    /// Those of IPv6.
    pub v6: FamilyMaps<Addr6>,
    /// `INTERFACES`.
    pub interfaces: TrackedMap<u32, Interface>,
    /// `SERVICES`.
    pub services: TrackedMap<u32, ServiceName>,
    /// `SETTINGS`.
    pub settings: TrackedMap<u32, Settings>,
}

/// The maps of one family.
pub struct FamilyMaps<A> {
    /// `FRONTENDS`.
    pub frontends: TrackedMap<FrontendKey<A>, Frontend>,
    /// `ENDPOINTS`.
    pub endpoints: TrackedMap<EndpointKey, Endpoint<A>>,
    /// `LIST_MEMBERS`.
    pub members: TrackedMap<MemberKey<A>, u32>,
    /// `NODE_ADDRESSES`.
    pub node_addresses: TrackedMap<A, u32>,
    /// `SOURCE_RANGES`.
    pub source_ranges: TrackedMap<RangeKey<A>, u32>,
}

/// What waits for its time to be deleted.
#[derive(Debug, Default)]
pub struct Retired {
    lists: BTreeMap<u32, Instant>,
}

impl Maps {
    /// The ids that an earlier run has given away.
    #[must_use]
    pub fn restore_ids(&self) -> Ids {
        let mut ids = Ids::default();
        for (id, name) in self.services.known() {
            ids.restore_service(name.text(), name.protocol(), *id);
        }
        restore_lists(Family::V4, &self.v4, &mut ids);
        restore_lists(Family::V6, &self.v6, &mut ids);
        if let Some(settings) = self.settings.known().get(&0) {
            ids.reserve(settings.next_list(), settings.next_service());
        }
        ids
    }

    /// Makes the maps hold `contents`. Safe to repeat after a failure.
    ///
    /// # Errors
    /// The first failure. All that does not depend on it is written all the same.
    pub fn reconcile(
        &mut self,
        contents: &Contents,
        settings: Settings,
        retired: &mut Retired,
        now: Instant,
    ) -> Result<Applied, MapError> {
        self.settle()?;
        // First: an id that was given away must stay known as such, whatever fails after this.
        self.settings.set(0, settings)?;
        self.services
            .set_all(&contents.services)
            .and(self.v4.write(&contents.v4))
            .and(self.v6.write(&contents.v6))
            .and(self.services.retain(|id| contents.services.contains_key(id)))
            .and(self.delete_lists(contents, retired, now))?;
        Ok(self.applied(retired))
    }

    /// Makes the maps hold `contents` and nothing of `gone`; all else they hold already.
    ///
    /// # Errors
    /// The first failure: then [`Self::reconcile`] is to be called next.
    pub fn apply(
        &mut self,
        (contents, gone): (&Contents, &Gone),
        settings: Settings,
        retired: &mut Retired,
        now: Instant,
    ) -> Result<Applied, MapError> {
        self.settings.set(0, settings)?;
        self.services.set_all(&contents.services)?;
        self.v4.set(&contents.v4)?;
        self.v6.set(&contents.v6)?;
        self.v4.frontends.remove_all(gone.frontends4.iter().copied())?;
        self.v6.frontends.remove_all(gone.frontends6.iter().copied())?;
        let changed = || contents.services.keys().chain(&gone.services).copied();
        self.v4.drop_ranges(changed(), &contents.v4)?;
        self.v6.drop_ranges(changed(), &contents.v6)?;
        self.services.remove_all(gone.services.iter().copied())?;
        let doomed = retired.and_due(&gone.lists, now);
        self.v4.delete_lists(&doomed).and(self.v6.delete_lists(&doomed))?;
        Ok(self.applied(retired))
    }

    /// In how many entries the maps are not as they were written.
    ///
    /// # Errors
    /// When one can't be read.
    pub fn count_drift(&mut self) -> Result<usize, MapError> {
        let node = self.settings.count_drift()? + self.interfaces.count_drift()?;
        let names = self.services.count_drift()?;
        Ok(node + names + self.v4.count_drift()? + self.v6.count_drift()?)
    }

    /// How full the maps are that grow with the cluster, if they have these sizes. `LIST_MEMBERS` are never fuller than `ENDPOINTS`.
    #[must_use]
    pub fn uses(&self, sizes: MapSizes) -> Vec<MapUse> {
        let Self { v4, v6, .. } = self;
        [
            ("FRONTENDS4", v4.frontends.known().len(), sizes.frontends),
            ("FRONTENDS6", v6.frontends.known().len(), sizes.frontends),
            ("ENDPOINTS4", v4.endpoints.known().len(), sizes.endpoints),
            ("ENDPOINTS6", v6.endpoints.known().len(), sizes.endpoints),
            ("SERVICES", self.services.known().len(), sizes.services),
        ]
        .map(|(name, entries, size)| MapUse { name, entries, size })
        .to_vec()
    }

    fn applied(&mut self, retired: &Retired) -> Applied {
        let Writes { updates, deletes } = self.take_writes();
        Applied {
            updates,
            deletes,
            again_in: (!retired.lists.is_empty()).then_some(GRACE),
        }
    }

    fn settle(&mut self) -> Result<(), MapError> {
        self.settings.settle()?;
        self.services.settle()?;
        self.v4.settle()?;
        self.v6.settle()
    }

    fn delete_lists(
        &mut self,
        contents: &Contents,
        retired: &mut Retired,
        now: Instant,
    ) -> Result<(), MapError> {
        // A frontend whose write has failed names the old list or the new one.
        self.v4.frontends.settle()?;
        self.v6.frontends.settle()?;
        let wanted = contents.v4.lists.keys().chain(contents.v6.lists.keys()).copied();
        let named = self.v4.named_lists().chain(self.v6.named_lists());
        let in_use = wanted.chain(named).collect();
        let present = self.v4.lists().chain(self.v6.lists()).collect();
        let doomed = retired.due(&present, &in_use, now);
        self.v4.delete_lists(&doomed).and(self.v6.delete_lists(&doomed))
    }

    fn take_writes(&mut self) -> Writes {
        let parts = [
            self.services.take_writes(),
            self.settings.take_writes(),
            self.v4.take_writes(),
            self.v6.take_writes(),
        ];
        sum(parts)
    }
}

impl Retired {
    /// The lists whose time has come; the clock of the others starts with the first pass that finds them unused.
    fn due(&mut self, present: &BTreeSet<u32>, in_use: &BTreeSet<u32>, now: Instant) -> BTreeSet<u32> {
        let unused: BTreeSet<u32> = present.difference(in_use).copied().collect();
        self.lists.retain(|list, _| unused.contains(list));
        self.add_and_take(unused, now)
    }

    /// As [`Self::due`], when only `more` have become unused.
    fn and_due(&mut self, more: &[u32], now: Instant) -> BTreeSet<u32> {
        self.add_and_take(more.iter().copied(), now)
    }

    fn add_and_take(&mut self, unused: impl IntoIterator<Item = u32>, now: Instant) -> BTreeSet<u32> {
        for list in unused {
            self.lists.entry(list).or_insert(now);
        }
        self.lists
            .extract_if(.., |_, since| now.duration_since(*since) >= GRACE)
            .map(|(list, _)| list)
            .collect()
    }
}

impl<A: Address> FamilyMaps<A> {
    fn settle(&mut self) -> Result<(), MapError> {
        self.frontends.settle()?;
        self.endpoints.settle()?;
        self.source_ranges.settle()?;
        self.members.settle()
    }

    fn count_drift(&mut self) -> Result<usize, MapError> {
        let lists = self.endpoints.count_drift()? + self.members.count_drift()?;
        let clients = self.node_addresses.count_drift()? + self.source_ranges.count_drift()?;
        Ok(lists + clients + self.frontends.count_drift()?)
    }

    /// Writes all that is in `contents` and deletes each frontend and range that is not.
    fn write(&mut self, contents: &FamilyContents<A>) -> Result<(), MapError> {
        let frontends = |key: &FrontendKey<A>| contents.frontends.contains_key(key);
        let ranges = |key: &RangeKey<A>| contents.source_ranges.contains(key);
        self.set(contents)
            .and(self.frontends.retain(frontends))
            .and(self.source_ranges.retain(ranges))
    }

    /// Deletes the ranges of these Service ports that are not in `contents`.
    fn drop_ranges(
        &mut self,
        services: impl Iterator<Item = u32>,
        contents: &FamilyContents<A>,
    ) -> Result<(), MapError> {
        for service in services {
            let of_service = RangeKey::first_of(service)..RangeKey::first_of(service.saturating_add(1));
            let known = self.source_ranges.known().range(of_service).map(|(key, _)| *key);
            let stale: Vec<_> = known
                .filter(|key| !contents.source_ranges.contains(key))
                .collect();
            self.source_ranges.remove_all(stale)?;
        }
        Ok(())
    }

    fn set(&mut self, contents: &FamilyContents<A>) -> Result<(), MapError> {
        let mut result = Ok(());
        for range in &contents.source_ranges {
            result = result.and(self.source_ranges.set(*range, 1));
        }
        let mut incomplete = BTreeSet::new();
        for (list, endpoints) in &contents.lists {
            let members = contents.with_members.contains(list);
            if let Err(error) = self.write_list(*list, endpoints, members) {
                incomplete.insert(*list);
                result = result.and(Err(error));
            }
        }
        for (key, frontend) in &contents.frontends {
            if !frontend.list_ids().iter().any(|list| incomplete.contains(list)) {
                result = result.and(self.frontends.set(*key, *frontend));
            }
        }
        result
    }

    fn write_list(&mut self, list: u32, endpoints: &[Endpoint<A>], members: bool) -> Result<(), MapError> {
        for (slot, endpoint) in (0..).zip(endpoints) {
            if members {
                let member = MemberKey::new(list, endpoint.address(), endpoint.port());
                self.members.set(member, slot)?;
            }
            self.endpoints.set(EndpointKey::new(list, slot), *endpoint)?;
        }
        Ok(())
    }

    fn named_lists(&self) -> impl Iterator<Item = u32> {
        self.frontends.known().values().flat_map(Frontend::list_ids)
    }

    fn lists(&self) -> impl Iterator<Item = u32> {
        let endpoints = self.endpoints.known().keys().map(EndpointKey::list);
        endpoints.chain(self.members.known().keys().map(MemberKey::list))
    }

    fn delete_lists(&mut self, doomed: &BTreeSet<u32>) -> Result<(), MapError> {
        let mut result = Ok(());
        for list in doomed {
            let slots = EndpointKey::new(*list, 0)..=EndpointKey::new(*list, u32::MAX);
            let members = MemberKey::first_of(*list)..MemberKey::first_of(list.saturating_add(1));
            result = result
                .and(self.endpoints.remove_range(slots))
                .and(self.members.remove_range(members));
        }
        result
    }

    fn take_writes(&mut self) -> Writes {
        sum([
            self.frontends.take_writes(),
            self.endpoints.take_writes(),
            self.members.take_writes(),
            self.source_ranges.take_writes(),
        ])
    }
}

fn sum(parts: impl IntoIterator<Item = Writes>) -> Writes {
    parts.into_iter().fold(Writes::default(), |sum, part| Writes {
        updates: sum.updates + part.updates,
        deletes: sum.deletes + part.deletes,
    })
}

fn restore_lists<A: Address>(family: Family, maps: &FamilyMaps<A>, ids: &mut Ids) {
    let mut lists: BTreeMap<u32, Vec<Slot>> = BTreeMap::new();
    for (key, endpoint) in maps.endpoints.known() {
        lists
            .entry(key.list())
            .or_default()
            .push(Slot::from_wire(endpoint));
    }
    let with_members: BTreeSet<u32> = maps.members.known().keys().map(MemberKey::list).collect();
    for frontend in maps.frontends.known().values() {
        for (scope, id) in [Scope::Cluster, Scope::Local]
            .into_iter()
            .zip(frontend.list_ids())
        {
            if let Some(list) = lists.get(&id) {
                ids.restore_list(
                    ListOwner {
                        service: frontend.service(),
                        family,
                        scope,
                    },
                    ListId {
                        id,
                        members: with_members.contains(&id),
                    },
                    list.clone(),
                );
            }
        }
    }
}

#[cfg(test)]
mod tests;
