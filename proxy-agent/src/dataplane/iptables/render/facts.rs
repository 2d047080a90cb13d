//! What one Service port asks for in one family, with the words that kube-proxy's rules have for it.

use std::{fmt, net::IpAddr};

use ipnet::IpNet;

use super::names::{ChainKind, ChainName, Hash};
use crate::model::{
    Desired, Endpoint, Family, Frontend, FrontendAddress, FrontendKey, FrontendKind, ListKey, LocalTraffic,
    Protocol, Scope, ServicePort, ServicePortId, TrafficPolicy, WhenEmpty,
};

/// A Service port with what it claims and where its packets go.
#[derive(Clone, Debug)]
pub(super) struct Facts<'a> {
    /// `namespace/name:port`.
    pub(super) name: String,
    pub(super) protocol: &'static str,
    pub(super) port: &'a ServicePort,
    /// In the order in which kube-proxy writes rules for them: by kind.
    pub(super) claims: Vec<Claim<'a>>,
    pub(super) cluster: &'a [Endpoint],
    pub(super) local: &'a [Endpoint],
    /// Whether any endpoint of the cluster could answer, on this node or not.
    pub(super) has_endpoints: bool,
    hash: Hash,
    family: Family,
}

/// A frontend that the Service port names, and whether it is the one that is served there.
#[derive(Clone, Copy, Debug)]
pub(super) struct Claim<'a> {
    pub(super) key: &'a FrontendKey,
    pub(super) frontend: &'a Frontend,
    pub(super) won: bool,
}

impl<'a> Facts<'a> {
    /// None if the Service port is gone, or nothing is left of it in this family.
    pub(super) fn of(
        desired: &'a Desired,
        id: &ServicePortId,
        keys: &'a [FrontendKey],
        family: Family,
    ) -> Option<Self> {
        let port = desired.service_ports.get(id)?;
        let claims = claims(desired, id, keys);
        let [cluster, local] = endpoints(desired, id, family);
        let leaves_to_others = |claim: &Claim<'_>| claim.frontend.when_empty == WhenEmpty::Drop;
        let has_endpoints = !cluster.is_empty() || !local.is_empty() || claims.iter().any(leaves_to_others);
        let (name, protocol) = (id.to_string(), lower_case(id.protocol));
        (!claims.is_empty()).then(|| Self {
            hash: Hash::of(&format!("{name}{protocol}")),
            name,
            protocol,
            port,
            claims,
            cluster,
            local,
            has_endpoints,
            family,
        })
    }

    pub(super) fn chain(&self, kind: ChainKind) -> ChainName {
        ChainName {
            kind,
            hash: self.hash,
        }
    }

    pub(super) fn of_kind(&self, kind: FrontendKind) -> impl Iterator<Item = &Claim<'a>> {
        let claims = self.claims.iter();
        claims.filter(move |claim| claim.frontend.kind == kind)
    }

    /// Whether somebody is there for those who come by a cluster IP.
    pub(super) fn has_internal_endpoints(&self) -> bool {
        self.serves(self.port.internal_traffic_policy)
    }

    /// Whether somebody is there for those who come from outside.
    pub(super) fn has_external_endpoints(&self) -> bool {
        self.serves(self.port.external_traffic_policy)
    }

    fn serves(&self, policy: TrafficPolicy) -> bool {
        self.has_endpoints && (policy == TrafficPolicy::Cluster || !self.local.is_empty())
    }

    /// The chain that chooses among the endpoints of a policy.
    pub(super) fn policy_chain(&self, policy: TrafficPolicy) -> ChainName {
        self.chain(match policy {
            TrafficPolicy::Cluster => ChainKind::Service,
            TrafficPolicy::Local => ChainKind::ServiceLocal,
        })
    }

    /// Whether it is reached otherwise than by its cluster IP.
    pub(super) fn has_external_chain(&self) -> bool {
        let is_external = |claim: &Claim<'_>| claim.frontend.kind != FrontendKind::ClusterIP;
        self.has_endpoints && self.claims.iter().any(is_external)
    }

    pub(super) fn has_firewall_chain(&self) -> bool {
        self.has_endpoints
            && self.of_kind(FrontendKind::LoadBalancer).next().is_some()
            && self.source_ranges().next().is_some()
    }

    /// Those of the family, in the order of the Service.
    pub(super) fn source_ranges(&self) -> impl Iterator<Item = IpNet> {
        let ranges = self.port.source_ranges.iter().map(IpNet::trunc);
        ranges.filter(|range| Family::of(range.addr()) == self.family)
    }
}

/// Those of the port's `keys` that it still claims.
fn claims<'a>(desired: &'a Desired, id: &ServicePortId, keys: &'a [FrontendKey]) -> Vec<Claim<'a>> {
    let is_its = |frontend: &&Frontend| frontend.service_port == *id;
    let claim = |key: &'a FrontendKey| {
        let winner = desired.frontends.get(key).filter(is_its);
        let loser = || desired.refused.get(key)?.iter().find(is_its);
        Some(Claim {
            key,
            frontend: winner.or_else(loser)?,
            won: winner.is_some(),
        })
    };
    let mut claims: Vec<Claim<'_>> = keys.iter().filter_map(claim).collect();
    claims.sort_by_key(|claim| (claim.frontend.kind, claim.key));
    claims
}

/// Of policies Cluster and Local.
fn endpoints<'a>(desired: &'a Desired, id: &ServicePortId, family: Family) -> [&'a [Endpoint]; 2] {
    let mut key = ListKey {
        service_port: id.clone(),
        family,
        scope: Scope::Cluster,
    };
    [Scope::Cluster, Scope::Local].map(|scope| {
        key.scope = scope;
        let list = desired.lists.get(&key);
        list.map_or(&[][..], |list| &list.endpoints)
    })
}

const fn lower_case(protocol: Protocol) -> &'static str {
    match protocol {
        Protocol::Tcp => "tcp",
        Protocol::Udp => "udp",
        Protocol::Sctp => "sctp",
    }
}

/// What matches packets to a frontend.
#[derive(Clone, Copy, Debug)]
pub(super) struct To {
    protocol: &'static str,
    address: Option<IpAddr>,
    port: u16,
}

impl To {
    pub(super) fn frontend(facts: &Facts<'_>, key: &FrontendKey) -> Self {
        let address = match key.address {
            FrontendAddress::Ip(address) => Some(address),
            FrontendAddress::AnyNode(_) => None,
        };
        Self {
            protocol: facts.protocol,
            address,
            port: key.port,
        }
    }
}

impl fmt::Display for To {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { protocol, port, .. } = self;
        write!(f, "-m {protocol} -p {protocol}")?;
        if let Some(address) = self.address {
            write!(f, " -d {address}")?;
        }
        write!(f, " --dport {port}")
    }
}

/// What matches packets of this node's pods; empty if they are not known.
#[derive(Clone, Copy, Debug)]
pub(super) struct FromPods<'a>(pub(super) &'a LocalTraffic);

impl fmt::Display for FromPods<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            LocalTraffic::Unknown => Ok(()),
            LocalTraffic::Source(range) => write!(f, "-s {range}"),
            LocalTraffic::Bridge(name) => write!(f, "-i {name}"),
            LocalTraffic::InterfacePrefix(prefix) => write!(f, "-i {prefix}+"),
        }
    }
}
