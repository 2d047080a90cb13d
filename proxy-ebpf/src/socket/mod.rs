//! Sockets: a destination is translated once, where a process names it, and not in each packet.
//!
//! ```text
//!  connect ─ FRONTENDS ─ miss ─▶ as it is          sendmsg ─ DATAGRAMS ─ hit, endpoint still served ─▶ put endpoint
//!              │ hit                                          │ else
//!            choose ─▶ …_SOCKETS, put endpoint               choose ─▶ DATAGRAMS, put endpoint
//!
//!  getpeername, recvmsg ─ …_SOCKETS, DATAGRAMS ─▶ put whom the process has asked for       release ─▶ forget the socket
//! ```
//!
//! Which sockets that concerns, and what devices are to do about the others, is in `ask`.

pub(crate) mod answer;
mod ask;
mod canary;
pub(crate) mod connect;
pub(crate) mod datagram;
pub(crate) mod place;
pub(crate) mod release;

use aya_ebpf::{
    EbpfContext as _,
    helpers::generated::{bpf_get_netns_cookie, bpf_get_socket_cookie},
    programs::SockAddrContext,
};
use proxy_common::{Cookie, TCP, UDP};

use crate::maps::{Sockets, TCP_SOCKETS, UDP_SOCKETS};

/// What a hook says of a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Ruling {
    /// It goes on, with the address that it has by now.
    Allow,
    /// It fails.
    Refuse,
}

#[inline(always)]
fn socket(ctx: &SockAddrContext) -> Cookie {
    // SAFETY: the context is the kernel's, valid while the program runs.
    Cookie::new(unsafe { bpf_get_socket_cookie(ctx.as_ptr()) })
}

#[inline(always)]
fn netns(ctx: &SockAddrContext) -> Cookie {
    // SAFETY: as above.
    Cookie::new(unsafe { bpf_get_netns_cookie(ctx.as_ptr()) })
}

/// Those of an IP protocol that are connected to endpoints.
#[inline(always)]
fn connected(protocol: u8) -> &'static Sockets {
    if protocol == TCP {
        &TCP_SOCKETS
    } else {
        &UDP_SOCKETS
    }
}

/// TCP, UDP or nothing that a Service could be.
#[inline(always)]
fn protocol(ctx: &SockAddrContext) -> Option<u8> {
    // SAFETY: as above.
    let number = unsafe { (&raw const (*ctx.sock_addr).protocol).read_volatile() };
    [TCP, UDP]
        .into_iter()
        .find(|protocol| u32::from(*protocol) == number)
}
