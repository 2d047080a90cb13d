//! How many rules there are, and how often they could not be written: kube-proxy's metrics are about both.

use std::ops::AddAssign;

use super::render::{Extent, RuleCounts};

/// Of one family, or of both together.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Figures {
    /// Rules that are there, without the jumps that lead to the first of them.
    pub rules: RuleCounts,
    /// Rules that were written the last time.
    pub last: RuleCounts,
    /// How often `iptables-restore` has failed.
    pub failures: u64,
    /// How often of these with the changes alone, so that everything had to be written next.
    pub partial_failures: u64,
    /// What rules have counted, in both families together.
    pub counted: Counted,
}

/// Packets that rules have counted, none if the kernel has no nfacct.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counted {
    /// Dropped, because they belong to no connection.
    pub dropped_invalid: u64,
    /// Accepted at a node port of a loopback address.
    pub accepted_localhost: u64,
}

impl Figures {
    pub(super) const fn failed(&mut self, extent: Extent) {
        self.failures += 1;
        if matches!(extent, Extent::Partial) {
            self.partial_failures += 1;
        }
    }
}

impl AddAssign for Figures {
    fn add_assign(&mut self, other: Self) {
        for (counts, others) in [(&mut self.rules, other.rules), (&mut self.last, other.last)] {
            counts.filter += others.filter;
            counts.nat += others.nat;
        }
        self.failures += other.failures;
        self.partial_failures += other.partial_failures;
    }
}
