//! The words of the table.

mod text;

pub(super) use text::find;

/// A node.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Node {
    /// The one that clients outside send to.
    Here,
    /// The other one.
    There,
}

impl Node {
    /// Both.
    pub const ALL: [Self; 2] = [Self::Here, Self::There];

    /// Its name in the topology.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Here => "node1",
            Self::There => "node2",
        }
    }
}

/// A pod that serves.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Endpoint {
    /// Runs here.
    A,
    /// Runs here.
    B,
    /// Runs there.
    C,
    /// Runs there.
    D,
}

impl Endpoint {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::A, Self::B, Self::C, Self::D];

    /// The node it runs on.
    #[must_use]
    pub const fn node(self) -> Node {
        match self {
            Self::A | Self::B => Node::Here,
            Self::C | Self::D => Node::There,
        }
    }

    /// Its name in the topology.
    #[must_use]
    pub const fn pod(self) -> &'static str {
        match self {
            Self::A => "nginx-a",
            Self::B => "nginx-b",
            Self::C => "nginx-c",
            Self::D => "shell-3",
        }
    }
}

/// Who asks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Client {
    /// A pod that serves nothing.
    Pod(Node),
    /// An endpoint.
    Endpoint(Endpoint),
    /// A process of the node here.
    Node,
    /// A host that is no part of the cluster and sends here what is for virtual IPs.
    Outside,
}

impl Client {
    /// All of them.
    pub const ALL: [Self; 8] = [
        Self::Pod(Node::Here),
        Self::Pod(Node::There),
        Self::Endpoint(Endpoint::A),
        Self::Endpoint(Endpoint::B),
        Self::Endpoint(Endpoint::C),
        Self::Endpoint(Endpoint::D),
        Self::Node,
        Self::Outside,
    ];

    /// Its name in the topology.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Pod(Node::Here) => "shell-1",
            Self::Pod(Node::There) => "shell-2",
            Self::Endpoint(endpoint) => endpoint.pod(),
            Self::Node => Node::Here.name(),
            Self::Outside => "client",
        }
    }

    /// The node that its packets for virtual IPs meet first.
    #[must_use]
    pub const fn first_node(self) -> Node {
        match self {
            Self::Pod(node) => node,
            Self::Endpoint(endpoint) => endpoint.node(),
            Self::Node | Self::Outside => Node::Here,
        }
    }
}

/// Which of a Service's addresses.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Door {
    /// `clusterIP`.
    ClusterIp,
    /// `externalIPs`.
    ExternalIp,
    /// `status.loadBalancer.ingress[].ip`.
    LoadBalancerIp,
    /// `nodePort` at a node's address.
    NodePort(Node),
}

impl Door {
    /// All of them.
    pub const ALL: [Self; 5] = [
        Self::ClusterIp,
        Self::ExternalIp,
        Self::LoadBalancerIp,
        Self::NodePort(Node::Here),
        Self::NodePort(Node::There),
    ];
}

/// Which port of an address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Part {
    /// The Service's.
    Own,
    /// Another number.
    OtherPort,
    /// The same number in the other protocol.
    OtherProtocol,
}

/// Where a client asks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Destination {
    /// The address.
    pub door: Door,
    /// The port.
    pub part: Part,
}

/// Whom the endpoint sees.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Source {
    /// The client.
    Kept,
    /// The node that decided.
    Masqueraded,
}
