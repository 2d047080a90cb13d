//! What a node's dataplane shall do, whichever dataplane it is.

use std::{collections::BTreeMap, fmt, net::IpAddr};

use ipnet::IpNet;
use serde::Serialize;

use super::{Family, NodeRules, ObjectName, PortName, Protocol, TrafficPolicy};

/// Everything that a dataplane implements. Ordered maps: equal input gives byte-equal output.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Desired {
    /// Where traffic is caught.
    pub frontends: BTreeMap<FrontendKey, Frontend>,
    /// The Service ports that the frontends belong to.
    pub service_ports: BTreeMap<ServicePortId, ServicePort>,
    /// Where traffic goes. Every list that a frontend can name is here, also when it is empty.
    pub lists: BTreeMap<ListKey, EndpointList>,
    /// What holds for all of them.
    pub node: NodeRules,
    /// Claims to frontends that went to another Service port, best first. A dataplane has nothing to do for them.
    pub refused: BTreeMap<FrontendKey, Vec<Frontend>>,
}

impl Desired {
    /// The claims to a frontend that it could not meet.
    pub fn conflicts<'a>(&'a self, key: &'a FrontendKey) -> impl Iterator<Item = Conflict> + 'a {
        let winner = self.frontends.get(key);
        let losers = self.refused.get(key).into_iter().flatten();
        losers.filter_map(move |loser| {
            Some(Conflict {
                frontend: key.clone(),
                winner: winner?.service_port.clone(),
                loser: loser.service_port.clone(),
            })
        })
    }
}

/// A frontend that more than one Service port claims.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Conflict {
    /// What is claimed.
    pub frontend: FrontendKey,
    /// Who is served there: whose cluster IP it is, else the first in the order of Service names.
    pub winner: ServicePortId,
    /// Who is not.
    pub loser: ServicePortId,
}

impl fmt::Display for Conflict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            frontend,
            winner,
            loser,
        } = self;
        write!(
            f,
            "{frontend} belongs to Service port {winner}, so {loser} is not served there; change one of them"
        )
    }
}

/// `namespace/name:port` and protocol: what kube-proxy identifies a Service port by.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
pub struct ServicePortId {
    /// The Service.
    pub service: ObjectName,
    /// Its port's name, maybe empty.
    pub port: PortName,
    /// Its port's protocol.
    pub protocol: Protocol,
}

impl ServicePortId {
    /// The lowest that a Service can have.
    pub(super) fn first_of(service: &ObjectName) -> Self {
        Self {
            service: service.clone(),
            port: PortName::new(),
            protocol: Protocol::Tcp,
        }
    }
}

impl fmt::Display for ServicePortId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.service)?;
        if !self.port.is_empty() {
            write!(f, ":{}", self.port)?;
        }
        Ok(())
    }
}

/// What all frontends of one Service port share.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ServicePort {
    /// Timeout in seconds of ClientIP affinity.
    pub session_affinity: Option<u32>,
    /// Port of the health check server of policy Local.
    pub health_check_node_port: Option<u16>,
    /// `internalTrafficPolicy`.
    pub internal_traffic_policy: TrafficPolicy,
    /// `externalTrafficPolicy`.
    pub external_traffic_policy: TrafficPolicy,
    /// Whether it has a NodePort, an external IP or a load balancer IP.
    pub externally_accessible: bool,
    /// The clients that its load balancer IPs let in, if not everyone.
    pub source_ranges: Vec<IpNet>,
}

/// Where a packet must be headed to be Service traffic.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct FrontendKey {
    /// Destination address.
    pub address: FrontendAddress,
    /// Destination port.
    pub port: u16,
    /// Transport protocol.
    pub protocol: Protocol,
}

impl fmt::Display for FrontendKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            address,
            port,
            protocol,
        } = self;
        match address {
            FrontendAddress::Ip(IpAddr::V4(address)) => write!(f, "{address}:{port}/{protocol}"),
            FrontendAddress::Ip(IpAddr::V6(address)) => write!(f, "[{address}]:{port}/{protocol}"),
            FrontendAddress::AnyNode(family) => write!(f, "{family} node port {port}/{protocol}"),
        }
    }
}

