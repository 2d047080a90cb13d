//! How the maps say what the model wants. Pure.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
};

use proxy_common::{
    Addr4, Addr6, Address, Endpoint, Frontend, FrontendFlags, FrontendKey, FrontendKind, Limits, Port,
    ServiceName, TCP, UDP,
};

use super::{
    alias::{Slot, slots},
    ids::{Ids, ListId, ListOwner},
    maps::RangeKey,
};
use crate::model::{
    self, Delta, Desired, EndpointList, Family, FrontendAddress, ListKey, Masquerade, Protocol, Scope,
    ServicePort, ServicePortId, WhenEmpty,
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
    pub unserved: BTreeMap<model::FrontendKey, Unserved>,
}

/// What the maps shall not hold any more.
#[derive(Clone, Debug, Default)]
pub struct Gone {
    /// Of `SERVICES`.
    pub services: Vec<u32>,
    /// Of `FRONTENDS4`.
    pub frontends4: Vec<FrontendKey<Addr4>>,
    /// Of `FRONTENDS6`.
    pub frontends6: Vec<FrontendKey<Addr6>>,
    /// Lists that no frontend names any more.
    pub lists: Vec<u32>,
}

/// What the maps of one family shall hold.
#[derive(Clone, Debug)]
pub struct FamilyContents<A> {
    /// `FRONTENDS`.
    pub frontends: BTreeMap<FrontendKey<A>, Frontend>,
    /// `ENDPOINTS`, by list.
    pub lists: BTreeMap<u32, Vec<Endpoint<A>>>,
    /// The lists that are in `LIST_MEMBERS`, too.
    pub with_members: BTreeSet<u32>,
    /// `SOURCE_RANGES`.
    pub source_ranges: BTreeSet<RangeKey<A>>,
}

impl<A> FamilyContents<A> {
    fn put_list(&mut self, list: ListId, endpoints: Vec<Endpoint<A>>) {
        self.lists.insert(list.id, endpoints);
        if list.members {
            self.with_members.insert(list.id);
        }
    }
}

impl<A> Default for FamilyContents<A> {
    fn default() -> Self {
        Self {
            frontends: BTreeMap::new(),
            lists: BTreeMap::new(),
            with_members: BTreeSet::new(),
            source_ranges: BTreeSet::new(),
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
    /// Why.
    pub reason: Reason,
}

/// What a frontend asks for and the programs cannot give.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Reason {
    /// The protocol.
    Sctp,
    /// Packets to the address `0.0.0.0` or `::`.
    UnspecifiedAddress,
}

impl Reason {
    /// All of them.
    pub const ALL: [Self; 2] = [Self::Sctp, Self::UnspecifiedAddress];

    /// In one word, for programs: it stays the same from version to version.
    #[must_use]
    pub const fn label(self) -> &'static str {
        match self {
            Self::Sctp => "sctp",
            Self::UnspecifiedAddress => "unspecified-address",
        }
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Sctp => "SCTP is left to iptables rules",
            Self::UnspecifiedAddress => "the unspecified address is no destination",
        })
    }
}

impl Unserved {
    fn new(key: &model::FrontendKey, frontend: &model::Frontend, reason: Reason) -> Self {
        Self {
            service: frontend.service_port.to_string(),
            frontend: key.to_string(),
            reason,
        }
    }
}

impl fmt::Display for Unserved {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            service,
            frontend,
            reason,
        } = self;
        write!(
            f,
            "{service} at {frontend} is not served by the programs: {reason}"
        )
    }
}

/// Encodes `desired`, with ids from `ids`.
#[must_use]
pub fn encode(desired: &Desired, ids: &mut Ids) -> Contents {
    let mut encoder = Encoder::new(desired, ids);
    desired
        .service_ports
        .keys()
        .for_each(|id| encoder.service_port(id));
    desired.lists.keys().for_each(|key| encoder.list(key));
    desired.frontends.keys().for_each(|key| encoder.frontend(key));
    let contents = encoder.contents;
    ids.retain(
        |service| contents.services.contains_key(&service),
        |list| contents.v4.lists.contains_key(&list) || contents.v6.lists.contains_key(&list),
    );
    contents
}

