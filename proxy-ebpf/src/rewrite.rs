//! Puts another address and ports into a packet.
//!
//! The IP header's part is one store, checksum included; `skb->csum` covers both and stays right. The transport checksum
//! goes through the helper, because only that knows whether the device is still to complete it.

use aya_ebpf::programs::TcContext;
use proxy_common::{Addr4, Addr6, Address, Counter, Flow, FlowKey, Port, UDP, csum};

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

/// Puts what `flow` says at the packet's destination, and its port at the source. A failure drops the packet: half a rewrite must not
/// go out.
///
/// Not inlined: the hooks' frames stay small, which those of the functions that open flows need.
#[inline(never)]
pub(crate) fn destination<F: Family>(
    ctx: &TcContext,
    packet: &Packet<'_, F::Address>,
    flow: &Flow<F::Address>,
) -> Result<(), Drop> {
    apply::<F>(
        ctx,
        packet,
        &packet.tuple.with_destination(flow),
        Side::Destination,
    )
}

/// Puts what `flow` says at the packet's source, and its port at the destination.
#[inline(never)]
pub(crate) fn source<F: Family>(
    ctx: &TcContext,
    packet: &Packet<'_, F::Address>,
    flow: &Flow<F::Address>,
) -> Result<(), Drop> {
    apply::<F>(ctx, packet, &packet.tuple.with_source(flow), Side::Source)
}

#[inline(always)]
fn apply<F: Family>(
    ctx: &TcContext,
    packet: &Packet<'_, F::Address>,
    new: &FlowKey<F::Address>,
    side: Side,
) -> Result<(), Drop> {
    let diff = side.of(packet.tuple).csum_diff(side.of(new));
    headers::<F>(ctx, packet, new, side, diff)
        .and_then(|()| checksum::<F>(ctx, packet, new, diff))
        .map_err(|_| Drop(Counter::RewriteFailed))
}

/// All but the transport checksum: one store, unless options stand between addresses and ports.
#[inline(always)]
fn headers<F: Family>(
    ctx: &TcContext,
    packet: &Packet<'_, F::Address>,
    new: &FlowKey<F::Address>,
    side: Side,
    diff: u32,
) -> Result<(), i64> {
    if packet.l4() == packet.l3() + F::HEADER_LEN {
        return F::store_ends(ctx, packet, new, side, diff);
    }
    put_address::<F>(ctx, packet.l3(), side, &side.of(new), diff, 0)?;
    ctx.skb.store(packet.l4(), &ports(new), 0)
}

#[inline(always)]
fn checksum<F: Family>(
    ctx: &TcContext,
    packet: &Packet<'_, F::Address>,
    new: &FlowKey<F::Address>,
    diff: u32,
) -> Result<(), i64> {
    let (at, rules) = (packet.transport_check(), checksum_rules::<F>(packet));
    add_to_pseudo_header(ctx, at, diff, rules)?;
    let (old, new) = (ports(packet.tuple), ports(new));
    if old == new {
        return Ok(());
    }
    add_to_checksum(ctx, at, Port::csum_diff(old, new), rules)
}

#[inline(always)]
fn ports<A: Copy>(tuple: &FlowKey<A>) -> [Port; 2] {
    [tuple.source().1, tuple.destination().1]
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

/// From the time to live on: what lies between the header checksum and the ports is all new or as it was.
#[inline(always)]
pub(crate) fn store_ipv4(
    ctx: &TcContext,
    packet: &Packet<'_, Addr4>,
    new: &FlowKey<Addr4>,
    _: Side,
    diff: u32,
) -> Result<(), i64> {
    let [high, low] = csum::replace(packet.check, diff);
    let head = [packet.ttl, new.protocol(), high, low];
    let addresses = [new.source().0, new.destination().0];
    let ends = Ends {
        head,
        addresses,
        ports: ports(new),
    };
    ctx.skb.store(packet.l3() + 8, &ends, 0)
}

/// From the address that changes on: an IPv6 header has no checksum.
#[inline(always)]
pub(crate) fn store_ipv6(
    ctx: &TcContext,
    packet: &Packet<'_, Addr6>,
    new: &FlowKey<Addr6>,
    side: Side,
    _: u32,
) -> Result<(), i64> {
    let (head, ports) = ([], ports(new));
    let (source, destination) = (new.source().0, new.destination().0);
    let (at_source, at_destination) = (packet.l3() + 8, packet.l3() + 24);
    match side {
        Side::Source => {
            let addresses = [source, destination];
            ctx.skb.store(
                at_source,
                &Ends {
                    head,
                    addresses,
                    ports,
                },
                0,
            )
        }
        Side::Destination => {
            let addresses = [destination];
            ctx.skb.store(
                at_destination,
                &Ends {
                    head,
                    addresses,
                    ports,
                },
                0,
            )
        }
    }
}

/// The end of an IP header and the ports behind it, as they stand in a packet.
#[repr(C)]
struct Ends<A, const HEAD: usize, const ADDRESSES: usize> {
    head: [u8; HEAD],
    addresses: [A; ADDRESSES],
    ports: [Port; 2],
}