/// The destination address of a frontend.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum FrontendAddress {
    /// Exactly this address.
    Ip(IpAddr),
    /// Any address of the node in this family that serves NodePorts.
    AnyNode(Family),
}

impl FrontendAddress {
    /// The family that the frontend serves.
    #[must_use]
    pub const fn family(self) -> Family {
        match self {
            Self::Ip(address) => Family::of(address),
            Self::AnyNode(family) => family,
        }
    }
}

/// Which field of the Service the frontend comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
pub enum FrontendKind {
    /// `spec.clusterIPs`.
    ClusterIP,
    /// `spec.externalIPs`.
    ExternalIP,
    /// `status.loadBalancer.ingress[].ip`.
    LoadBalancer,
    /// `spec.ports[].nodePort`.
    NodePort,
}

/// What happens to packets that reach a frontend.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Frontend {
    /// Where the frontend comes from.
    pub kind: FrontendKind,
    /// The Service port that it belongs to.
    pub service_port: ServicePortId,
    /// The list for clients from outside of the cluster.
    pub external_clients: Scope,
    /// The list for local pods and processes of the node.
    pub internal_clients: Scope,
    /// Whose source address is replaced, beside hairpin traffic, whose source always is.
    pub masquerade: Masquerade,
    /// What an empty list means.
    pub when_empty: WhenEmpty,
    /// Clients allowed in; empty means everyone.
    pub source_ranges: Vec<IpNet>,
}

impl Frontend {
    /// Of several claims to one address and port the lowest is met: a cluster IP is its Service's own, nobody else can take it by
    /// naming it as an external IP; else the first in the order of Services, and of a Service the first in its own order.
    pub(super) fn rank(&self) -> impl Ord + '_ {
        (self.kind != FrontendKind::ClusterIP, &self.service_port.service)
    }

    /// The key of the list that clients of a scope are sent to.
    #[must_use]
    pub fn list_key(&self, family: Family, scope: Scope) -> ListKey {
        ListKey {
            service_port: self.service_port.clone(),
            family,
            scope,
        }
    }
}

/// Which of a Service port's lists: they are different sets, neither is a prefix of the other.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
pub enum Scope {
    /// Endpoints under policy Cluster.
    Cluster,
    /// Endpoints under policy Local.
    Local,
}

/// Whose source address is replaced by the node's.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
pub enum Masquerade {
    /// Nobody's.
    Never,
    /// Clients that the local-traffic detector does not recognise as pods.
    OffCluster,
    /// Processes of the node itself.
    Node,
    /// Everyone's.
    Always,
}

/// What happens to a packet whose list is empty.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
pub enum WhenEmpty {
    /// No endpoint anywhere: refuse, so that the client gets ECONNREFUSED.
    Reject,
    /// Endpoints elsewhere, but policy Local: silence, because another node may answer.
    Drop,
}

/// Names one endpoint list.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ListKey {
    /// The Service port.
    pub service_port: ServicePortId,
    /// The family of the endpoints.
    pub family: Family,
    /// Cluster or Local.
    pub scope: Scope,
}

impl ListKey {
    /// The lowest that a Service port can have.
    pub(super) const fn first_of(service_port: ServicePortId) -> Self {
        Self {
            service_port,
            family: Family::V4,
            scope: Scope::Cluster,
        }
    }
}

/// Endpoints in ascending order of address and port, without duplicates.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct EndpointList {
    /// The endpoints.
    pub endpoints: Vec<Endpoint>,
}

/// One place to send packets to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Endpoint {
    /// Its address.
    pub address: IpAddr,
    /// Its port.
    pub port: u16,
    /// Its share: `weight` over the sum of the weights of its list, which is above 0.
    pub weight: u16,
    /// Whether it runs on this node.
    pub local: bool,
}
