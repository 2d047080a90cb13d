//! What is compared with what, and what is promised of it.

use super::way::{
    Address::{ClusterIp, Endpoint, NoService},
    Client::{Host, Pod, PodOfPackets, UnseenHost, UnseenPod},
    Way,
};
use crate::figures::Bound;

/// Two ways that are measured one right after the other.
#[derive(Clone, Copy, Debug)]
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

impl Comparison {
    pub(super) const ALL: [Self; 9] = [
        Self::new(
            Load::Connections,
            Way::new(Pod, ClusterIp),
            Way::new(Pod, Endpoint),
            AT_CONNECT,
        ),
        Self::new(
            Load::Requests,
            Way::new(Pod, ClusterIp),
            Way::new(Pod, Endpoint),
            ONCE_CONNECTED,
        ),
        Self::new(
            Load::Connections,
            Way::new(PodOfPackets, ClusterIp),
            Way::new(PodOfPackets, Endpoint),
            None,
        ),
        Self::new(
            Load::Requests,
            Way::new(PodOfPackets, ClusterIp),
            Way::new(PodOfPackets, Endpoint),
            None,
        ),
        Self::new(
            Load::Connections,
            Way::new(Host, ClusterIp),
            Way::new(Host, Endpoint),
            AT_CONNECT,
        ),
        Self::new(
            Load::Requests,
            Way::new(Host, ClusterIp),
            Way::new(Host, Endpoint),
            ONCE_CONNECTED,
        ),
        Self::new(
            Load::Connections,
            Way::new(Pod, NoService),
            Way::new(UnseenPod, NoService),
            OF_NO_SERVICE,
        ),
        Self::new(
            Load::Connects,
            Way::new(Pod, NoService),
            Way::new(UnseenPod, NoService),
            OF_NO_SERVICE_MORE,
        ),
        Self::new(
            Load::Connects,
            Way::new(Host, NoService),
            Way::new(UnseenHost, NoService),
            OF_NO_SERVICE_MORE,
        ),
    ];

    const fn new(load: Load, way: Way, base: Way, target: Option<Bound>) -> Self {
        Self {
            load,
            way,
            base,
            target,
        }
    }

    /// As in `pod → ClusterIP: CRR of direct`.
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
