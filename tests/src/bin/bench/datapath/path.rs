//! What is measured: ways that packets take.

use crate::services::Destination;

/// From where to where.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Path {
    pub(super) client: Client,
    pub(super) address: Address,
    pub(super) destination: Destination,
}

/// Who asks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Client {
    /// A pod on the first node.
    Pod,
    /// A machine on the nodes' network, whose packets go to the first node.
    Outside,
}

/// For what.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Address {
    /// The pod's own.
    Direct,
    /// The ClusterIP of a Service in front of it.
    ClusterIp,
    /// The first node's, with the Service's NodePort.
    NodePort,
}

impl Path {
    /// Those that every proxy is measured on.
    pub(super) const ALL: [Self; 6] = [
        Self::new(Client::Pod, Address::Direct, Destination::Local),
        Self::new(Client::Pod, Address::Direct, Destination::Remote),
        Self::new(Client::Pod, Address::ClusterIp, Destination::Local),
        Self::new(Client::Pod, Address::ClusterIp, Destination::Remote),
        Self::new(Client::Outside, Address::NodePort, Destination::Local),
        Self::new(Client::Outside, Address::NodePort, Destination::Remote),
    ];

    const fn new(client: Client, address: Address, destination: Destination) -> Self {
        Self {
            client,
            address,
            destination,
        }
    }

    /// The same without a Service, which is what it is compared with.
    pub(super) const fn direct(self) -> Self {
        Self {
            address: Address::Direct,
            ..self
        }
    }

    /// As in `pod → ClusterIP → remote pod`.
    pub(super) fn label(self) -> String {
        let client = match self.client {
            Client::Pod => "pod",
            Client::Outside => "outside",
        };
        let address = match self.address {
            Address::Direct => "",
            Address::ClusterIp => "ClusterIP → ",
            Address::NodePort => "NodePort → ",
        };
        let destination = match self.destination {
            Destination::Local => "local pod",
            Destination::Remote => "remote pod",
        };
        format!("{client} → {address}{destination}")
    }
}
