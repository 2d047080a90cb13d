//! The kernel's table of connections, which keeps UDP flows where they once went: those of Services are deleted when that is not, or
//! not any more, where they belong, and their next packet meets the rules.
//!
//! TCP connections stay: they end by themselves.

use proxy_common::UDP;

use crate::{
    dataplane::udp::Wanted,
    model::{Delta, Desired, Family, Protocol},
    netfilter::conntrack::{ConntrackError, Flow, Table},
};

/// Deletes the UDP flows of Services that do not go to one of their endpoints; how many.
///
/// # Errors
/// When the table cannot be read, or an entry not deleted.
pub(super) fn clean(desired: &Desired) -> Result<usize, ConntrackError> {
    let mut deleted = 0;
    let wanted = Wanted::of(desired);
    for family in Family::ALL {
        if wanted.has_none_of(family) {
            continue;
        }
        let table = Table::open(family)?;
        let is_misled = |flow: &Flow| {
            flow.protocol == UDP && wanted.is_misled(flow.request.destination, flow.reply.source)
        };
        for flow in table.flows(is_misled)? {
            table.delete(&flow)?;
            deleted += 1;
        }
    }
    Ok(deleted)
}

/// Whether a change has to do with UDP.
pub(super) fn is_needed(delta: &Delta) -> bool {
    let is_udp = |protocol| protocol == Protocol::Udp;
    delta.lists.iter().any(|list| is_udp(list.service_port.protocol))
        || delta.frontends.iter().any(|key| is_udp(key.protocol))
}
