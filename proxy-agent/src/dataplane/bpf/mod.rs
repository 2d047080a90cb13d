//! The BPF dataplane: the programs of `proxy-ebpf`, and the maps that tell them what to do.
//!
//! ```text
//! Desired, Delta ──encode──▶ Contents ──reconcile──▶ TrackedMap ──▶ TypedMap (kernel, or memory in tests)
//! NodeFacts ──▶ NODE_ADDRESSES, INTERFACES, attach
//! cgroup ──▶ sockets
//! pins ──dump──▶ `kube-portal inspect`, `kube-portal check`
//! conntrack ──takeover──▶ flow tables ──drain──▶ others' rules
//! ```

use std::{collections::BTreeMap, ops::RangeInclusive, path::PathBuf, time::Instant};

use anyhow::Context;
use aya::Ebpf;
use proxy_common::snat::PortPool;
use tokio::sync::watch;

use self::{
    attach::{Attached, Hook, TcAttach},
    flows::FlowTables,
    maps::MapError,
    node_maps::NodeMaps,
    object::{MapSizes, PinDir},
    sockets::{CgroupRoot, Misled, Sockets},
    writer::Writer,
};
use super::{Applied, ApplyError, Dataplane, Status};
use crate::{
    explain::explain,
    model::{Delta, Desired, FrontendKey, NodeRules},
    node::{self, Layer, NodeFacts},
};

pub mod alias;
pub mod attach;
pub mod cleanup;
mod clock;
pub mod drain;
pub mod dump;
pub mod encode;
mod flows;
pub mod ids;
pub mod maps;
#[cfg(test)]
mod memory;
mod node_maps;
pub mod object;
pub mod reconcile;
pub mod sockets;
mod takeover;
pub mod tracked_map;
mod unserved;
pub mod writer;

/// How the dataplane is set up.
#[derive(Clone, Debug)]
pub struct Options {
    /// Where maps and links are pinned.
    pub pins: PinDir,
    /// TCX or clsact.
    pub tc_attach: TcAttach,
    /// The cgroup whose processes' sockets are translated, else the root of the hierarchy.
    pub cgroup_root: Option<PathBuf>,
    /// How many entries the maps have room for.
    pub sizes: MapSizes,
    /// The ports that NodePorts are taken from, which masquerading leaves alone.
    pub node_ports: RangeInclusive<u16>,
    /// Told at which cgroup sockets are known to be caught.
    pub caught: watch::Sender<Option<CgroupRoot>>,
}

/// The dataplane on this node.
pub struct BpfDataplane {
    options: Options,
    object: Ebpf,
    writer: Writer,
    attached: BTreeMap<u32, Layer>,
    node_maps: NodeMaps,
    sockets: Sockets,
    misled: Misled,
    snat_ports: PortPool,
}

impl BpfDataplane {
    /// Loads the programs, over the maps of an earlier run if there was one. Attaches nothing yet.
    ///
    /// # Errors
    /// When this kernel does not take the programs.
    pub fn new(options: Options) -> Result<Self, ApplyError> {
        let mut object = object::load(&options.pins, options.sizes)?;
        let mut writer = Writer::new(object::maps(&mut object, &options.pins)?);
        if writer.has_not_begun() {
            writer.set_draining(true).map_err(anyhow::Error::from)?;
        }
        Ok(Self {
            sockets: Sockets::new(options.cgroup_root.clone(), options.caught.clone()),
            misled: Misled::default(),
            options,
            object,
            writer,
            attached: BTreeMap::new(),
            node_maps: NodeMaps::default(),
            snat_ports: PortPool::new([]),
        })
    }

    /// The node's settings may change at run time: they are read with every full pass. If they can't be, the last known stay.
    fn read_snat_ports(&mut self) -> Result<(), ApplyError> {
        let mut free =
            node::ports::free_ports(self.options.node_ports.clone()).context("cannot tell the free ports")?;
        free.sort_by_key(|range| std::cmp::Reverse(range.len()));
        self.snat_ports = PortPool::new(free);
        Ok(())
    }

    /// What concerns all Services comes before any of them.
    fn follow_rules(&mut self, rules: &NodeRules) -> Result<(), MapError> {
        self.node_maps.set_rules(rules);
        self.node_maps.write(&mut self.writer.maps)
    }

