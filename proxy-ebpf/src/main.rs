//! The programs: each translates a hook's context and verdict, and does nothing else.
#![cfg_attr(target_arch = "bpf", no_std, no_main)]

use aya_ebpf::{
    macros::{cgroup_sock, cgroup_sock_addr, classifier},
    programs::{SockAddrContext, SockContext, TcContext},
};
use proxy_ebpf::{
    hooks::{socket, tc},
    packet::Layer,
    verdict,
};

/// Ingress of a device with Ethernet headers.
#[classifier]
fn tc_ingress(ctx: TcContext) -> i32 {
    verdict::of(&ctx, tc::ingress(&ctx, Layer::Ethernet))
}

/// Egress of a device with Ethernet headers.
#[classifier]
fn tc_egress(ctx: TcContext) -> i32 {
    verdict::of(&ctx, tc::egress(&ctx, Layer::Ethernet))
}

/// Ingress of a device whose packets begin with the IP header, such as tun or WireGuard.
#[classifier]
fn tc_ingress_l3(ctx: TcContext) -> i32 {
    verdict::of(&ctx, tc::ingress(&ctx, Layer::Ip))
}

/// Egress of a device whose packets begin with the IP header.
#[classifier]
fn tc_egress_l3(ctx: TcContext) -> i32 {
    verdict::of(&ctx, tc::egress(&ctx, Layer::Ip))
}

/// `connect` of an IPv4 socket.
#[cgroup_sock_addr(connect4)]
fn socket_connect4(ctx: SockAddrContext) -> i32 {
    socket::connect4(&ctx)
}

/// `connect` of an IPv6 socket.
#[cgroup_sock_addr(connect6)]
fn socket_connect6(ctx: SockAddrContext) -> i32 {
    socket::connect6(&ctx)
}

/// A datagram to an IPv4 address.
#[cgroup_sock_addr(sendmsg4)]
fn socket_sendmsg4(ctx: SockAddrContext) -> i32 {
    socket::sendmsg4(&ctx)
}

/// A datagram to an IPv6 address.
#[cgroup_sock_addr(sendmsg6)]
fn socket_sendmsg6(ctx: SockAddrContext) -> i32 {
    socket::sendmsg6(&ctx)
}

/// A datagram for an IPv4 socket.
#[cgroup_sock_addr(recvmsg4)]
fn socket_recvmsg4(ctx: SockAddrContext) -> i32 {
    socket::recvmsg4(&ctx)
}

/// A datagram for an IPv6 socket.
#[cgroup_sock_addr(recvmsg6)]
fn socket_recvmsg6(ctx: SockAddrContext) -> i32 {
    socket::recvmsg6(&ctx)
}

/// `getpeername` of an IPv4 socket.
#[cgroup_sock_addr(getpeername4)]
fn socket_getpeername4(ctx: SockAddrContext) -> i32 {
    socket::getpeername4(&ctx)
}

/// `getpeername` of an IPv6 socket.
#[cgroup_sock_addr(getpeername6)]
fn socket_getpeername6(ctx: SockAddrContext) -> i32 {
    socket::getpeername6(&ctx)
}

/// A socket is closed.
#[cgroup_sock(sock_release)]
fn socket_release(ctx: SockContext) -> i32 {
    socket::release(&ctx)
}

// The helpers that the programs call are for GPL-compatible programs only.
#[cfg(target_arch = "bpf")]
#[unsafe(link_section = "license")]
#[unsafe(no_mangle)]
static LICENSE: [u8; 13] = *b"Dual BSD/GPL\0";

#[cfg(target_arch = "bpf")]
#[panic_handler]
fn panic(_info: &core::panic::PanicInfo<'_>) -> ! {
    // SAFETY: nothing in the programs panics; were it otherwise the verifier would see this and refuse to load them.
    unsafe { core::hint::unreachable_unchecked() }
}

/// On the host there is nothing to run: the crate builds there for `cargo check`, clippy and the library's tests.
#[cfg(not(target_arch = "bpf"))]
fn main() {}
