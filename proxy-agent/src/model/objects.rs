//! The parts of the Kubernetes objects that decide where Service traffic goes, validated and in our own types.

use std::{fmt, net::IpAddr, sync::Arc};

use ipnet::IpNet;
use serde::Serialize;
use thin_vec::ThinVec;

use super::Weights;

/// `namespace/name` of a namespaced object. For a Node the namespace is empty.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
pub struct ObjectName {
    /// Namespace; empty for cluster-scoped objects.
    pub namespace: String,
    /// Name, unique in the namespace.
    pub name: String,
}

impl ObjectName {
    /// A name in a namespace.
    #[must_use]
    pub fn new(namespace: &str, name: &str) -> Self {
        Self {
            namespace: namespace.to_owned(),
            name: name.to_owned(),
        }
    }

    /// The name of an object without a namespace, such as a Node.
    #[must_use]
    pub fn cluster_scoped(name: &str) -> Self {
        Self::new("", name)
    }
}

impl fmt::Display for ObjectName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.namespace.is_empty() {
            return f.write_str(&self.name);
        }
        write!(f, "{}/{}", self.namespace, self.name)
    }
}

/// The name of a Service port, empty for the unnamed port of a single-port Service.
pub type PortName = String;

/// IP family. The two families of a dual-stack Service are served as two unrelated Services, as in kube-proxy.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
pub enum Family {
    /// IPv4.
    V4,
    /// IPv6.
    V6,
}

impl Family {
    /// Both families, for loops.
    pub const ALL: [Self; 2] = [Self::V4, Self::V6];

    /// The family of an address.
    #[must_use]
    pub const fn of(address: IpAddr) -> Self {
        match address {
            IpAddr::V4(_) => Self::V4,
            IpAddr::V6(_) => Self::V6,
        }
    }
}

/// As `addressType` of an EndpointSlice.
impl fmt::Display for Family {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::V4 => "IPv4",
            Self::V6 => "IPv6",
        })
    }
}

/// Transport protocol of a Service port.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "UPPERCASE")]
pub enum Protocol {
    /// TCP, the default in the API.
    Tcp,
    /// UDP.
    Udp,
    /// SCTP.
    Sctp,
}

impl fmt::Display for Protocol {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Tcp => "TCP",
            Self::Udp => "UDP",
            Self::Sctp => "SCTP",
        })
    }
}

/// `internalTrafficPolicy` and `externalTrafficPolicy`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
pub enum TrafficPolicy {
    /// Any endpoint of the cluster.
    #[default]
    Cluster,
    /// Only endpoints on the node that the packet arrived at.
    Local,
}

/// A Service that has a virtual IP: headless and ExternalName Services never get here.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Service {
    /// `metadata.namespace` and `metadata.name`.
    pub name: ObjectName,
    /// `spec.clusterIPs` (or `spec.clusterIP`), one per family at most.
    pub cluster_ips: Vec<IpAddr>,
    /// `spec.externalIPs`.
    pub external_ips: Vec<IpAddr>,
    /// `status.loadBalancer.ingress[].ip` whose `ipMode` is absent or `VIP`.
    pub load_balancer_ips: Vec<IpAddr>,
    /// `spec.loadBalancerSourceRanges`; empty means everyone.
    pub source_ranges: Vec<IpNet>,
    /// `spec.ports`.
    pub ports: Vec<ServicePortSpec>,
    /// `spec.internalTrafficPolicy`.
    pub internal_traffic_policy: TrafficPolicy,
    /// `spec.externalTrafficPolicy`.
    pub external_traffic_policy: TrafficPolicy,
    /// Timeout in seconds of `spec.sessionAffinity: ClientIP`; `None` without affinity.
    pub session_affinity: Option<u32>,
    /// `spec.healthCheckNodePort`, if not zero.
    pub health_check_node_port: Option<u16>,
    /// Annotation `kube-portal.io/weights`.
    pub weights: Weights,
}

/// One entry of `spec.ports` of a Service.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ServicePortSpec {
    /// `name`; joins the Service's port to the slices' ports.
    pub name: PortName,
    /// `protocol`.
    pub protocol: Protocol,
    /// `port`.
    pub port: u16,
    /// `nodePort`, if not zero.
    pub node_port: Option<u16>,
}

/// An EndpointSlice of address type IPv4 or IPv6 that names its Service.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EndpointSlice {
    /// `metadata.namespace` and `metadata.name`.
    pub name: ObjectName,
    /// Label `kubernetes.io/service-name`; the Service is in the slice's namespace.
    pub service: String,
    /// `addressType`.
    pub family: Family,
    /// `ports`: those with a port number.
    pub ports: Vec<SlicePort>,
    /// `endpoints`: those with an address of the slice's family.
    pub endpoints: Vec<SliceEndpoint>,
}

impl EndpointSlice {
    /// Whether it has endpoints of `default/kubernetes`: of the API server itself.
    #[must_use]
    pub fn is_api_server(&self) -> bool {
        self.name.namespace == "default" && self.service == "kubernetes"
    }

    /// The Service that the slice belongs to.
    #[must_use]
    pub fn service_name(&self) -> ObjectName {
        ObjectName::new(&self.name.namespace, &self.service)
    }
}

/// One entry of `ports` of an EndpointSlice: the target port, already resolved to a number by the slice controller.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SlicePort {
    /// `name`, empty for the unnamed port.
    pub name: PortName,
    /// `protocol`.
    pub protocol: Protocol,
    /// `port`.
    pub port: u16,
}

/// One entry of `endpoints` of an EndpointSlice. Small, because a cluster has so many of them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SliceEndpoint {
    /// `addresses[0]`, the only one that kube-proxy reads.
    pub address: IpAddr,
    /// `conditions.ready`, absent means true.
    pub ready: bool,
    /// `conditions.serving`, absent means true.
    pub serving: bool,
    /// `conditions.terminating`, absent means false.
    pub terminating: bool,
    /// `nodeName`.
    pub node_name: Option<Arc<str>>,
    /// `targetRef.name` if that is a Pod.
    pub pod: Option<Box<str>>,
    /// `hints.forZones[].name`.
    pub zone_hints: ThinVec<String>,
    /// `hints.forNodes[].name`.
    pub node_hints: ThinVec<String>,
}

/// A range that cluster IPs are taken from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ServiceCidr {
    /// `metadata.name`.
    pub name: String,
    /// `spec.cidrs`, one per family at most.
    pub cidrs: Vec<IpNet>,
}

/// The parts of a Node that matter to a Service proxy.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Node {
    /// `metadata.name`.
    pub name: String,
    /// `status.addresses` of types InternalIP and ExternalIP, in the order of the object.
    pub addresses: Vec<IpAddr>,
    /// `spec.podCIDRs` (or `spec.podCIDR`).
    pub pod_cidrs: Vec<IpNet>,
    /// Label `topology.kubernetes.io/zone`.
    pub zone: Option<String>,
}
