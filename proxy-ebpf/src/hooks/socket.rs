//! cgroup hooks of sockets: where a process names an address, and where it is told one.

use aya_ebpf::{
    helpers::generated::bpf_set_retval,
    programs::{SockAddrContext, SockContext},
};

use crate::socket::{
    Ruling, answer, connect as connecting, datagram,
    place::{Ipv4, Ipv6, Mapped, is_mapped},
    release as releasing,
};

/// Whether the kernel has `bpf_set_retval` (Linux 5.18): the agent sets it before it loads the programs, and the verifier leaves out
/// what is then never reached.
#[unsafe(no_mangle)]
static HAS_SET_RETVAL: u8 = 0;

const ALLOW: i32 = 1;
/// With `EPERM`, unless another error has been set.
const REFUSE: i32 = 0;
const ECONNREFUSED: i32 = 111;

/// `connect` of an IPv4 socket.
#[inline(always)]
pub fn connect4(ctx: &SockAddrContext) -> i32 {
    verdict(connecting::connect::<Ipv4>(ctx))
}

/// `connect` of an IPv6 socket, also to an IPv4 address.
#[inline(always)]
pub fn connect6(ctx: &SockAddrContext) -> i32 {
    verdict(if is_mapped(ctx) {
        connecting::connect::<Mapped>(ctx)
    } else {
        connecting::connect::<Ipv6>(ctx)
    })
}

/// A datagram to an IPv4 address, also of an IPv6 socket.
#[inline(always)]
pub fn sendmsg4(ctx: &SockAddrContext) -> i32 {
    verdict(datagram::send::<Ipv4>(ctx))
}

/// A datagram to an IPv6 address.
#[inline(always)]
pub fn sendmsg6(ctx: &SockAddrContext) -> i32 {
    verdict(datagram::send::<Ipv6>(ctx))
}

/// A datagram for an IPv4 socket.
#[inline(always)]
pub fn recvmsg4(ctx: &SockAddrContext) -> i32 {
    answer::sender::<Ipv4>(ctx);
    ALLOW
}

/// A datagram for an IPv6 socket, also from an IPv4 address.
#[inline(always)]
pub fn recvmsg6(ctx: &SockAddrContext) -> i32 {
    if is_mapped(ctx) {
        answer::sender::<Mapped>(ctx);
    } else {
        answer::sender::<Ipv6>(ctx);
    }
    ALLOW
}

/// `getpeername` of an IPv4 socket.
#[inline(always)]
pub fn getpeername4(ctx: &SockAddrContext) -> i32 {
    answer::peer::<Ipv4>(ctx);
    ALLOW
}

/// `getpeername` of an IPv6 socket, also with an IPv4 peer.
#[inline(always)]
pub fn getpeername6(ctx: &SockAddrContext) -> i32 {
    if is_mapped(ctx) {
        answer::peer::<Mapped>(ctx);
    } else {
        answer::peer::<Ipv6>(ctx);
    }
    ALLOW
}

/// A socket is closed.
#[inline(always)]
pub fn release(ctx: &SockContext) -> i32 {
    releasing::closed(ctx);
    ALLOW
}

#[inline(always)]
fn verdict(ruling: Ruling) -> i32 {
    match ruling {
        Ruling::Allow => ALLOW,
        Ruling::Refuse => {
            // SAFETY: a constant of this object, read as the loader has left it; the helper takes any error number.
            unsafe {
                if (&raw const HAS_SET_RETVAL).read_volatile() != 0 {
                    bpf_set_retval(-ECONNREFUSED);
                }
            }
            REFUSE
        }
    }
}
