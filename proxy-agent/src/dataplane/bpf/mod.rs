//! The BPF dataplane: the programs of `proxy-ebpf`, and the maps that tell them what to do.
//!
//! ```text
//! Desired ──encode──▶ Contents ──reconcile──▶ TrackedMap ──▶ TypedMap (kernel, or memory in tests)
//! NodeFacts ──▶ NODE_ADDRESSES, INTERFACES, attach
//! pins ──dump──▶ `kube-portal inspect`
//! ```

use std::{
    collections::{BTreeMap, BTreeSet},
    net::IpAddr,
    ops::RangeInclusive,
    time::Instant,
};

use anyhow::Context;
use aya::Ebpf;
use proxy_common::{Addr4, Addr6, Address, Interface, snat::PortPool};

use self::{
    attach::{Hook, TcAttach},
    encode::{Unserved, encode},
    ids::Ids,
    maps::MapError,
    object::PinDir,
    reconcile::{Maps, Retired},
};
use super::{Applied, ApplyError, Dataplane};
use crate::{
    explain::explain,
    model::{Changes, Desired, Family},
    node::{self, Layer, NodeFacts},
};

pub mod alias;
pub mod attach;
pub mod cleanup;
pub mod dump;
pub mod encode;
pub mod ids;
pub mod maps;
#[cfg(test)]
mod memory;
pub mod object;
pub mod reconcile;
pub mod tracked_map;

/// How the dataplane is set up.
#[derive(Clone, Debug)]
pub struct Options {
    /// Where maps and links are pinned.
    pub pins: PinDir,
    /// TCX or clsact.
    pub tc_attach: TcAttach,
    /// Entries of each of the four flow tables.
    pub flow_table_size: u32,
    /// The ports that NodePorts are taken from, which masquerading leaves alone.
    pub node_ports: RangeInclusive<u16>,
}

/// The dataplane on this node.
pub struct BpfDataplane {
    options: Options,
    object: Ebpf,
    maps: Maps,
    ids: Ids,
    retired: Retired,
    attached: BTreeMap<u32, Layer>,
    unserved: Vec<Unserved>,
}

impl BpfDataplane {
    /// Loads the programs, over the maps of an earlier run if there was one. Attaches nothing yet.
    ///
    /// # Errors
    /// When this kernel does not take the programs.
    pub fn new(options: Options) -> Result<Self, ApplyError> {
        let mut object = object::load(&options.pins, options.flow_table_size)?;
        let maps = object::maps(&mut object)?;
        let ids = maps.restore_ids();
        Ok(Self {
            options,
            object,
            maps,
            ids,
            retired: Retired::default(),
            attached: BTreeMap::new(),
            unserved: Vec::new(),
        })
    }

    fn snat_ports(&self) -> Result<PortPool, ApplyError> {
        let mut free =
            node::ports::free_ports(self.options.node_ports.clone()).context("cannot tell the free ports")?;
        free.sort_by_key(|range| std::cmp::Reverse(range.len()));
        Ok(PortPool::new(free))
    }

    fn report(&mut self, unserved: Vec<Unserved>) {
        if unserved == self.unserved {
            return;
        }
        for entry in unserved.iter().filter(|entry| !self.unserved.contains(entry)) {
            tracing::warn!("{entry}");
        }
        self.unserved = unserved;
    }

    fn write_node_maps(&mut self, facts: &NodeFacts, wanted: &BTreeMap<u32, Layer>) -> Result<(), MapError> {
        let local = facts.local_addresses();
        let v4 = self.maps.v4.node_addresses.replace(&keyed::<Addr4>(&local));
        let v6 = self.maps.v6.node_addresses.replace(&keyed::<Addr6>(&local));
        let interfaces = wanted
            .keys()
            .map(|ifindex| (*ifindex, interface(facts, *ifindex)));
        v4.and(v6)
            .and(self.maps.interfaces.replace(&interfaces.collect()))
    }

    /// Attaches to every device that has no programs yet; one that fails does not stop the others.
    fn attach_missing(&mut self, facts: &NodeFacts, wanted: BTreeMap<u32, Layer>) -> Result<(), ApplyError> {
        let mut failed = Vec::new();
        for (ifindex, layer) in wanted {
            let Some(link) = facts
                .links
                .get(&ifindex)
                .filter(|_| !self.attached.contains_key(&ifindex))
            else {
                continue;
            };
            if let Err(error) = self.attach((ifindex, &link.name, layer)) {
                failed.push(explain(&error));
            }
        }
        if failed.is_empty() {
            Ok(())
        } else {
            Err(ApplyError(anyhow::anyhow!(failed.join("; "))))
        }
    }

    fn attach(&mut self, device: (u32, &str, Layer)) -> anyhow::Result<()> {
        for hook in Hook::ALL {
            attach::attach(
                &mut self.object,
                &self.options.pins,
                self.options.tc_attach,
                device,
                hook,
            )?;
        }
        let (ifindex, name, layer) = device;
        tracing::info!(interface = name, "serving an interface");
        self.attached.insert(ifindex, layer);
        Ok(())
    }
}

impl Dataplane for BpfDataplane {
    fn apply(&mut self, desired: &Desired, _changes: &Changes) -> Result<Applied, ApplyError> {
        let mut contents = encode(desired, &mut self.ids);
        self.report(std::mem::take(&mut contents.unserved));
        let ports = self.snat_ports()?;
        let applied = self
            .maps
            .reconcile(&contents, (&self.ids, ports), &mut self.retired, Instant::now())
            .map_err(anyhow::Error::from)?;
        Ok(applied)
    }

    fn apply_node(&mut self, facts: &NodeFacts) -> Result<(), ApplyError> {
        let wanted = facts.attachments();
        let written = self.write_node_maps(facts, &wanted);
        self.attached
            .retain(|ifindex, layer| wanted.get(ifindex) == Some(layer));
        attach::forget_others(&self.options.pins, &wanted.keys().copied().collect())?;

        let attached = self.attach_missing(facts, wanted);
        written.map_err(anyhow::Error::from)?;
        attached
    }
}

fn keyed<A: Address>(addresses: &BTreeSet<IpAddr>) -> BTreeMap<A, u32> {
    addresses
        .iter()
        .filter_map(|address| Some((A::from_ip(*address)?, 1)))
        .collect()
}

fn interface(facts: &NodeFacts, ifindex: u32) -> Interface {
    let v4 = facts.snat_address(ifindex, Family::V4).and_then(Addr4::from_ip);
    let v6 = facts.snat_address(ifindex, Family::V6).and_then(Addr6::from_ip);
    Interface::new(v4.unwrap_or(Addr4::ANY), v6.unwrap_or(Addr6::ANY))
}
