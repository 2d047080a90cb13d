//! The kernel's side of the maps: what a program sees at every moment, and what must hold there.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt::Debug,
    sync::{Arc, Mutex},
    time::{Duration, Instant},
};

use proxy_common::{
    Addr4, Addr6, Address, Endpoint, EndpointKey, Frontend, FrontendKey, List, MemberKey, ServiceName,
    Settings, UDP,
};

use super::super::{FamilyMaps, GRACE, Maps};
use crate::dataplane::bpf::{
    encode::{Contents, FamilyContents},
    maps::TypedMap,
    memory::{Faults, FaultyMap, MemoryMap, WatchedMap},
    tracked_map::TrackedMap,
};

/// The memory behind the maps; outlives the agent.
#[derive(Clone)]
pub(super) struct Kernel {
    pub(super) v4: Family<Addr4>,
    pub(super) v6: Family<Addr6>,
    pub(super) services: MemoryMap<u32, ServiceName>,
    pub(super) settings: MemoryMap<u32, Settings>,
    pub(super) faults: Faults,
    history: Arc<Mutex<History>>,
}

/// One family's.
pub(super) struct Family<A> {
    pub(super) frontends: MemoryMap<FrontendKey<A>, Frontend>,
    pub(super) endpoints: MemoryMap<EndpointKey, Endpoint<A>>,
    pub(super) members: MemoryMap<MemberKey<A>, u32>,
}

/// What was seen at earlier moments.
struct History {
    now: Instant,
    writes: usize,
    /// What each slot held when it was first seen, in words: it may never hold anything else.
    slots: BTreeMap<EndpointKey, String>,
    present: BTreeSet<u32>,
    deleted: BTreeSet<u32>,
    last_named: BTreeMap<u32, Instant>,
}

impl<A> Clone for Family<A> {
    fn clone(&self) -> Self {
        Self {
            frontends: self.frontends.clone(),
            endpoints: self.endpoints.clone(),
            members: self.members.clone(),
        }
    }
}

impl<A> Default for Family<A> {
    fn default() -> Self {
        Self {
            frontends: MemoryMap::default(),
            endpoints: MemoryMap::default(),
            members: MemoryMap::default(),
        }
    }
}

impl Kernel {
    pub(super) fn new(faults: Faults) -> Self {
        let history = History {
            now: Instant::now(),
            writes: 0,
            slots: BTreeMap::new(),
            present: BTreeSet::new(),
            deleted: BTreeSet::new(),
            last_named: BTreeMap::new(),
        };
        Self {
            v4: Family::default(),
            v6: Family::default(),
            services: MemoryMap::default(),
            settings: MemoryMap::default(),
            faults,
            history: Arc::new(Mutex::new(history)),
        }
    }

    /// The maps as an agent that starts finds them.
    pub(super) fn open(&self) -> Maps {
        let faults = self.faults.pause();
        let maps = Maps {
            v4: self.family(&self.v4),
            v6: self.family(&self.v6),
            interfaces: self.tracked(MemoryMap::default()),
            services: self.tracked(self.services.clone()),
            settings: self.tracked(self.settings.clone()),
        };
        faults.resume();
        maps
    }

    fn family<A: Address + Debug + Send>(&self, family: &Family<A>) -> FamilyMaps<A> {
        FamilyMaps {
            frontends: self.tracked(family.frontends.clone()),
            endpoints: self.tracked(family.endpoints.clone()),
            members: self.tracked(family.members.clone()),
            node_addresses: self.tracked(MemoryMap::default()),
            source_ranges: self.tracked(MemoryMap::default()),
        }
    }

