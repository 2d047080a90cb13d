//! Which endpoints a Service port has, and which of them count.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::IpAddr,
};

use proxy_agent::model::{EndpointSlice, Family, Service, ServicePortSpec, SliceEndpoint};

use super::answer::{Met, Walk};

/// An endpoint of the port that the packet is for.
#[derive(Clone, Copy)]
pub(super) struct Entry<'a> {
    pub(super) port: u16,
    pub(super) said: &'a SliceEndpoint,
}

impl<'a> Walk<'a> {
    /// What the slices say about the port.
    pub(super) fn entries(&self, service: &Service, port: &ServicePortSpec, met: &mut Met) -> Vec<Entry<'a>> {
        let mut found: BTreeMap<(IpAddr, u16), Vec<Entry<'a>>> = BTreeMap::new();
        let mut numbers = BTreeSet::new();
        for slice in self
            .world
            .slices
            .values()
            .filter(|slice| self.is_of(slice, service))
        {
            for target in &slice.ports {
                if target.name != port.name || target.protocol != port.protocol {
                    continue;
                }
                numbers.insert(target.port);
                for said in &slice.endpoints {
                    let entry = Entry {
                        port: target.port,
                        said,
                    };
                    found.entry((said.address, target.port)).or_default().push(entry);
                }
            }
        }
        if numbers.len() > 1 {
            met.insert("slices with different port numbers");
        }
        found
            .into_values()
            .filter_map(|entries| the_one(&entries, met))
            .collect()
    }

    fn is_of(&self, slice: &EndpointSlice, service: &Service) -> bool {
        let is_the_services =
            slice.service == service.name.name && slice.name.namespace == service.name.namespace;
        let is_ipv4 = slice.family == Family::V4;
        is_the_services && is_ipv4 == self.packet.destination.is_ipv4()
    }

    fn is_here(&self, said: &SliceEndpoint) -> bool {
        said.node_name.as_deref() == Some(&*self.world.context.name)
    }

    pub(super) fn of_those_here(&self, entries: &[Entry<'a>], met: &mut Met) -> Vec<Entry<'a>> {
        let here = || entries.iter().copied().filter(|entry| self.is_here(entry.said));
        let ready: Vec<_> = here().filter(|entry| entry.said.ready).collect();
        let leaving: Vec<_> = here().filter(|entry| leaving(entry.said)).collect();
        match (ready.is_empty(), leaving.is_empty()) {
            (false, _) => ready,
            (true, true) => Vec::new(),
            (true, false) => {
                met.insert("of those here, only leaving ones");
                leaving
            }
        }
    }

    pub(super) fn of_all(&self, entries: &[Entry<'a>], met: &mut Met) -> Vec<Entry<'a>> {
        let ready: Vec<_> = entries.iter().copied().filter(|entry| entry.said.ready).collect();
        if ready.is_empty() {
            met.insert("of all, only leaving ones");
            return entries
                .iter()
                .copied()
                .filter(|entry| leaving(entry.said))
                .collect();
        }
        let node = Some(&self.world.context.name);
        if let Some(near) = near(&ready, node, |said| &said.node_hints) {
            met.insert("node hints decide");
            return near;
        }
        let zone = self.own_node().and_then(|node| node.zone.as_ref());
        if let Some(near) = near(&ready, zone, |said| &said.zone_hints) {
            met.insert("zone hints decide");
            return near;
        }
        let hinted = ready
            .iter()
            .filter(|entry| !entry.said.zone_hints.is_empty())
            .count();
        if zone.is_some() && hinted == ready.len() {
            met.insert("zone hints, but none for us");
        } else if zone.is_some() && hinted > 0 {
            met.insert("zone hints on some endpoints only");
        }
        ready
    }
}

/// Of the entries for one address and port, as they come: the last one of a pod that stays, if one of them does.
fn the_one<'a>(entries: &[Entry<'a>], met: &mut Met) -> Option<Entry<'a>> {
    let first = entries.first().copied()?;
    let (staying, going): (Vec<_>, Vec<_>) =
        entries.iter().copied().partition(|entry| !entry.said.terminating);
    met.extend(match (staying.len(), going.len()) {
        (0, 1) | (1, 0) => None,
        (0, _) => Some("of two entries for one endpoint both are terminating"),
        (_, 0) => Some("of two entries for one endpoint none is terminating"),
        _ => Some("of two entries for one endpoint one is terminating"),
    });
    staying.last().copied().or(Some(first))
}

/// Those whose hints name `mine`, if each has hints and one names it.
fn near<'a>(
    ready: &[Entry<'a>],
    mine: Option<&String>,
    hints: impl Fn(&SliceEndpoint) -> &[String],
) -> Option<Vec<Entry<'a>>> {
    let mine = mine?;
    let all_have_some = ready.iter().all(|entry| !hints(entry.said).is_empty());
    let mut near = ready.to_vec();
    near.retain(|entry| hints(entry.said).contains(mine));
    (all_have_some && !near.is_empty()).then_some(near)
}

pub(super) fn leaving(said: &SliceEndpoint) -> bool {
    said.serving && said.terminating
}