/// Encodes what `delta` names of `desired`, and tells what of it is no more.
#[must_use]
pub fn encode_delta(desired: &Desired, delta: &Delta, ids: &mut Ids) -> (Contents, Gone) {
    let mut encoder = Encoder::new(desired, ids);
    delta.service_ports.iter().for_each(|id| encoder.service_port(id));
    delta.lists.iter().for_each(|key| encoder.list(key));
    // Whether a list's members are asked for depends on its Service port.
    delta.service_ports.iter().for_each(|id| encoder.lists_of(id));
    delta.frontends.iter().for_each(|key| encoder.frontend(key));
    let Encoder {
        contents, mut gone, ..
    } = encoder;
    let gone_ports = delta
        .service_ports
        .iter()
        .filter(|id| !desired.service_ports.contains_key(id));
    gone.services
        .extend(gone_ports.filter_map(|id| ids.forget_service(id, number(id.protocol))));
    gone.lists = ids.take_replaced();
    (contents, gone)
}

struct Encoder<'a> {
    desired: &'a Desired,
    ids: &'a mut Ids,
    contents: Contents,
    gone: Gone,
}

impl<'a> Encoder<'a> {
    fn new(desired: &'a Desired, ids: &'a mut Ids) -> Self {
        Self {
            desired,
            ids,
            contents: Contents::default(),
            gone: Gone::default(),
        }
    }

    fn service_port(&mut self, id: &ServicePortId) {
        let Some(port) = self.desired.service_ports.get(id) else {
            return;
        };
        let protocol = number(id.protocol);
        let name = ServiceName::new(&id.to_string(), protocol).with_limits(limits(id));
        let service = self.ids.service(id, protocol);
        self.contents.services.insert(service, name);
        self.contents.v4.source_ranges.extend(ranges(service, port));
        self.contents.v6.source_ranges.extend(ranges(service, port));
    }

    fn lists_of(&mut self, id: &ServicePortId) {
        for (family, scope) in Family::ALL
            .into_iter()
            .flat_map(|family| [Scope::Cluster, Scope::Local].map(|scope| (family, scope)))
        {
            self.list(&ListKey {
                service_port: id.clone(),
                family,
                scope,
            });
        }
    }

    fn list(&mut self, key: &ListKey) {
        let is_served = key.service_port.protocol != Protocol::Sctp;
        match self.desired.lists.get(key).filter(|_| is_served) {
            Some(list) => self.put_list(key, list),
            None => self.forget_list(key),
        }
    }

    fn put_list(&mut self, key: &ListKey, list: &EndpointList) {
        let service = self
            .ids
            .service(&key.service_port, number(key.service_port.protocol));
        let Some(known) = self.ids.list(service, key, list, self.asks_for_members(key)) else {
            return;
        };
        match key.family {
            Family::V4 => self.contents.v4.put_list(known, endpoints(list)),
            Family::V6 => self.contents.v6.put_list(known, endpoints(list)),
        }
    }

    /// Whether programs ask if an endpoint is still in the list: of UDP flows when it has changed, of affinity always.
    fn asks_for_members(&self, key: &ListKey) -> bool {
        let port = self.desired.service_ports.get(&key.service_port);
        let has_affinity = port.is_some_and(|port| port.session_affinity.is_some());
        has_affinity || key.service_port.protocol == Protocol::Udp
    }

    fn forget_list(&mut self, key: &ListKey) {
        let service = self
            .ids
            .known_service(&key.service_port, number(key.service_port.protocol));
        if let Some(service) = service {
            self.ids.forget_list(&ListOwner::new(service, key));
        }
    }

    fn frontend(&mut self, key: &model::FrontendKey) {
        let wanted = self.desired.frontends.get(key);
        let limitation = wanted.and_then(|_| limitation(key));
        if let Some((unserved, frontend)) = limitation.zip(wanted) {
            let unserved = Unserved::new(key, frontend, unserved);
            self.contents.unserved.insert(key.clone(), unserved);
        }
        let value = wanted
            .filter(|_| limitation.is_none())
            .map(|frontend| self.value(key, frontend));
        match key.address.family() {
            Family::V4 => put_frontend(key, value, &mut self.contents.v4, &mut self.gone.frontends4),
            Family::V6 => put_frontend(key, value, &mut self.contents.v6, &mut self.gone.frontends6),
        }
    }

