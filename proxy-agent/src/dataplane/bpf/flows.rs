//! The flow tables as the agent reads and writes them, where connections change hands.

use std::net::SocketAddr;

use anyhow::Result;
use aya::{
    Pod,
    maps::{Array, HashMap, Map, MapData},
};
use proxy_common::{Address, Flow, FlowFlags, FlowKey, HINTS, hint};

use super::{attach::Hook, dump::open, object::PinDir};

/// `BPF_NOEXIST`.
const ONLY_NEW: u64 = 1;

/// One family's.
pub(super) struct FlowTables<A> {
    ingress: HashMap<MapData, FlowKey<A>, Flow<A>>,
    egress: HashMap<MapData, FlowKey<A>, Flow<A>>,
    hints: Array<MapData, [u8; HINTS]>,
}

/// An entry of one of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Entry<A> {
    pub(super) hook: Hook,
    pub(super) key: FlowKey<A>,
    pub(super) flow: Flow<A>,
}

impl<A: Address> FlowTables<A>
where
    FlowKey<A>: Pod,
    Flow<A>: Pod,
{
    /// Those that are pinned, of the family that names end with.
    pub(super) fn open(pins: &PinDir, suffix: &str) -> Result<Self> {
        let table = |name: &str| -> Result<_> {
            let map = Map::LruHashMap(open(pins, &format!("{name}{suffix}"))?);
            Ok(HashMap::try_from(map)?)
        };
        Ok(Self {
            ingress: table("INGRESS_FLOWS")?,
            egress: table("EGRESS_FLOWS")?,
            hints: Map::Array(open(pins, "FLOW_HINTS")?).try_into()?,
        })
    }

    /// The entries at ingress. One that is evicted meanwhile may be missing.
    pub(super) fn at_ingress(&self) -> impl Iterator<Item = (FlowKey<A>, Flow<A>)> + '_ {
        self.ingress.iter().flatten()
    }

    /// Adds an entry; whether there was none.
    pub(super) fn add(&mut self, entry: &Entry<A>) -> bool {
        let table = match entry.hook {
            Hook::Ingress => &mut self.ingress,
            Hook::Egress => &mut self.egress,
        };
        table.insert(entry.key, entry.flow, ONLY_NEW).is_ok()
    }

    /// Forgets what a packet at ingress is to get.
    pub(super) fn remove_at_ingress(&mut self, key: &FlowKey<A>) {
        // It may have been evicted.
        let _ = self.ingress.remove(key);
    }

    /// Sees to it that the programs look for these entries. Only while they open no flows: a hint that they give meanwhile is lost.
    pub(super) fn announce<'a>(&mut self, entries: impl Iterator<Item = &'a Entry<A>>) -> Result<()>
    where
        A: 'a,
    {
        let mut hints = [self.hints.get(&0, 0)?, self.hints.get(&1, 0)?];
        for entry in entries {
            hints[index(entry.hook)][hint(serving_end(entry))] = 1;
        }
        for (at, bytes) in (0..).zip(hints) {
            self.hints.set(at, bytes, 0)?;
        }
        Ok(())
    }
}

/// As `FLOW_HINTS` counts hooks.
const fn index(hook: Hook) -> usize {
    match hook {
        Hook::Ingress => 0,
        Hook::Egress => 1,
    }
}

fn serving_end<A: Address>(entry: &Entry<A>) -> (A, proxy_common::Port) {
    if entry.flow.flags().has(FlowFlags::REQUEST) {
        entry.key.destination()
    } else {
        entry.key.source()
    }
}

/// An address and port in the standard library's words.
pub(super) fn socket<A: Address>((address, port): (A, proxy_common::Port)) -> SocketAddr {
    SocketAddr::new(address.to_ip(), port.get())
}
