//! Programs that serve what is established and open nothing, while somebody else's rules have the new flows: until none is left.

use std::collections::BTreeSet;

use anyhow::{Context as _, Result};
use aya::{
    Pod,
    maps::{Array, Map, MapData},
};
use proxy_common::{Addr4, Addr6, Address, Flow, FlowFlags, FlowKey, Settings, TCP, UDP};

use super::{
    cleanup::cleanup,
    clock::now,
    dump,
    flows::{FlowTables, socket},
    object::PinDir,
    sockets::{KnownSockets, end_known},
};
use crate::{
    dataplane::udp::Wanted,
    explain::Complaint,
    model::{Desired, Family},
    netfilter::conntrack::{Ends, Table},
    node::NodeFacts,
};

/// A closed connection may have its last acknowledgement under way for so many seconds.
const LAST_PACKETS: u32 = 5;
/// How long netfilter leaves our source ports alone if nobody releases them, in seconds: as long as an idle connection lives.
const RESERVED: u32 = 86_400;

/// What has not ended.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Left {
    /// TCP connections.
    pub tcp: usize,
    /// UDP flows, which end by being idle, and connected UDP sockets of the node.
    pub udp: usize,
}

/// The programs of an earlier run, and whose ports they have.
pub struct Drain {
    pins: PinDir,
    settings: Array<MapData, Settings>,
    v4: FlowTables<Addr4>,
    v6: FlowTables<Addr6>,
    sockets: KnownSockets,
    complaint: Complaint,
    reserved: BTreeSet<(u8, Ends)>,
}

impl Drain {
    /// From now on the programs open no flows. None if there are no programs. Rules for new flows have to be there before.
    ///
    /// # Errors
    /// When the pinned maps cannot be opened or written.
    pub fn begin(pins: &PinDir) -> Result<Option<Self>> {
        if !pins.map("SETTINGS").exists() {
            return Ok(None);
        }
        let mut drain = Self {
            pins: pins.clone(),
            settings: Map::Array(dump::open(pins, "SETTINGS")?).try_into()?,
            v4: FlowTables::open(pins, "4")?,
            v6: FlowTables::open(pins, "6")?,
            sockets: KnownSockets::open(pins)?,
            complaint: Complaint::default(),
            reserved: BTreeSet::new(),
        };
        drain.keep_ports();
        // Netfilter masquerades what is marked, and these flows have their ports.
        let settings = drain
            .settings
            .get(&0, 0)?
            .with_draining(true)
            .with_forward_mark(0);
        drain
            .settings
            .set(0, settings, 0)
            .context("cannot have the programs drain")?;
        Ok(Some(drain))
    }

    /// Whether the programs still leave new flows to others: an agent that serves by them has them open flows again.
    ///
    /// # Errors
    /// When the map cannot be read.
    pub fn goes_on(&self) -> Result<bool> {
        Ok(self.settings.get(&0, 0)?.is_draining())
    }

    /// What has not ended, and keeps netfilter from giving its source ports away.
    ///
    /// # Errors
    /// When the clock cannot be read.
    pub fn look(&mut self) -> Result<Left> {
        self.keep_ports();
        let (mut left, now) = (Left::default(), now()?);
        left.count(&self.v4, now);
        left.count(&self.v6, now);
        // Where the kernel lists none, none could be ended either, whatever is waited for.
        left.udp += self.sockets.count().unwrap_or_default();
        Ok(left)
    }

    /// Ends UDP flows to endpoints that their Service does not have any more: the next datagram meets the rules. And so do the sockets of
    /// the node that were connected to such. Warns once of what cannot be done.
    pub fn end_misled(&mut self, desired: &Desired) {
        let wanted = Wanted::of(desired);
        end_misled(&mut self.v4, &wanted);
        end_misled(&mut self.v6, &wanted);
        let ended = end_known(&self.pins, &wanted);
        self.complaint.about(ended);
    }

