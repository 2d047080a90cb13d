//! What is compared with what, and what is promised of it.

use proxy_agent::model::Family;

use super::way::{
    Address::{self, ClusterIp, Endpoint, NoService},
    Client::{self, Host, Pod, PodOfPackets, UnseenHost, UnseenPod},
    Way,
};
use crate::figures::Bound;

/// Two ways that are measured one right after the other.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Comparison {
    pub(super) load: Load,
    pub(super) way: Way,
    pub(super) base: Way,
    pub(super) target: Option<Bound>,
}

/// What is done on them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Load {
    /// Connect, request, answer, close.
    Connections,
    /// Requests and answers on one connection.
    Requests,
    /// The system call alone, of a UDP socket: no packet is sent.
    Connects,
}

const AT_CONNECT: Option<Bound> = Some(Bound::AtLeast(0.97));
const ONCE_CONNECTED: Option<Bound> = Some(Bound::AtLeast(0.99));
const OF_NO_SERVICE: Option<Bound> = Some(Bound::AtLeast(0.98));
/// In nanoseconds.
const OF_NO_SERVICE_MORE: Option<Bound> = Some(Bound::AtMost(1000.0));

/// What may be left of a ratio in the largest cluster, of that in the smallest.
const FLAT: Bound = Bound::AtLeast(0.98);
/// By how many nanoseconds a difference may grow.
const FLAT_MORE: Bound = Bound::AtMost(250.0);

/// What is done, by whom to whom and beside whom, and what is promised.
type Planned = (Load, [(Client, Address); 2], Option<Bound>);

const PLANNED: [Planned; 9] = [
    (Load::Connections, [(Pod, ClusterIp), (Pod, Endpoint)], AT_CONNECT),
    (
        Load::Requests,
        [(Pod, ClusterIp), (Pod, Endpoint)],
        ONCE_CONNECTED,
    ),
    (
        Load::Connections,
        [(PodOfPackets, ClusterIp), (PodOfPackets, Endpoint)],
        None,
    ),
    (
        Load::Requests,
        [(PodOfPackets, ClusterIp), (PodOfPackets, Endpoint)],
        None,
    ),
    (
        Load::Connections,
        [(Host, ClusterIp), (Host, Endpoint)],
        AT_CONNECT,
    ),
    (
        Load::Requests,
        [(Host, ClusterIp), (Host, Endpoint)],
        ONCE_CONNECTED,
    ),
    (
        Load::Connections,
        [(Pod, NoService), (UnseenPod, NoService)],
        OF_NO_SERVICE,
    ),
    (
        Load::Connects,
        [(Pod, NoService), (UnseenPod, NoService)],
        OF_NO_SERVICE_MORE,
    ),
    (
        Load::Connects,
        [(Host, NoService), (UnseenHost, NoService)],
        OF_NO_SERVICE_MORE,
    ),
];

impl Comparison {
    /// In both families.
    pub(super) fn all() -> Vec<Self> {
        let of = |family| PLANNED.iter().map(move |planned| Self::new(family, *planned));
        Family::ALL.into_iter().flat_map(of).collect()
    }

    fn new(family: Family, (load, [way, base], target): Planned) -> Self {
        let way_of = |(client, address)| Way {
            family,
            client,
            address,
        };
        Self {
            load,
            way: way_of(way),
            base: way_of(base),
            target,
        }
    }

    /// As in `pod → ClusterIP, IPv4: CRR of direct`.
    pub(super) fn what(&self) -> String {
        let is_direct = self.way.client == self.base.client;
        let base = match self.load {
            _ if is_direct => "of direct",
            Load::Connections | Load::Requests => "of that without programs",
            Load::Connects => "more than without programs",
        };
        format!("{} {base}", self.load.of(self.way))
    }

    /// The first beside the second: a ratio of rates, or a difference of times.
    pub(super) fn compare(&self, way: f64, base: f64) -> f64 {
        match self.load {
            Load::Connections | Load::Requests => way / base,
            Load::Connects => way - base,
        }
    }

    pub(super) const fn unit(&self) -> &'static str {
        match self.load {
            Load::Connections | Load::Requests => "",
            Load::Connects => self.load.unit(),
        }
    }

    /// What may become of it from the smallest to the largest cluster.
    pub(super) const fn flat(&self) -> Bound {
        match self.load {
            Load::Connections | Load::Requests => FLAT,
            Load::Connects => FLAT_MORE,
        }
    }
}

impl Load {
    /// How a row of it is called.
    pub(super) fn of(self, way: Way) -> String {
        let load = match self {
            Self::Connections => "CRR",
            Self::Requests => "RR",
            Self::Connects => "UDP connect",
        };
        format!("{}: {load}", way.label())
    }

    pub(super) const fn unit(self) -> &'static str {
        match self {
            Self::Connections | Self::Requests => "1/s",
            Self::Connects => "ns",
        }
    }
}