    /// Sees to it that every device has the programs; one that fails does not stop the others.
    fn attach_all(&mut self, facts: &NodeFacts, wanted: BTreeMap<u32, Layer>) -> Result<(), ApplyError> {
        let mut failed = Vec::new();
        for (ifindex, layer) in wanted {
            let Some(link) = facts.links.get(&ifindex) else {
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
        let (ifindex, name, layer) = device;
        let Options { pins, tc_attach, .. } = &self.options;
        let mut is_new = false;
        for hook in Hook::ALL {
            is_new |= attach::attach(&mut self.object, pins, *tc_attach, device, hook)? == Attached::Anew;
        }
        match self.attached.insert(ifindex, layer) {
            None => tracing::info!(interface = name, "serving an interface"),
            Some(_) if is_new => tracing::warn!(
                interface = name,
                "somebody else has removed our programs; they are back"
            ),
            Some(_) => {}
        }
        Ok(())
    }

    /// Until now others have served: what they have begun goes on. From here on flows are opened.
    fn begin(&mut self) -> Result<(), ApplyError> {
        if let Err(error) = self.take_over() {
            let why = explain(&error);
            tracing::warn!("UDP flows through netfilter may change their endpoint: {why}");
        }
        Ok(self.writer.set_draining(false).map_err(anyhow::Error::from)?)
    }

    fn take_over(&mut self) -> anyhow::Result<()> {
        let (maps, pins, now) = (&self.writer.maps, &self.options.pins, clock::now()?);
        let local = self.node_maps.local_addresses();
        let v4 = takeover::take_over(&maps.v4, &mut FlowTables::open(pins, "4")?, &local, now)?;
        let v6 = takeover::take_over(&maps.v6, &mut FlowTables::open(pins, "6")?, &local, now)?;
        let (flows, ports) = (v4.flows + v6.flows, v4.ports + v6.ports);
        if flows + ports > 0 {
            tracing::info!(
                flows,
                ports,
                "UDP flows of netfilter are ours now, and its masquerading ports known"
            );
        }
        Ok(())
    }

    /// Programs move packets to another endpoint, but not connected sockets.
    fn end_misled(&mut self, desired: &Desired, changed: impl Iterator<Item = FrontendKey>) {
        if !self.sockets.are_caught() {
            return self.misled.put_off(changed);
        }
        self.misled
            .end(&self.options.pins, desired, changed, &self.node_maps);
    }

    /// Once everything is served from here: packets would meet both versions' programs, the other one's first.
    fn replace_other_versions(&self) -> anyhow::Result<()> {
        if !self.attached.is_empty() && self.options.pins.remove_others()? {
            tracing::warn!(
                "removed the programs of another version, whose maps are of another layout; connections through it end"
            );
        }
        Ok(())
    }
}

impl Dataplane for BpfDataplane {
    fn apply_all(&mut self, desired: &Desired) -> Result<Applied, ApplyError> {
        let node = self.follow_rules(&desired.node);
        let ports = self.read_snat_ports();
        let begins = self.writer.has_not_begun();
        let applied = self.writer.apply_all(desired, self.snat_ports, Instant::now());
        if begins {
            self.begin()?;
        }
        ports?;
        node.map_err(anyhow::Error::from)?;
        let applied = applied.map_err(anyhow::Error::from)?;
        self.replace_other_versions()?;
        self.end_misled(desired, desired.frontends.keys().cloned());
        Ok(applied)
    }

    fn apply_delta(&mut self, desired: &Desired, delta: &Delta) -> Result<Applied, ApplyError> {
        if delta.node {
            return self.apply_all(desired);
        }
        let applied = self
            .writer
            .apply_delta(desired, delta, self.snat_ports, Instant::now());
        self.end_misled(desired, delta.frontends.iter().cloned());
        Ok(applied.map_err(anyhow::Error::from)?)
    }

    fn count_drift(&mut self) -> Result<usize, ApplyError> {
        Ok(self.writer.maps.count_drift().map_err(anyhow::Error::from)?)
    }

    fn apply_node(&mut self, facts: &NodeFacts) -> Result<(), ApplyError> {
        let wanted = facts.attachments();
        self.node_maps.set_facts(facts);
        let marked = facts
            .forward_mark
            .map_or(Ok(()), |mark| self.writer.set_forward_mark(mark));
        let written = self.node_maps.write(&mut self.writer.maps).and(marked);
        self.attached
            .retain(|ifindex, layer| wanted.get(ifindex) == Some(layer));
        attach::forget_others(&self.options.pins, &wanted.keys().copied().collect())?;

        let attached = self.attach_all(facts, wanted);
        let netns = self.sockets.attend(&mut self.object, &self.options.pins);
        let told = self.writer.set_node(netns, self.node_maps.own_addresses());
        told.map_err(anyhow::Error::from)?;
        written.map_err(anyhow::Error::from)?;
        attached
    }

    fn status(&self) -> Status {
        Status {
            unserved: self.writer.unserved(),
            maps: self.writer.maps.uses(self.options.sizes),
            rules: None,
        }
    }
}
