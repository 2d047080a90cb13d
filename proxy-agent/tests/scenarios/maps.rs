//! The BPF maps in memory. One call in ten fails, before or after it has done what it was asked for.

use std::{
    collections::BTreeMap,
    fmt::{self, Write as _},
    io,
    net::SocketAddr,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use proxy_agent::dataplane::bpf::{
    maps::{MapError, RangeKey, TypedMap},
    reconcile::{FamilyMaps, Maps},
    tracked_map::TrackedMap,
};
use proxy_common::{
    Addr4, Addr6, Address, Endpoint, EndpointKey, Frontend, FrontendFlags, FrontendKey, Limits, MemberKey,
    ServiceName, select::ALWAYS,
};

/// What stands in the maps that the agent opens.
pub(crate) struct Memory {
    draws: Arc<Mutex<Draws>>,
    services: Map<u32, ServiceName>,
    v4: Family<Addr4>,
    v6: Family<Addr6>,
}

struct Family<A> {
    frontends: Map<FrontendKey<A>, Frontend>,
    endpoints: Map<EndpointKey, Endpoint<A>>,
    members: Map<MemberKey<A>, u32>,
    source_ranges: Map<RangeKey<A>, u32>,
}

/// Its clones are the same map.
struct Map<K, V> {
    content: Arc<Mutex<BTreeMap<K, V>>>,
    draws: Arc<Mutex<Draws>>,
}

/// Which calls fail: the same for the same seed.
struct Draws {
    random: u64,
    fails: bool,
}

impl Memory {
    pub(crate) fn new(seed: u64) -> Self {
        let draws = Arc::new(Mutex::new(Draws {
            random: seed,
            fails: false,
        }));
        Self {
            services: Map::new(&draws),
            v4: Family::new(&draws),
            v6: Family::new(&draws),
            draws,
        }
    }

    /// The maps as the agent finds them; from then on calls fail.
    pub(crate) fn open(&self) -> Maps {
        let maps = Maps {
            v4: self.v4.open(&self.draws),
            v6: self.v6.open(&self.draws),
            interfaces: Map::new(&self.draws).open(),
            services: self.services.open(),
            settings: Map::new(&self.draws).open(),
        };
        lock(&self.draws).fails = true;
        maps
    }

    /// What the programs would find.
    pub(crate) fn in_words(&self) -> String {
        let mut text = String::new();
        for (id, name) in lock(&self.services.content).iter() {
            let limits = limits_in_words(name.limits());
            let line = writeln!(
                text,
                "service {id}: {}, protocol {}{limits}",
                name.text(),
                name.protocol()
            );
            line.expect("a string takes all");
        }
        self.v4.write("IPv4", &mut text).expect("a string takes all");
        self.v6.write("IPv6", &mut text).expect("a string takes all");
        text
    }
}

impl<A: Address + Send> Family<A> {
    fn new(draws: &Arc<Mutex<Draws>>) -> Self {
        Self {
            frontends: Map::new(draws),
            endpoints: Map::new(draws),
            members: Map::new(draws),
            source_ranges: Map::new(draws),
        }
    }

    fn open(&self, draws: &Arc<Mutex<Draws>>) -> FamilyMaps<A> {
        FamilyMaps {
            frontends: self.frontends.open(),
            endpoints: self.endpoints.open(),
            members: self.members.open(),
            node_addresses: Map::new(draws).open(),
            source_ranges: self.source_ranges.open(),
        }
    }

    fn write(&self, family: &str, text: &mut String) -> fmt::Result {
        for (key, frontend) in lock(&self.frontends.content).iter() {
            let at = SocketAddr::new(key.address().to_ip(), key.port().get());
            writeln!(
                text,
                "{family} {at} protocol {}: {}",
                key.protocol(),
                frontend_in_words(frontend)
            )?;
        }
        for key in lock(&self.source_ranges.content).keys() {
            let (service, client) = (key.range.service(), key.range.client().to_ip());
            let bits = key.bits - 32;
            writeln!(
                text,
                "{family} source range of service {service}: {client}/{bits}"
            )?;
        }
        let members = lock(&self.members.content);
        let mut found = 0;
        for (key, endpoint) in lock(&self.endpoints.content).iter() {
            let (list, slot) = (key.list(), key.slot());
            let at = SocketAddr::new(endpoint.address().to_ip(), endpoint.port().get());
            let member = members.get(&MemberKey::new(list, endpoint.address(), endpoint.port()));
            assert!(member.is_none_or(|member| *member == slot), "list {list}: {at}");
            let share = share_in_words(endpoint.threshold(), endpoint.alias());
            let known = member.map_or("", |_| ", a member");
            writeln!(text, "{family} list {list} slot {slot}: {at}{share}{known}")?;
            found += usize::from(member.is_some());
        }
        assert_eq!(members.len(), found, "{family}: no other members");
        Ok(())
    }
}

fn frontend_in_words(frontend: &Frontend) -> String {
    let mut words = vec![format!("service {}", frontend.service())];
    words.extend(frontend.kind().map(|kind| format!("{kind:?}")));
    for (flag, meaning) in [
        (FrontendFlags::MASQUERADE, "masquerade everyone"),
        (FrontendFlags::MASQUERADE_OFF_CLUSTER, "masquerade all but pods"),
        (FrontendFlags::SILENT, "silent if empty"),
        (FrontendFlags::SOURCE_RANGES, "only from ranges"),
    ] {
        if frontend.flags().has(flag) {
            words.push(meaning.to_owned());
        }
    }
    if frontend.affinity_timeout() != 0 {
        words.push(format!("affinity for {} s", frontend.affinity_timeout()));
    }
    let (others, pods) = (frontend.list_for(false), frontend.list_for(true));
    words.push(format!("list {} of {}", others.id, others.len));
    if pods != others {
        words.push(format!("for pods list {} of {}", pods.id, pods.len));
    }
    words.join(", ")
}

fn share_in_words(threshold: u32, alias: u32) -> String {
    match threshold {
        ALWAYS => String::new(),
        _ => format!(", {threshold} of 2^32 of its slot, the rest to slot {alias}"),
    }
}

fn limits_in_words(limits: Limits) -> String {
    let words = [(Limits::PROTOCOL, ", without its protocol")];
    let words = words.into_iter().filter(|(limit, _)| limits.has(*limit));
    words.map(|(_, word)| word).collect()
}

impl<K, V> Clone for Map<K, V> {
    fn clone(&self) -> Self {
        Self {
            content: Arc::clone(&self.content),
            draws: Arc::clone(&self.draws),
        }
    }
}

impl<K, V> Map<K, V>
where
    K: Ord + Copy + Send + 'static,
    V: Copy + PartialEq + Send + 'static,
{
    fn new(draws: &Arc<Mutex<Draws>>) -> Self {
        Self {
            content: Arc::default(),
            draws: Arc::clone(draws),
        }
    }

    fn open(&self) -> TrackedMap<K, V> {
        TrackedMap::load(self.clone()).expect("no call fails yet")
    }

    fn around<T>(&self, call: impl FnOnce(&mut BTreeMap<K, V>) -> T) -> Result<T, MapError> {
        match lock(&self.draws).next() {
            Fault::None => Ok(call(&mut lock(&self.content))),
            Fault::Before => Err(injected()),
            Fault::After => {
                call(&mut lock(&self.content));
                Err(injected())
            }
        }
    }
}

impl<K, V> TypedMap<K, V> for Map<K, V>
where
    K: Ord + Copy + Send + 'static,
    V: Copy + PartialEq + Send + 'static,
{
    fn entries(&self) -> Result<Vec<(K, V)>, MapError> {
        self.around(|content| content.iter().map(|(key, value)| (*key, *value)).collect())
    }

    fn insert(&mut self, key: &K, value: &V) -> Result<(), MapError> {
        self.around(|content| {
            content.insert(*key, *value);
        })
    }

    fn remove(&mut self, key: &K) -> Result<(), MapError> {
        self.around(|content| {
            content.remove(key);
        })
    }
}

enum Fault {
    None,
    Before,
    After,
}

impl Draws {
    /// SplitMix64.
    fn next(&mut self) -> Fault {
        self.random = self.random.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.random ^ (self.random >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        match (mixed ^ (mixed >> 31)) % 20 {
            0 if self.fails => Fault::Before,
            1 if self.fails => Fault::After,
            _ => Fault::None,
        }
    }
}

fn injected() -> MapError {
    MapError {
        map: "memory".to_owned(),
        operation: "any",
        source: io::Error::other("injected"),
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