    fn tracked<K, V>(&self, map: impl TypedMap<K, V> + 'static) -> TrackedMap<K, V>
    where
        K: Ord + Copy + Send + 'static,
        V: Copy + PartialEq + Send + 'static,
    {
        let kernel = self.clone();
        let after = Arc::new(move || kernel.check());
        let watched = WatchedMap { map, after };
        TrackedMap::load(FaultyMap::new(watched, &self.faults)).expect("faults are paused")
    }

    pub(super) fn now(&self) -> Instant {
        self.history.lock().unwrap().now
    }

    pub(super) fn wait(&self, time: Duration) {
        self.history.lock().unwrap().now += time;
    }

    /// How many writes and deletions got through so far.
    pub(super) fn writes(&self) -> usize {
        self.history.lock().unwrap().writes
    }

    /// Everything that must hold between any two writes.
    fn check(&self) {
        let mut history = self.history.lock().unwrap();
        history.writes += 1;
        let mut present = BTreeSet::new();
        check_family(&self.v4, &mut history, &mut present);
        check_family(&self.v6, &mut history, &mut present);
        history.note_lists(present);
        self.check_ids(&history);
    }

    /// What was given away is on record before anything else says so.
    fn check_ids(&self, history: &History) {
        let settings = self.settings.content();
        let (next_list, next_service) = settings
            .get(&0)
            .map_or((1, 1), |settings| (settings.next_list(), settings.next_service()));
        let lists = &history.present;
        assert!(
            lists.iter().all(|list| *list < next_list),
            "{lists:?} of {next_list}"
        );
        let services = self.services.content();
        assert!(services.keys().all(|service| *service < next_service));
    }

    /// Whether the maps hold exactly this.
    pub(super) fn assert_holds(&self, contents: &Contents) {
        assert_eq!(self.services.content(), contents.services);
        self.v4.assert_holds(&contents.v4);
        self.v6.assert_holds(&contents.v6);
    }
}

impl<A: Address + Debug + Send> Family<A> {
    fn assert_holds(&self, contents: &FamilyContents<A>) {
        let mut endpoints = BTreeMap::new();
        let mut members = BTreeMap::new();
        for (list, at) in &contents.lists {
            for (slot, endpoint) in (0..).zip(at) {
                endpoints.insert(EndpointKey::new(*list, slot), *endpoint);
                if contents.with_members.contains(list) {
                    members.insert(MemberKey::new(*list, endpoint.address(), endpoint.port()), slot);
                }
            }
        }
        assert_eq!(self.frontends.content(), contents.frontends);
        assert_eq!(self.endpoints.content(), endpoints);
        assert_eq!(self.members.content(), members);
    }
}

/// Each frontend's list is there as long as it says, and no list ever changes.
fn check_family<A: Address + Debug + Send>(
    family: &Family<A>,
    history: &mut History,
    present: &mut BTreeSet<u32>,
) {
    let (endpoints, members) = (family.endpoints.content(), family.members.content());
    let frontends = family.frontends.content();
    let lists = |(key, frontend): (FrontendKey<A>, Frontend)| {
        let asks_for_members = key.protocol() == UDP || frontend.affinity_timeout() > 0;
        [false, true].map(|local| (key, frontend.list(local), asks_for_members))
    };
    let named = frontends.into_iter().flat_map(lists);
    for (key, List { id: list, len, .. }, asks_for_members) in named.filter(|(_, list, _)| list.id != 0) {
        history.last_named.insert(list, history.now);
        for slot in 0..len {
            let endpoint = endpoints.get(&EndpointKey::new(list, slot));
            let endpoint =
                endpoint.unwrap_or_else(|| panic!("{key:?} has no slot {slot} of {len} in list {list}"));
            let member = members.get(&MemberKey::new(list, endpoint.address(), endpoint.port()));
            assert!(member == Some(&slot) || !asks_for_members, "{key:?}, list {list}");
        }
        let more = endpoints.get(&EndpointKey::new(list, len));
        assert_eq!(more, None, "list {list} has more than {len} slots");
    }
    for (key, endpoint) in endpoints {
        let text = format!("{endpoint:?}");
        let first = history.slots.entry(key).or_insert_with(|| text.clone());
        assert_eq!(*first, text, "{key:?} has changed");
        present.insert(key.list());
    }
}

impl History {
    /// A list stays for a while after the last frontend that names it, and never comes back.
    fn note_lists(&mut self, present: BTreeSet<u32>) {
        for list in self.present.difference(&present) {
            let unused = self.last_named.get(list).map(|last| self.now - *last);
            assert!(
                unused.is_none_or(|unused| unused >= GRACE),
                "list {list} is gone after {unused:?}"
            );
            self.deleted.insert(*list);
        }
        let back: Vec<_> = present.intersection(&self.deleted).collect();
        assert!(back.is_empty(), "lists {back:?} are back");
        self.present = present;
    }
}
