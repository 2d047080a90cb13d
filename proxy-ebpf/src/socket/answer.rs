//! `getpeername` and `recvmsg`: a process is told whom it has asked for, not who serves that.

use aya_ebpf::programs::SockAddrContext;
use proxy_common::{Address, PeerKey, UDP};

use super::{connected, place::Place, protocol, socket};
use crate::Family;

/// The peer of a connected socket.
#[inline(always)]
pub(crate) fn peer<P: Place>(ctx: &SockAddrContext) {
    if let Some(protocol) = protocol(ctx) {
        let _ = is_of_connected::<P>(ctx, protocol);
    }
}

/// Where a datagram has come from.
#[inline(always)]
pub(crate) fn sender<P: Place>(ctx: &SockAddrContext) {
    if is_of_connected::<P>(ctx, UDP) {
        return;
    }
    let key = PeerKey::endpoint(socket(ctx), P::peer(ctx));
    // SAFETY: another thread may write the entry at the same time; both sides of it are the socket's.
    if let Some(peer) = unsafe { P::Family::datagrams().get(key) } {
        P::put(ctx, peer.end());
    }
}

#[inline(always)]
fn is_of_connected<P: Place>(ctx: &SockAddrContext, protocol: u8) -> bool {
    // SAFETY: as above.
    let Some(known) = (unsafe { connected(protocol).get(socket(ctx)) }) else {
        return false;
    };
    let (address, port) = P::peer(ctx);
    let is_endpoint = known.endpoint() == (address.to_v6(), port);
    if is_endpoint {
        let (address, port) = known.asked();
        P::put(ctx, (Address::of_v6(address), port));
    }
    is_endpoint
}
