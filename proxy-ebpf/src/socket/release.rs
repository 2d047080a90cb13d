//! A socket is closed: nothing of it stays.

use aya_ebpf::{EbpfContext as _, helpers::generated::bpf_get_socket_cookie, programs::SockContext};
use proxy_common::{ASKED, Addr4, Addr6, Cookie, PeerKey, Port, TCP, UDP};

use super::connected;
use crate::{Family, V4, V6, hints::may_be_led};

/// `AF_INET6`, whose sockets may also speak IPv4.
const AF_INET6: u32 = 10;

/// Forgets it. Most TCP sockets are with nobody whom a program has led them to, and pay no look-up.
#[inline(always)]
pub(crate) fn closed(ctx: &SockContext) {
    // SAFETY: the context is the kernel's, valid while the program runs.
    let (family, protocol) = unsafe {
        (
            (&raw const (*ctx.sock).family).read_volatile(),
            (&raw const (*ctx.sock).protocol).read_volatile(),
        )
    };
    let is_v6 = family == AF_INET6;
    if protocol == UDP.into() {
        let socket = socket(ctx);
        forget(UDP, socket);
        forget_datagrams::<V4>(socket);
        if is_v6 {
            forget_datagrams::<V6>(socket);
        }
    } else if protocol == TCP.into() {
        let port = peer_port(ctx);
        if may_be_led::<V4>((peer4(ctx), port)) || is_v6 && may_be_led::<V6>((peer6(ctx), port)) {
            forget(TCP, socket(ctx));
        }
    }
}

#[inline(always)]
fn socket(ctx: &SockContext) -> Cookie {
    // SAFETY: as in `closed`.
    Cookie::new(unsafe { bpf_get_socket_cookie(ctx.as_ptr()) })
}

#[inline(always)]
fn peer4(ctx: &SockContext) -> Addr4 {
    // SAFETY: as in `closed`.
    Addr4::of_words([unsafe { (&raw const (*ctx.sock).dst_ip4).read_volatile() }])
}

#[inline(always)]
fn peer6(ctx: &SockContext) -> Addr6 {
    // SAFETY: as in `closed`; there are four words.
    let word = |index: usize| unsafe {
        (&raw const (*ctx.sock).dst_ip6)
            .cast::<u32>()
            .add(index)
            .read_volatile()
    };
    Addr6::of_words([word(0), word(1), word(2), word(3)])
}

#[inline(always)]
fn peer_port(ctx: &SockContext) -> Port {
    // SAFETY: as in `closed`.
    Port::of_word(unsafe { (&raw const (*ctx.sock).dst_port).read_volatile() })
}

/// Forgets whom a socket is connected to. Most are not known, and to look takes no lock.
#[inline(always)]
pub(super) fn forget(protocol: u8, socket: Cookie) {
    let sockets = connected(protocol);
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
