//! Who connects to what.

use proxy_agent::model::Family;

/// One way to a pod on the client's own node.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Way {
    pub(super) family: Family,
    pub(super) client: Client,
    pub(super) address: Address,
}

/// Whose sockets they are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Client {
    /// Of a pod on the node with `--socket-lb all`.
    Pod,
    /// Of the same pod, in a cgroup that has no programs.
    UnseenPod,
    /// Of a pod on the node with `--socket-lb host`.
    PodOfPackets,
    /// Of the node with `--socket-lb all` itself.
    Host,
    /// Of the same node, in a cgroup that has no programs.
    UnseenHost,
}

/// What they name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Address {
    ClusterIp,
    /// The pod itself, which has other ports for it.
    Endpoint,
    /// The pod again, by ports for those who are seen and for those who are not: nobody's ports run out before another's.
    NoService,
}

impl Way {
    /// Whether a program gives its sockets their endpoint.
    pub(super) fn is_translated_at_connect(self) -> bool {
        self.address == Address::ClusterIp && matches!(self.client, Client::Pod | Client::Host)
    }

    /// As in `pod → ClusterIP, IPv4`.
    pub(super) fn label(self) -> String {
        let client = match self.client {
            Client::Pod => "pod",
            Client::UnseenPod => "pod without programs",
            Client::PodOfPackets => "pod of --socket-lb host",
            Client::Host => "host",
            Client::UnseenHost => "host without programs",
        };
        let address = match self.address {
            Address::ClusterIp => "ClusterIP",
            Address::Endpoint => "endpoint",
            Address::NoService => "no Service",
        };
        format!("{client} → {address}, {}", self.family)
    }
}
