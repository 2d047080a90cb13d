//! Writing the maps in an order in which no packet meets half a change.
//!
//! New lists → frontends → stale frontends → lists that no frontend names, a while later: a program that has read the old
//! frontend must still find its list.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::{Duration, Instant},
};

use proxy_common::{
    Addr4, Addr6, Address, Endpoint, EndpointKey, Frontend, FrontendKey, Interface, MemberKey, ServiceName,
    Settings, snat::PortPool,
};

use super::{
    encode::{Contents, FamilyContents},
    ids::{Ids, ListOwner},
    maps::MapError,
    tracked_map::{TrackedMap, Writes},
};
use crate::{
    dataplane::Applied,
    model::{self, EndpointList, Family, Scope},
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
    /// At the first write that fails.
    pub fn reconcile(
        &mut self,
        contents: &Contents,
        (ids, ports): (&Ids, PortPool),
        retired: &mut Retired,
        now: Instant,
    ) -> Result<Applied, MapError> {
        let (next_list, next_service) = ids.next();
        // First: an id that was given away must stay known as such, whatever fails after this.
        self.settings
            .set(0, Settings::new(ports, next_list, next_service))?;
        for (id, name) in &contents.services {
            self.services.set(*id, *name)?;
        }
        self.v4.write(&contents.v4)?;
        self.v6.write(&contents.v6)?;
        self.services.retain(|id| contents.services.contains_key(id))?;

        let wanted: BTreeSet<u32> = contents
            .v4
            .lists
            .keys()
            .chain(contents.v6.lists.keys())
            .copied()
            .collect();
        let present = self.v4.lists().chain(self.v6.lists()).collect();
        let doomed = retired.due(&present, &wanted, now);
        self.v4.delete_lists(&doomed)?;
        self.v6.delete_lists(&doomed)?;
        let Writes { updates, deletes } = self.take_writes();
        Ok(Applied {
            updates,
            deletes,
            again_in: (!retired.lists.is_empty()).then_some(GRACE),
        })
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
    /// The lists whose time has come; the clock of the others starts with the first pass that does not want them.
    fn due(&mut self, present: &BTreeSet<u32>, wanted: &BTreeSet<u32>, now: Instant) -> BTreeSet<u32> {
        for list in present.difference(wanted) {
            self.lists.entry(*list).or_insert(now);
        }
        let due = self
            .lists
            .iter()
            .filter(|(_, since)| now.duration_since(**since) >= GRACE);
        let due: BTreeSet<u32> = due.map(|(list, _)| *list).collect();
        self.lists
            .retain(|list, _| present.contains(list) && !wanted.contains(list) && !due.contains(list));
        due.difference(wanted).copied().collect()
    }
}

impl<A: Address> FamilyMaps<A> {
    fn write(&mut self, contents: &FamilyContents<A>) -> Result<(), MapError> {
        for (list, endpoints) in &contents.lists {
            for (slot, endpoint) in (0..).zip(endpoints) {
                self.members
                    .set(MemberKey::new(*list, endpoint.address(), endpoint.port()), slot)?;
                self.endpoints.set(EndpointKey::new(*list, slot), *endpoint)?;
            }
        }
        self.frontends.replace(&contents.frontends)
    }

    fn lists(&self) -> impl Iterator<Item = u32> {
        let endpoints = self.endpoints.known().keys().map(EndpointKey::list);
        endpoints.chain(self.members.known().keys().map(MemberKey::list))
    }

    fn delete_lists(&mut self, doomed: &BTreeSet<u32>) -> Result<(), MapError> {
        if doomed.is_empty() {
            return Ok(());
        }
        self.endpoints.retain(|key| !doomed.contains(&key.list()))?;
        self.members.retain(|key| !doomed.contains(&key.list()))
    }

    fn take_writes(&mut self) -> Writes {
        sum([
            self.frontends.take_writes(),
            self.endpoints.take_writes(),
            self.members.take_writes(),
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
    let mut lists: BTreeMap<u32, EndpointList> = BTreeMap::new();
    for (key, endpoint) in maps.endpoints.known() {
        let endpoint = model::Endpoint {
            address: endpoint.address().to_ip(),
            port: endpoint.port().get(),
            weight: 1,
            local: false,
        };
        lists.entry(key.list()).or_default().endpoints.push(endpoint);
    }
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
                    id,
                    list.clone(),
                );
            }
        }
    }
}
