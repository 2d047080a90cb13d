//! TC: ingress rewrites destinations, egress rewrites sources. Between the two the stack sees client and endpoint.

use core::mem::MaybeUninit;

use aya_ebpf::programs::TcContext;
use proxy_common::{Counter, FlowFlags, FlowKey, TCP, tcp_state::State};

use crate::{
    Family, V4, V6, bridge,
    flow::{self, Request},
    fragment::{self, FirstFragment},
    hints, icmp, kept_back, mark,
    open::{self, Opened},
    packet::{Layer, is_ipv4, is_ipv6, pull},
    parse::{self, Packet, Skip},
    reject,
    rewrite::{self, Side},
    snat, told, uncommon,
    verdict::{Drop, Verdict},
};

/// A packet arrives on a device.
#[inline(always)]
pub fn ingress(ctx: &TcContext, layer: Layer) -> Verdict {
    told::take(ctx);
    if is_ipv4(ctx) {
        ingress_of::<V4>(ctx, layer)
    } else if is_ipv6(ctx) {
        ingress_of::<V6>(ctx, layer)
    } else {
        Verdict::Next
    }
}

/// A packet leaves by a device.
#[inline(always)]
pub fn egress(ctx: &TcContext, layer: Layer) -> Verdict {
    mark::clear(ctx);
    if told::take(ctx) {
        return Verdict::Next;
    }
    if is_ipv4(ctx) {
        egress_of::<V4>(ctx, layer)
    } else if is_ipv6(ctx) {
        egress_of::<V6>(ctx, layer)
    } else {
        Verdict::Next
    }
}

/// Not inlined: each family has a stack frame of its own.
#[inline(never)]
fn ingress_of<F: Family>(ctx: &TcContext, layer: Layer) -> Verdict {
    let (mut place, mut first) = (MaybeUninit::uninit(), FirstFragment::no());
    match transport_packet::<F>(ctx, layer, (&mut place, &mut first), Side::Destination) {
        Ok(packet) => {
            let verdict = arrived::<F>(ctx, &packet, layer).into();
            fragment::done::<F>(ctx, &packet, &first, Side::Destination, verdict)
        }
        Err(verdict) => verdict,
    }
}

#[inline(always)]
fn arrived<F: Family>(
    ctx: &TcContext,
    packet: &Packet<'_, F::Address>,
    layer: Layer,
) -> Result<Verdict, Drop> {
    let flow = match flow::request::<F>(packet) {
        Request::Known(flow) => Some(flow),
        Request::Unknown if packet.tuple.protocol() != TCP || packet.flags.opens() => {
            let opened = match open::flow::<F>(ctx, packet.tuple) {
                Opened::Nothing => open::beside_a_service::<F>(packet.tuple),
                opened => opened,
            };
            match opened {
                Opened::Flow => flow::find_again::<F>(Side::Destination, packet.tuple).map(|hit| &*hit.flow),
                Opened::Nothing => None,
                Opened::Refused => return Ok(reject::packet::<F>(ctx, packet, layer)),
                Opened::Dropped(why) => return Err(Drop(why)),
            }
        }
        Request::Unknown | Request::Pass => None,
    };
    if let Some(flow) = flow {
        rewrite::destination::<F>(ctx, packet, flow)?;
        if flow.has_source_binding() {
            mark::set(ctx);
        } else {
            told::keeps_its_source(ctx);
        }
    } else if bridge::is_for_another_host(ctx) {
        bridge::send_up::<F>(ctx, packet.tuple);
    }
    Ok(Verdict::Next)
}

/// Not inlined: each family has a stack frame of its own.
#[inline(never)]
fn egress_of<F: Family>(ctx: &TcContext, layer: Layer) -> Verdict {
    let (mut place, mut first) = (MaybeUninit::uninit(), FirstFragment::no());
    match transport_packet::<F>(ctx, layer, (&mut place, &mut first), Side::Source) {
        Ok(packet) => {
            let verdict = leaves::<F>(ctx, &packet).into();
            fragment::done::<F>(ctx, &packet, &first, Side::Source, verdict)
        }
        Err(verdict) => verdict,
    }
}

#[inline(always)]
fn leaves<F: Family>(ctx: &TcContext, packet: &Packet<'_, F::Address>) -> Result<Verdict, Drop> {
    let key = packet.tuple;
    if !hints::may_have::<F>(Side::Source, key) {
        return Ok(Verdict::Next);
    }
    let Some(mut hit) = flow::find_again::<F>(Side::Source, key) else {
        return unknown::<F>(packet);
    };
    if hit.flow.flags().has(FlowFlags::PENDING) {
        if hit.flow.state() == State::NEW && key.protocol() == TCP && !packet.flags.opens() {
            // The SYN left by a device before this program was there: the endpoint knows the client by its own address.
            return Ok(Verdict::Next);
        }
        snat::masquerade::<F>(ctx, key, hit.flow)?;
        // A table so small that it has evicted the entry already has no room for the flow.
        hit = flow::find_again::<F>(Side::Source, key).ok_or(Drop(Counter::NoSourcePort))?;
    } else {
        hit.note(packet.flags, |flow| flow::tell_ingress::<F>(key, flow));
    }
    rewrite::source::<F>(ctx, packet, hit.flow)?;
    Ok(Verdict::Next)
}

/// What belongs to no flow leaves, unless it is from a socket that is to hear nothing.
#[inline(always)]
fn unknown<F: Family>(packet: &Packet<'_, F::Address>) -> Result<Verdict, Drop> {
    let begins = packet.tuple.protocol() != TCP || packet.flags.opens();
    if begins && let Some(why) = kept_back::reason::<F>(packet.tuple) {
        return Err(Drop(why));
    }
    Ok(Verdict::Next)
}

/// The packet, if it is one that can be Service traffic, else what becomes of it. An ICMP error is done with here, and
/// a fragment without ports.
#[inline(always)]
fn transport_packet<'a, F: Family>(
    ctx: &TcContext,
    layer: Layer,
    (place, first): (&'a mut MaybeUninit<FlowKey<F::Address>>, &mut FirstFragment),
    side: Side,
) -> Result<Packet<'a, F::Address>, Verdict> {
    let l3 = layer.header_len() as usize;
    pull(ctx, layer.header_len() + F::HEADERS);
    let again = &raw mut *place;
    match parse::packet::<F>(ctx, l3, place) {
        Ok(packet) => Ok(packet),
        Err(Skip::Fragment | Skip::ExtensionHeader) => {
            // SAFETY: it is `place`, which nobody has borrowed when there is no packet.
            let place = unsafe { &mut *again };
            uncommon::packet::<F>(ctx, l3, place, first, side)
        }
        Err(Skip::OtherProtocol) => Err(icmp::error::<F>(ctx, l3, side)),
        Err(Skip::Truncated) => Err(Verdict::Next),
    }
}
