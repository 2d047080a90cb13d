//! What is measured on each path, and what is promised of it.

use super::path::{Address, Path};
use crate::figures::Bound;

/// One figure of a path.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Metric {
    /// Connect, request, answer, close.
    Connections,
    /// The median time of a connect.
    Connect,
    /// What 99 of 100 connects do not exceed.
    SlowConnect,
    /// Requests and answers on one connection.
    Requests,
    /// Of one stream.
    Throughput,
}

impl Metric {
    pub(super) const ALL: [Self; 5] = [
        Self::Connections,
        Self::Connect,
        Self::SlowConnect,
        Self::Requests,
        Self::Throughput,
    ];

    pub(super) const fn label(self) -> &'static str {
        match self {
            Self::Connections => "CRR",
            Self::Connect => "connect, median",
            Self::SlowConnect => "connect, p99",
            Self::Requests => "RR",
            Self::Throughput => "throughput",
        }
    }

    pub(super) const fn unit(self) -> &'static str {
        match self {
            Self::Connections | Self::Requests => "1/s",
            Self::Connect | Self::SlowConnect => "µs",
            Self::Throughput => "Gbit/s",
        }
    }

    /// What kube-portal promises of the ratio to the same without any proxy.
    pub(super) fn target(self, path: Path) -> Option<Bound> {
        let is_direct = path.address == Address::Direct;
        match self {
            Self::Connections if is_direct => Some(Bound::AtLeast(0.98)),
            Self::Connections => Some(Bound::AtLeast(0.95)),
            Self::Connect if !is_direct => Some(Bound::AtMost(1.08)),
            Self::Requests if is_direct => Some(Bound::AtLeast(0.98)),
            Self::Requests => Some(Bound::AtLeast(0.97)),
            Self::Throughput if !is_direct => Some(Bound::AtLeast(0.97)),
            Self::Connect | Self::Throughput | Self::SlowConnect => None,
        }
    }
}