    /// Detaches the programs and removes what is pinned.
    ///
    /// # Errors
    /// When something cannot be removed.
    pub fn finish(self, facts: &NodeFacts) -> Result<()> {
        cleanup(&self.pins, facts)?;
        for family in Family::ALL {
            let of_family = |ends: &Ends| Family::of(ends.source.ip()) == family;
            let ours = self.reserved.iter().filter(|(_, ends)| of_family(ends));
            if let Err(error) = Table::open(family).and_then(|table| {
                ours.clone()
                    .try_for_each(|(protocol, ends)| table.release(*protocol, *ends))
            }) {
                tracing::debug!("{error}");
            }
        }
        Ok(())
    }

    /// What netfilter does not learn makes it give a port twice once in tens of thousands of connections.
    fn keep_ports(&mut self) {
        let Ok(now) = now() else { return };
        let masqueraded = masqueraded(&self.v4, now).chain(masqueraded(&self.v6, now));
        let masqueraded: Vec<_> = masqueraded.filter(|flow| !self.reserved.contains(flow)).collect();
        for family in Family::ALL {
            let of_family = |ends: &Ends| Family::of(ends.source.ip()) == family;
            let mut ours = masqueraded.iter().filter(|(_, ends)| of_family(ends)).peekable();
            if ours.peek().is_none() {
                continue;
            }
            let reserved = Table::open(family).and_then(|table| {
                ours.try_for_each(|(protocol, ends)| table.reserve(*protocol, *ends, RESERVED))
            });
            if let Err(error) = reserved {
                tracing::warn!("netfilter may give away source ports that are in use: {error}");
            }
        }
        self.reserved.extend(masqueraded);
    }
}

impl Left {
    /// Whether it is nothing.
    #[must_use]
    pub const fn is_none(self) -> bool {
        self.tcp == 0 && self.udp == 0
    }

    fn count<A: Address>(&mut self, tables: &FlowTables<A>, now: u32)
    where
        FlowKey<A>: Pod,
        Flow<A>: Pod,
    {
        for (key, flow) in tables.at_ingress() {
            if flow.flags().has(FlowFlags::REQUEST) && is_live(&key, &flow, now) {
                let of_protocol = if key.protocol() == TCP {
                    &mut self.tcp
                } else {
                    &mut self.udp
                };
                *of_protocol += 1;
            }
        }
    }
}

fn is_live<A: Address>(key: &FlowKey<A>, flow: &Flow<A>, now: u32) -> bool {
    let is_closed = key.protocol() == TCP && flow.state().is_closed();
    let has_ended = is_closed && now.saturating_sub(flow.last_seen()) > LAST_PACKETS;
    !has_ended && !flow.is_expired(key.protocol(), now)
}

/// Protocol and ends of what the node sends in the name of clients.
fn masqueraded<A: Address>(tables: &FlowTables<A>, now: u32) -> impl Iterator<Item = (u8, Ends)> + '_
where
    FlowKey<A>: Pod,
    Flow<A>: Pod,
{
    let replies = tables
        .at_ingress()
        .filter(|(_, flow)| !flow.flags().has(FlowFlags::REQUEST));
    let ours = replies.filter(|(_, flow)| !flow.flags().has(FlowFlags::DIRECT));
    ours.filter(move |(key, flow)| is_live(key, flow, now))
        .map(|(key, _)| {
            let ends = Ends {
                source: socket(key.destination()),
                destination: socket(key.source()),
            };
            (key.protocol(), ends)
        })
}

fn end_misled<A: Address>(tables: &mut FlowTables<A>, wanted: &Wanted)
where
    FlowKey<A>: Pod,
    Flow<A>: Pod,
{
    let is_udp_request = |key: &FlowKey<A>, flow: &Flow<A>| {
        key.protocol() == UDP && flow.flags().has(FlowFlags::REQUEST) && !flow.flags().has(FlowFlags::DIRECT)
    };
    let misled: Vec<_> = tables
        .at_ingress()
        .filter(|(key, flow)| is_udp_request(key, flow))
        .filter(|(key, flow)| wanted.is_misled(socket(key.destination()), socket(flow.put())))
        .collect();
    for (key, _) in misled {
        tables.remove_at_ingress(&key);
    }
}
