//! The flow tables, to look into and to do to them what time and a full table would.

use anyhow::{Context as _, Result};
use aya::{
    Ebpf, Pod,
    maps::{HashMap, MapData},
};
use proxy_common::{Address, Flow, FlowKey, Port};

use super::{Hook, Packet};

/// The flow tables of one family.
pub struct FlowTables<A> {
    ingress: HashMap<MapData, FlowKey<A>, Flow<A>>,
    egress: HashMap<MapData, FlowKey<A>, Flow<A>>,
}

impl<A: Address> FlowTables<A>
where
    FlowKey<A>: Pod,
    Flow<A>: Pod,
{
    /// Takes the two maps from the object.
    ///
    /// # Errors
    ///
    /// The object lacks one.
    pub(crate) fn take(object: &mut Ebpf, [ingress, egress]: [&str; 2]) -> Result<Self> {
        let mut table = |name: &str| -> Result<_> {
            let map = object
                .take_map(name)
                .with_context(|| format!("the object lacks map {name}"))?;
            Ok(HashMap::try_from(map)?)
        };
        Ok(Self {
            ingress: table(ingress)?,
            egress: table(egress)?,
        })
    }

    fn table(&mut self, hook: Hook) -> &mut HashMap<MapData, FlowKey<A>, Flow<A>> {
        match hook {
            Hook::Ingress => &mut self.ingress,
            Hook::Egress => &mut self.egress,
        }
    }

    pub(crate) fn clear(&mut self) -> Result<()> {
        for hook in [Hook::Ingress, Hook::Egress] {
            let table = self.table(hook);
            let keys = table.keys().collect::<Result<Vec<_>, _>>()?;
            for key in keys {
                table.remove(&key)?;
            }
        }
        Ok(())
    }

    pub(crate) fn len(&mut self, hook: Hook) -> usize {
        self.table(hook).keys().count()
    }

    /// Every entry with all that it holds, for comparison.
    pub(crate) fn entries(&mut self, hook: Hook) -> Vec<(FlowKey<A>, Flow<A>)>
    where
        FlowKey<A>: Ord,
    {
        let table = self.table(hook);
        let mut entries: Vec<_> = table
            .iter()
            .map(|entry| entry.expect("the table can be read"))
            .collect();
        entries.sort_unstable_by_key(|(key, _)| *key);
        entries
    }

    pub(crate) fn has(&mut self, hook: Hook, packet: &Packet) -> bool {
        self.table(hook).get(&key(packet), 0).is_ok()
    }

    pub(crate) fn evict(&mut self, hook: Hook, packet: &Packet) {
        self.table(hook)
            .remove(&key(packet))
            .expect("the entry is there to be evicted");
    }

    pub(crate) fn age(&mut self, hook: Hook, packet: &Packet, seconds: u32) {
        let table = self.table(hook);
        let mut flow = table.get(&key(packet), 0).expect("the entry is there to be aged");
        flow.note(flow.state(), flow.last_seen().wrapping_sub(seconds));
        table
            .insert(key(packet), flow, 0)
            .expect("an entry may be replaced");
    }
}

/// What `packet` is looked up by.
fn key<A: Address>(packet: &Packet) -> FlowKey<A> {
    let side = |at: std::net::SocketAddr| {
        (
            A::from_ip(at.ip()).expect("an address of the table's family"),
            Port::new(at.port()),
        )
    };
    FlowKey::new(side(packet.source), side(packet.destination), packet.protocol())
}
