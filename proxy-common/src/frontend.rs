//! Where Service traffic is caught, and what becomes of it.

use crate::{
    addr::{Addr4, Addr6, Address, Port},
    wire::{wire_bits, wire_struct, wire_types},
};

wire_struct! {
    /// Destination of a packet. NodePorts stand under the any-address.
    pub struct FrontendKey<A> {
        address: A,
        port: Port,
        protocol: u8,
        reserved: u8,
    }
}

wire_struct! {
    /// What becomes of packets to a frontend. One value, so that a change of it is atomic.
    pub struct Frontend {
        service: u32,
        cluster_list: u32,
        cluster_len: u32,
        local_list: u32,
        local_len: u32,
        affinity_timeout: u32,
        flags: FrontendFlags,
        kind: [u8; 4],
    }
}

wire_types! {
    FrontendKey<Addr4> = 8,
    FrontendKey<Addr6> = 20,
    Frontend = 32,
}

wire_bits! {
    /// Bits of a [`Frontend`].
    pub struct FrontendFlags(u32);

    /// No bit.
    NONE = 0;

    /// Every client's source address is replaced by the node's.
    MASQUERADE = 1;

    /// The source address of clients that are no local pods is replaced by the node's.
    MASQUERADE_OFF_CLUSTER = 1 << 1;

    /// Local pods are spread over the local list instead of the cluster list.
    PODS_LOCAL = 1 << 2;

    /// All other clients are spread over the local list instead of the cluster list.
    OTHERS_LOCAL = 1 << 3;

    /// With an empty list packets vanish instead of being refused: another node may answer.
    SILENT = 1 << 4;

    /// Only clients in `SOURCE_RANGES` are let in.
    SOURCE_RANGES = 1 << 5;
}

/// One of a frontend's lists.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct List {
    /// Its id, 0 if there is none.
    pub id: u32,
    /// How many slots it has.
    pub len: u32,
    /// Whether it is the one of policy Local.
    pub is_local: bool,
}

/// Which field of the Service a frontend comes from; the programs do not care, people who look at the map do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum FrontendKind {
    /// `spec.clusterIPs`.
    ClusterIP = 1,
    /// `spec.externalIPs`.
    ExternalIP = 2,
    /// `status.loadBalancer.ingress[].ip`.
    LoadBalancer = 3,
    /// `spec.ports[].nodePort`.
    NodePort = 4,
}

impl<A: Address> FrontendKey<A> {
    /// A packet's destination; `protocol` is an IP protocol number.
    #[must_use]
    #[inline(always)]
    pub const fn new(address: A, port: Port, protocol: u8) -> Self {
        Self {
            address,
            port,
            protocol,
            reserved: 0,
        }
    }

    /// The NodePort `port` on any address of the node.
    #[must_use]
    #[inline(always)]
    pub fn node_port(port: Port, protocol: u8) -> Self {
        Self::new(A::any(), port, protocol)
    }

    /// Destination address, [`Address::ANY`] for a NodePort.
    #[must_use]
    pub const fn address(&self) -> A {
        self.address
    }

    /// Destination port.
    #[must_use]
    pub const fn port(&self) -> Port {
        self.port
    }

    /// IP protocol number.
    #[must_use]
    pub const fn protocol(&self) -> u8 {
        self.protocol
    }
}

impl Frontend {
    /// A frontend of service `service` without lists.
    #[must_use]
    pub const fn new(service: u32, kind: FrontendKind, flags: FrontendFlags) -> Self {
        Self {
            service,
            cluster_list: 0,
            cluster_len: 0,
            local_list: 0,
            local_len: 0,
            affinity_timeout: 0,
            flags,
            kind: [kind as u8, 0, 0, 0],
        }
    }

    /// With the list of policy Cluster: its id and how many slots it has.
    #[must_use]
    pub const fn with_cluster_list(self, id: u32, len: u32) -> Self {
        Self {
            cluster_list: id,
            cluster_len: len,
            ..self
        }
    }

    /// With the list of policy Local: its id and how many slots it has.
    #[must_use]
    pub const fn with_local_list(self, id: u32, len: u32) -> Self {
        Self {
            local_list: id,
            local_len: len,
            ..self
        }
    }

    /// With ClientIP affinity for `seconds` after a client's last new connection.
    #[must_use]
    pub const fn with_affinity(self, seconds: u32) -> Self {
        Self {
            affinity_timeout: seconds,
            ..self
        }
    }

    /// Id of the Service port.
    #[must_use]
    #[inline(always)]
    pub const fn service(&self) -> u32 {
        self.service
    }

    /// Whether it matters that a client is a local pod.
    #[must_use]
    #[inline(always)]
    pub const fn tells_pods_apart(&self) -> bool {
        let lists_differ =
            self.flags.has(FrontendFlags::PODS_LOCAL) != self.flags.has(FrontendFlags::OTHERS_LOCAL);
        lists_differ || self.flags.has(FrontendFlags::MASQUERADE_OFF_CLUSTER)
    }

    /// The list for local pods, or the one for everybody else.
    #[must_use]
    #[inline(always)]
    pub const fn list_for(&self, is_pod: bool) -> List {
        let local = if is_pod {
            FrontendFlags::PODS_LOCAL
        } else {
            FrontendFlags::OTHERS_LOCAL
        };
        self.list(self.flags.has(local))
    }

    /// The local list, or the cluster list.
    #[must_use]
    #[inline(always)]
    pub const fn list(&self, is_local: bool) -> List {
        let (id, len) = if is_local {
            (self.local_list, self.local_len)
        } else {
            (self.cluster_list, self.cluster_len)
        };
        List { id, len, is_local }
    }

    /// Whether clients of this sort have their source address replaced.
    #[must_use]
    #[inline(always)]
    pub const fn masquerades(&self, is_pod: bool) -> bool {
        self.flags.has(FrontendFlags::MASQUERADE)
            || (!is_pod && self.flags.has(FrontendFlags::MASQUERADE_OFF_CLUSTER))
    }

    /// Ids of both lists, 0 where there is none.
    #[must_use]
    pub const fn list_ids(&self) -> [u32; 2] {
        [self.cluster_list, self.local_list]
    }

    /// Its bits.
    #[must_use]
    #[inline(always)]
    pub const fn flags(&self) -> FrontendFlags {
        self.flags
    }

    /// Seconds of ClientIP affinity, 0 without.
    #[must_use]
    #[inline(always)]
    pub const fn affinity_timeout(&self) -> u32 {
        self.affinity_timeout
    }

    /// Where it comes from; `None` if the byte is none that this version writes.
    #[must_use]
    pub const fn kind(&self) -> Option<FrontendKind> {
        match self.kind[0] {
            1 => Some(FrontendKind::ClusterIP),
            2 => Some(FrontendKind::ExternalIP),
            3 => Some(FrontendKind::LoadBalancer),
            4 => Some(FrontendKind::NodePort),
            _ => None,
        }
    }
}
