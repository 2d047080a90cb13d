//! A socket is closed: nothing of it stays.

use aya_ebpf::{EbpfContext as _, helpers::generated::bpf_get_socket_cookie, programs::SockContext};
use proxy_common::{ASKED, Cookie, PeerKey, TCP, UDP};

use crate::{Family, V4, V6};

/// `AF_INET6`, whose sockets may also speak IPv4.
const AF_INET6: u32 = 10;

/// Forgets it.
#[inline(always)]
pub(crate) fn closed(ctx: &SockContext) {
    // SAFETY: the context is the kernel's, valid while the program runs.
    let (cookie, family, protocol) = unsafe {
        (
            bpf_get_socket_cookie(ctx.as_ptr()),
            (&raw const (*ctx.sock).family).read_volatile(),
            (&raw const (*ctx.sock).protocol).read_volatile(),
        )
    };
    let (socket, is_udp) = (Cookie::new(cookie), protocol == UDP.into());
    forget_of::<V4>(socket, is_udp);
    if family == AF_INET6 {
        forget_of::<V6>(socket, is_udp);
    }
}

#[inline(always)]
fn forget_of<F: Family>(socket: Cookie, is_udp: bool) {
    if is_udp {
        forget::<F>(UDP, socket);
        forget_datagrams::<F>(socket);
    } else {
        forget::<F>(TCP, socket);
    }
}

/// Forgets whom a socket is connected to. Most are not known, and to look takes no lock.
#[inline(always)]
pub(super) fn forget<F: Family>(protocol: u8, socket: Cookie) {
    let sockets = F::sockets(protocol);
    // SAFETY: only tested for presence.
    if unsafe { sockets.get(socket) }.is_some() {
        let _ = sockets.remove(socket);
    }
}

#[inline(never)]
fn forget_datagrams<F: Family>(socket: Cookie) {
    // SAFETY: the socket's last owner is about to let go of it: nobody sends by it any more.
    let Some(asked) = (unsafe { F::unconnected().get(socket) }) else {
        return;
    };
    for index in 0..ASKED {
        let Some(end) = asked.get(index) else { break };
        let key = PeerKey::asked(socket, end);
        // SAFETY: as above.
        if let Some(peer) = unsafe { F::datagrams().get(key) } {
            let _ = F::datagrams().remove(PeerKey::endpoint(socket, peer.end()));
        }
        let _ = F::datagrams().remove(key);
    }
    let _ = F::unconnected().remove(socket);
}
