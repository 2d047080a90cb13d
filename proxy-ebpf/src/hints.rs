//! Which ends of packets can be those of flows, and which peers of TCP sockets can be endpoints of Services: a byte tells without a
//! look-up that a packet, or a socket, has nothing to do with any.
//!
//! The end that counts is the one that serves: a request's destination and a reply's source. Clients come and go; the Services and
//! endpoints that a node has had are few. Bytes are set before an entry is stored, and never taken back: what is set too long costs a
//! look-up.

use proxy_common::{Flow, FlowFlags, FlowKey, HINTS, Port, hint};

use crate::{
    Family,
    maps::{FLOW_HINTS, SOCKET_HINTS},
    rewrite::Side,
};

/// Whether the flow table of a hook can have the entry.
#[inline(always)]
pub(crate) fn may_have<F: Family>(hook: Side, key: &FlowKey<F::Address>) -> bool {
    let Some(seen) = of(hook) else { return true };
    // SAFETY: hints are within the array. Any CPU may set a byte meanwhile, which is one store.
    unsafe { *seen.add(hint(key.source())) | *seen.add(hint(key.destination())) != 0 }
}

/// Sees to it that the entry will be found.
///
/// Not inlined: many places store entries, and the verifier would follow each.
#[inline(never)]
pub(crate) fn note<F: Family>(hook: Side, key: &FlowKey<F::Address>, entry: &Flow<F::Address>) {
    let end = if entry.flags().has(FlowFlags::REQUEST) {
        key.destination()
    } else {
        key.source()
    };
    note_end::<F>(hook, end);
}

/// Has the hook look for packets that have this end.
#[inline(always)]
pub(crate) fn note_end<F: Family>(hook: Side, end: (F::Address, Port)) {
    let Some(seen) = of(hook) else { return };
    // SAFETY: as above.
    unsafe { *seen.add(hint(end)) = 1 };
}

/// Whether the peer of a TCP socket can be an endpoint that a program has given it. One without may have failed to reach it.
#[inline(always)]
pub(crate) fn may_be_led<F: Family>(peer: (F::Address, Port)) -> bool {
    if peer.1 == Port::new(0) {
        return true;
    }
    let Some(seen) = of_sockets() else { return true };
    // SAFETY: as in `may_have`.
    unsafe { *seen.add(hint(peer)) != 0 }
}

/// Sees to it that the socket's entry will be found.
#[inline(always)]
pub(crate) fn note_led<F: Family>(endpoint: (F::Address, Port)) {
    let Some(seen) = of_sockets() else { return };
    // SAFETY: as in `may_have`.
    unsafe { *seen.add(hint(endpoint)) = 1 };
}

#[inline(always)]
fn of_sockets() -> Option<*mut u8> {
    let seen: *mut [u8; HINTS] = SOCKET_HINTS.get_ptr_mut(0)?;
    Some(seen.cast())
}

#[inline(always)]
fn of(hook: Side) -> Option<*mut u8> {
    let seen: *mut [u8; HINTS] = FLOW_HINTS.get_ptr_mut(hook.hook().into())?;
    Some(seen.cast())
}
