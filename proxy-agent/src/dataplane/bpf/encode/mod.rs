//! How the maps say what the model wants. Pure.

use std::{collections::BTreeMap, fmt};

use proxy_common::{
    Addr4, Addr6, Address, Endpoint, Frontend, FrontendFlags, FrontendKey, FrontendKind, Port, ServiceName,
    TCP, UDP,
};

use super::{
    alias::{Slot, slots},
    ids::Ids,
};
use crate::model::{
    self, Desired, EndpointList, Family, FrontendAddress, ListKey, Masquerade, Protocol, Scope, WhenEmpty,
};

/// What the maps shall hold.
#[derive(Clone, Debug, Default)]
pub struct Contents {
    /// `SERVICES`.
    pub services: BTreeMap<u32, ServiceName>,
    /// The maps of IPv4.
    pub v4: FamilyContents<Addr4>,
    /// The maps of IPv6.
    pub v6: FamilyContents<Addr6>,
    /// What the programs cannot serve, in words.
    pub unserved: Vec<Unserved>,
}

/// What the maps of one family shall hold.
#[derive(Clone, Debug)]
pub struct FamilyContents<A> {
    /// `FRONTENDS`.
    pub frontends: BTreeMap<FrontendKey<A>, Frontend>,
    /// `ENDPOINTS` and `LIST_MEMBERS`, by list.
    pub lists: BTreeMap<u32, Vec<Endpoint<A>>>,
}

impl<A> Default for FamilyContents<A> {
    fn default() -> Self {
        Self {
            frontends: BTreeMap::new(),
            lists: BTreeMap::new(),
        }
    }
}

/// A frontend that the programs do not serve, or not entirely.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Unserved {
    /// The Service port.
    pub service: String,
    /// The frontend's address, port and protocol.
    pub frontend: String,
    /// What it asks for.
    pub reason: &'static str,
    /// Whether the frontend is served apart from that.
    pub partly: bool,
}

impl fmt::Display for Unserved {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            service,
            frontend,
            reason,
            partly,
        } = self;
        let how = if *partly { "served without" } else { "not served:" };
        write!(f, "{service} at {frontend} is {how} {reason}")
    }
}

/// Encodes `desired`, with ids from `ids`.
#[must_use]
pub fn encode(desired: &Desired, ids: &mut Ids) -> Contents {
    let mut contents = Contents::default();
    for (key, frontend) in &desired.frontends {
        let label = || (frontend.service_port.to_string(), key.to_string());
        if let Some((reason, partly)) = limitation(key, frontend, desired) {
            let (service, frontend) = label();
            contents.unserved.push(Unserved {
                service,
                frontend,
                reason,
                partly,
            });
            if !partly {
                continue;
            }
        }
        match key.address.family() {
            Family::V4 => add::<Addr4>(
                key,
                frontend,
                desired,
                ids,
                &mut contents.services,
                &mut contents.v4,
            ),
            Family::V6 => add::<Addr6>(
                key,
                frontend,
                desired,
                ids,
                &mut contents.services,
                &mut contents.v6,
            ),
        }
    }
    ids.retain(
        |service| contents.services.contains_key(&service),
        |list| contents.v4.lists.contains_key(&list) || contents.v6.lists.contains_key(&list),
    );
    contents
}

fn limitation(
    key: &model::FrontendKey,
    frontend: &model::Frontend,
    desired: &Desired,
) -> Option<(&'static str, bool)> {
    let affinity = desired
        .service_ports
        .get(&frontend.service_port)
        .is_some_and(|port| port.session_affinity.is_some());
    match () {
        () if key.protocol == Protocol::Sctp => Some(("SCTP needs the iptables dataplane", false)),
        () if frontend.external_clients != frontend.internal_clients => Some((
            "externalTrafficPolicy Local is not supported by the BPF dataplane yet",
            false,
        )),
        () if matches!(key.address, FrontendAddress::Ip(address) if address.is_unspecified()) => {
            Some(("the unspecified address is no destination", false))
        }
        () if !frontend.source_ranges.is_empty() => Some((
            "loadBalancerSourceRanges is not supported by the BPF dataplane yet",
            false,
        )),
        () if affinity => Some(("session affinity", true)),
        () => None,
    }
}

fn add<A: Address>(
    key: &model::FrontendKey,
    frontend: &model::Frontend,
    desired: &Desired,
    ids: &mut Ids,
    services: &mut BTreeMap<u32, ServiceName>,
    contents: &mut FamilyContents<A>,
) {
    let protocol = number(key.protocol);
    let service = ids.service(&frontend.service_port, protocol);
    services.insert(
        service,
        ServiceName::new(&frontend.service_port.to_string(), protocol),
    );
    let mut list = |scope| {
        let key = ListKey {
            service_port: frontend.service_port.clone(),
            family: key.address.family(),
            scope,
        };
        let endpoints = desired.lists.get(&key).map(endpoints::<A>).unwrap_or_default();
        let id = ids.list(
            service,
            &key,
            desired.lists.get(&key).unwrap_or(&EndpointList::default()),
        );
        let len = u32::try_from(endpoints.len()).unwrap_or(u32::MAX);
        if id != 0 {
            contents.lists.insert(id, endpoints);
        }
        (id, len)
    };
    let value = match frontend.internal_clients {
        Scope::Cluster => {
            let (id, len) = list(Scope::Cluster);
            Frontend::new(service, kind(frontend.kind), flags(frontend)).with_cluster_list(id, len)
        }
        Scope::Local => {
            let (id, len) = list(Scope::Local);
            Frontend::new(service, kind(frontend.kind), flags(frontend)).with_local_list(id, len)
        }
    };
    if let Some(key) = frontend_key(key) {
        contents.frontends.insert(key, value);
    }
}

fn frontend_key<A: Address>(key: &model::FrontendKey) -> Option<FrontendKey<A>> {
    let (port, protocol) = (Port::new(key.port), number(key.protocol));
    match key.address {
        FrontendAddress::Ip(address) => Some(FrontendKey::new(A::from_ip(address)?, port, protocol)),
        FrontendAddress::AnyNode(_) => Some(FrontendKey::node_port(port, protocol)),
    }
}

fn endpoints<A: Address>(list: &EndpointList) -> Vec<Endpoint<A>> {
    slots(list).into_iter().filter_map(Slot::to_wire).collect()
}

fn flags(frontend: &model::Frontend) -> FrontendFlags {
    let mut flags = FrontendFlags::NONE;
    if frontend.masquerade == Masquerade::Always {
        flags = flags.with(FrontendFlags::MASQUERADE);
    }
    if frontend.internal_clients == Scope::Local {
        flags = flags.with(FrontendFlags::LOCAL);
    }
    if frontend.when_empty == WhenEmpty::Drop {
        flags = flags.with(FrontendFlags::SILENT);
    }
    flags
}

const fn kind(kind: model::FrontendKind) -> FrontendKind {
    match kind {
        model::FrontendKind::ClusterIP => FrontendKind::ClusterIP,
        model::FrontendKind::ExternalIP => FrontendKind::ExternalIP,
        model::FrontendKind::LoadBalancer => FrontendKind::LoadBalancer,
        model::FrontendKind::NodePort => FrontendKind::NodePort,
    }
}

/// IP protocol number.
const fn number(protocol: Protocol) -> u8 {
    match protocol {
        Protocol::Tcp => TCP,
        Protocol::Udp => UDP,
        Protocol::Sctp => 132,
    }
}

#[cfg(test)]
mod tests;
