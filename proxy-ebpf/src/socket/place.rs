//! Where a hook has the address that a call is about.
//!
//! Each field is read and written as a word of its own: the kernel knows no other access to them.

use aya_ebpf::{bindings::bpf_sock, programs::SockAddrContext};
use proxy_common::{Addr4, Addr6, Address, Port};

use crate::{Family, V4, V6};

/// The address of one family in a hook's context.
pub(crate) trait Place {
    /// Its family.
    type Family: Family;

    /// Whom the call is about.
    fn peer(ctx: &SockAddrContext) -> (Of<Self>, Port) {
        // SAFETY: the context is the kernel's, valid while the program runs; the port is in its first two bytes.
        let port = unsafe { (&raw const (*ctx.sock_addr).user_port).read_volatile() };
        #[expect(clippy::cast_possible_truncation, reason = "a port has 16 bits")]
        let port = Port::of_word(port as u16);
        (Self::address(ctx), port)
    }

    /// Makes it about somebody else.
    fn put(ctx: &SockAddrContext, (address, port): (Of<Self>, Port)) {
        Self::put_address(ctx, address);
        // SAFETY: as above; programs of these hooks may write the field.
        unsafe { (&raw mut (*ctx.sock_addr).user_port).write_volatile(port.word().into()) };
    }

    /// The address that the socket is bound to, or that the call says; the any-address without.
    fn source(ctx: &SockAddrContext) -> Of<Self>;

    fn address(ctx: &SockAddrContext) -> Of<Self>;

    fn put_address(ctx: &SockAddrContext, address: Of<Self>);
}

type Of<P> = <<P as Place>::Family as Family>::Address;

/// An IPv4 address.
pub(crate) enum Ipv4 {}
/// An IPv6 address.
pub(crate) enum Ipv6 {}
/// An IPv4 address in an IPv6 one (RFC 4291, 2.5.5.2).
pub(crate) enum Mapped {}

/// Whether the address is an IPv4 one.
#[inline(always)]
pub(crate) fn is_mapped(ctx: &SockAddrContext) -> bool {
    Ipv6::address(ctx).is_mapped()
}

impl Place for Ipv4 {
    type Family = V4;

    #[inline(always)]
    fn source(ctx: &SockAddrContext) -> Addr4 {
        source4(ctx)
    }

    #[inline(always)]
    fn address(ctx: &SockAddrContext) -> Addr4 {
        // SAFETY: as in `peer`.
        Addr4::of_words([unsafe { (&raw const (*ctx.sock_addr).user_ip4).read_volatile() }])
    }

    #[inline(always)]
    fn put_address(ctx: &SockAddrContext, address: Addr4) {
        let [word] = address.words();
        // SAFETY: as in `put`.
        unsafe { (&raw mut (*ctx.sock_addr).user_ip4).write_volatile(word) };
    }
}

impl Place for Ipv6 {
    type Family = V6;

    #[inline(always)]
    fn source(ctx: &SockAddrContext) -> Addr6 {
        // SAFETY: the kernel gives the socket with the context.
        let words = unsafe {
            let from = &raw const (*sk(ctx)).src_ip6;
            let word = |index: usize| from.cast::<u32>().add(index).read_volatile();
            [word(0), word(1), word(2), word(3)]
        };
        Addr6::of_words(words)
    }

    #[inline(always)]
    fn address(ctx: &SockAddrContext) -> Addr6 {
        Addr6::of_words(words(ctx))
    }

    #[inline(always)]
    fn put_address(ctx: &SockAddrContext, address: Addr6) {
        let [a, b, c, d] = address.words();
        put_word(ctx, 0, a);
        put_word(ctx, 1, b);
        put_word(ctx, 2, c);
        put_word(ctx, 3, d);
    }
}

impl Place for Mapped {
    type Family = V4;

    #[inline(always)]
    fn source(ctx: &SockAddrContext) -> Addr4 {
        source4(ctx)
    }

    #[inline(always)]
    fn address(ctx: &SockAddrContext) -> Addr4 {
        let [.., word] = words(ctx);
        Addr4::of_words([word])
    }

    #[inline(always)]
    fn put_address(ctx: &SockAddrContext, address: Addr4) {
        let [word] = address.words();
        put_word(ctx, 3, word);
    }
}

/// The source, or else that of the node.
#[inline(always)]
pub(crate) fn source_or<P: Place>(ctx: &SockAddrContext, node: Of<P>) -> Of<P> {
    let source = P::source(ctx);
    if source == Of::<P>::any() { node } else { source }
}

#[inline(always)]
fn source4(ctx: &SockAddrContext) -> Addr4 {
    // SAFETY: as in `Ipv6::source`.
    Addr4::of_words([unsafe { (&raw const (*sk(ctx)).src_ip4).read_volatile() }])
}

#[inline(always)]
fn sk(ctx: &SockAddrContext) -> *mut bpf_sock {
    // SAFETY: as in `peer`; the union has one member that counts.
    unsafe { (&raw const (*ctx.sock_addr).__bindgen_anon_1.sk).read_volatile() }
}

#[inline(always)]
fn words(ctx: &SockAddrContext) -> [u32; 4] {
    // SAFETY: as in `peer`; there are four words.
    let word = |index: usize| unsafe {
        (&raw const (*ctx.sock_addr).user_ip6)
            .cast::<u32>()
            .add(index)
            .read_volatile()
    };
    [word(0), word(1), word(2), word(3)]
}

#[inline(always)]
fn put_word(ctx: &SockAddrContext, index: usize, word: u32) {
    // SAFETY: as in `put`; there are four words.
    unsafe {
        (&raw mut (*ctx.sock_addr).user_ip6)
            .cast::<u32>()
            .add(index)
            .write_volatile(word);
    }
}
