//! Puts another address and ports into a packet.
//!
//! The IP header's part is one store, checksum included; `skb->csum` covers both and stays right. The transport checksum
//! goes through the helper, because only that knows whether the device is still to complete it.

use aya_ebpf::programs::TcContext;
use proxy_common::{Addr4, Addr6, Address, Counter, Flow, FlowKey, Port, UDP, csum};
use zerocopy::IntoBytes;

use crate::{
    Family,
    packet::{Checksum, add_to_checksum, add_to_pseudo_header},
    parse::Packet,
    verdict::Drop,
};

/// Which address of a packet changes: a hook changes one, and maybe either port.
#[derive(Clone, Copy)]
pub enum Side {
    /// The source, at egress.
    Source,
    /// The destination, at ingress.
    Destination,
}

impl Side {
    /// The other one.
    #[inline(always)]
    pub(crate) const fn opposite(self) -> Self {
        match self {
            Self::Source => Self::Destination,
            Self::Destination => Self::Source,
        }
    }

    #[inline(always)]
    pub(crate) fn of<A: Copy>(self, tuple: &FlowKey<A>) -> A {
        match self {
            Self::Source => tuple.source().0,
            Self::Destination => tuple.destination().0,
        }
    }

    /// How maps of both hooks tell them apart.
    #[inline(always)]
    pub(crate) const fn hook(self) -> u8 {
        match self {
            Self::Destination => 0,
            Self::Source => 1,
        }
    }

    /// Bytes before its address, from the first of the two.
    #[inline(always)]
    pub(crate) const fn behind<A>(self) -> usize {
        match self {
            Self::Source => 0,
            Self::Destination => size_of::<A>(),
        }
    }

    /// Source and destination port.
    #[inline(always)]
    pub(crate) fn ports<A: Copy + Eq>(self, flow: &Flow<A>) -> [Port; 2] {
        match self {
            Self::Source => [flow.put().1, flow.peer_port()],
            Self::Destination => [flow.peer_port(), flow.put().1],
        }
    }
}

/// Puts at `side` what `flow` says, and its port at the other. A failure drops the packet: half a rewrite must not go out.
///
/// Not inlined: the hooks' frames stay small, which those of the functions that open flows need.
#[inline(never)]
pub(crate) fn apply<F: Family>(
    ctx: &TcContext,
    packet: &Packet<'_, F::Address>,
    flow: &Flow<F::Address>,
    side: Side,
) -> Result<(), Drop> {
    addresses::<F>(ctx, packet, flow.put().0, side)
        .and_then(|()| ports::<F>(ctx, packet, side.ports(flow)))
        .map_err(|_| Drop(Counter::RewriteFailed))
}

#[inline(always)]
fn addresses<F: Family>(
    ctx: &TcContext,
    packet: &Packet<'_, F::Address>,
    put: F::Address,
    side: Side,
) -> Result<(), i64> {
    let old = side.of(packet.tuple);
    F::store_address(ctx, packet, put, side)?;
    let (at, rules) = (packet.transport_check(), checksum_rules::<F>(packet));
    add_to_pseudo_header(ctx, at, old.csum_diff(put), rules)
}

#[inline(always)]
fn ports<F: Family>(ctx: &TcContext, packet: &Packet<'_, F::Address>, put: [Port; 2]) -> Result<(), i64> {
    let old = [packet.tuple.source().1, packet.tuple.destination().1];
    if old == put {
        return Ok(());
    }
    ctx.skb.store(packet.l4(), &put, 0)?;
    let (at, rules) = (packet.transport_check(), checksum_rules::<F>(packet));
    add_to_checksum(ctx, at, Port::csum_diff(old, put), rules)
}

#[inline(always)]
fn checksum_rules<F: Family>(packet: &Packet<'_, F::Address>) -> Checksum {
    Checksum {
        udp: packet.tuple.protocol() == UDP,
        ipv6: F::IPV6,
    }
}

/// Puts an address into the IP header at `l3`, and `diff`, what it changes by, into the header's checksum. `flags` are those of
/// `bpf_skb_store_bytes`.
#[inline(always)]
pub(crate) fn put_address<F: Family>(
    ctx: &TcContext,
    l3: usize,
    side: Side,
    new: &F::Address,
    diff: u32,
    flags: u64,
) -> Result<(), i64> {
    if !F::IPV6 {
        ctx.skb.l3_csum_replace(l3 + 10, 0, diff.into(), 0)?;
    }
    ctx.skb
        .store(l3 + F::ADDRESSES + side.behind::<F::Address>(), new, flags)
}

/// Stores one address and the header checksum, which stands right before the two addresses.
#[inline(always)]
pub(crate) fn store_ipv4(
    ctx: &TcContext,
    packet: &Packet<'_, Addr4>,
    put: Addr4,
    side: Side,
) -> Result<(), i64> {
    let old = side.of(packet.tuple);
    let (source, destination) = match side {
        Side::Source => (put, packet.tuple.destination().0),
        Side::Destination => (packet.tuple.source().0, put),
    };
    let mut bytes = [0_u8; 10];
    bytes[..2].copy_from_slice(&csum::replace(packet.check, old.csum_diff(put)));
    bytes[2..6].copy_from_slice(source.as_bytes());
    bytes[6..].copy_from_slice(destination.as_bytes());
    ctx.skb.store(packet.l3() + 10, &bytes, 0)
}

/// Stores one address: an IPv6 header has no checksum.
#[inline(always)]
pub(crate) fn store_ipv6(
    ctx: &TcContext,
    packet: &Packet<'_, Addr6>,
    put: Addr6,
    side: Side,
) -> Result<(), i64> {
    let offset = match side {
        Side::Source => 8,
        Side::Destination => 24,
    };
    ctx.skb.store(packet.l3() + offset, &put, 0)
}