    fn value(&mut self, key: &model::FrontendKey, frontend: &model::Frontend) -> Frontend {
        let id = &frontend.service_port;
        let service = self.ids.service(id, number(id.protocol));
        let port = self.desired.service_ports.get(id);
        let affinity = port.and_then(|port| port.session_affinity).unwrap_or(0);
        let value = Frontend::new(service, kind(frontend.kind), flags(frontend)).with_affinity(affinity);
        let scopes = BTreeSet::from([frontend.external_clients, frontend.internal_clients]);
        scopes.into_iter().fold(value, |value, scope| {
            self.with_list(value, &frontend.list_key(key.address.family(), scope))
        })
    }

    /// Lists come before frontends, so each that is not empty has its id.
    fn with_list(&self, frontend: Frontend, key: &ListKey) -> Frontend {
        let endpoints = self.desired.lists.get(key).map_or(0, |list| list.endpoints.len());
        let len = u32::try_from(endpoints).unwrap_or(u32::MAX);
        let owner = ListOwner::new(frontend.service(), key);
        let id = self.ids.known_list(&owner).filter(|_| len > 0).unwrap_or(0);
        match key.scope {
            Scope::Cluster => frontend.with_cluster_list(id, len),
            Scope::Local => frontend.with_local_list(id, len),
        }
    }
}

fn put_frontend<A: Address>(
    key: &model::FrontendKey,
    value: Option<Frontend>,
    contents: &mut FamilyContents<A>,
    gone: &mut Vec<FrontendKey<A>>,
) {
    let Some(key) = frontend_key(key) else { return };
    match value {
        Some(value) => drop(contents.frontends.insert(key, value)),
        None => gone.push(key),
    }
}

/// Those of one family.
fn ranges<A: Address>(service: u32, port: &ServicePort) -> impl Iterator<Item = RangeKey<A>> {
    let ranges = port.source_ranges.iter();
    ranges.filter_map(move |range| RangeKey::new(service, *range))
}

/// What of a Service port the programs cannot serve.
fn limits(id: &ServicePortId) -> Limits {
    match id.protocol {
        Protocol::Sctp => Limits::PROTOCOL,
        Protocol::Tcp | Protocol::Udp => Limits::NONE,
    }
}

fn limitation(key: &model::FrontendKey) -> Option<Reason> {
    match key.address {
        _ if key.protocol == Protocol::Sctp => Some(Reason::Sctp),
        FrontendAddress::Ip(address) if address.is_unspecified() => Some(Reason::UnspecifiedAddress),
        _ => None,
    }
}

fn frontend_key<A: Address>(key: &model::FrontendKey) -> Option<FrontendKey<A>> {
    let (port, protocol) = (Port::new(key.port), number(key.protocol));
    match key.address {
        // There the NodePorts stand.
        FrontendAddress::Ip(address) if address.is_unspecified() => None,
        FrontendAddress::Ip(address) => Some(FrontendKey::new(A::from_ip(address)?, port, protocol)),
        FrontendAddress::AnyNode(_) => Some(FrontendKey::node_port(port, protocol)),
    }
}

fn endpoints<A: Address>(list: &EndpointList) -> Vec<Endpoint<A>> {
    slots(list).into_iter().filter_map(Slot::to_wire).collect()
}

fn flags(frontend: &model::Frontend) -> FrontendFlags {
    [
        (
            frontend.masquerade == Masquerade::Always,
            FrontendFlags::MASQUERADE,
        ),
        (
            frontend.masquerade == Masquerade::OffCluster,
            FrontendFlags::MASQUERADE_OFF_CLUSTER,
        ),
        (
            frontend.internal_clients == Scope::Local,
            FrontendFlags::PODS_LOCAL,
        ),
        (
            frontend.external_clients == Scope::Local,
            FrontendFlags::OTHERS_LOCAL,
        ),
        (frontend.when_empty == WhenEmpty::Drop, FrontendFlags::SILENT),
        (!frontend.source_ranges.is_empty(), FrontendFlags::SOURCE_RANGES),
    ]
    .into_iter()
    .filter(|(applies, _)| *applies)
    .fold(FrontendFlags::NONE, |all, (_, flag)| all.with(flag))
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
