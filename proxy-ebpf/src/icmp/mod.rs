//! ICMP errors about Service traffic: what they quote is translated like an answer to the quoted packet.
//!
//! An error goes where an answer would go, so the entry for answers says what to do, and is found by the quoted tuple
//! reversed. At ingress it puts the destination of answers: the error's destination and the quoted source. At egress it puts
//! the source of answers: the quoted destination, and the error's source if the endpoint itself has sent it; a router on
//! the way keeps its address. The flow is only read: an error is no sign of life.

mod quote;

use core::mem::MaybeUninit;

use aya_ebpf::programs::TcContext;
use proxy_common::{Address, Counter, Flow, FlowFlags, Port, UDP, csum};

use crate::{
    Family, count, flow,
    rewrite::{Side, put_address},
    verdict::Verdict,
};
use quote::Quote;

/// Translates the packet, if it is an ICMP error about a flow. A failure drops it: half a rewrite must not go out.
#[inline(always)]
pub(crate) fn error<F: Family>(ctx: &TcContext, l3: usize, side: Side) -> Verdict {
    if quote::is_icmp::<F>(ctx, l3) {
        quoting::<F>(ctx, l3, side)
    } else {
        Verdict::Next
    }
}

/// The same for a packet with extension headers, of whatever protocol.
///
/// Not inlined: with a stack frame of its own it fits beside the hook's.
#[inline(never)]
pub(crate) fn quoting<F: Family>(ctx: &TcContext, l3: usize, side: Side) -> Verdict {
    let mut place = MaybeUninit::uninit();
    let Some(quote) = quote::parse::<F>(ctx, l3, &mut place) else {
        return Verdict::Next;
    };
    match flow::find_again::<F>(side, quote.answer) {
        Some(hit) if !hit.flow.flags().has(FlowFlags::PENDING) => {
            if translate::<F>(ctx, l3, &quote, hit.flow, side).is_err() {
                return Verdict::Drop(Counter::RewriteFailed);
            }
            count::add(Counter::IcmpErrorsTranslated);
            Verdict::Next
        }
        _ => Verdict::Next,
    }
}

/// All stores leave `skb->csum` alone: within the IPv4 header, and within what the ICMP checksum covers, they add up to zero.
/// The ICMP checksum covers the IPv6 addresses, too.
#[inline(always)]
fn translate<F: Family>(
    ctx: &TcContext,
    l3: usize,
    quote: &Quote<'_, F::Address>,
    flow: &Flow<F::Address>,
    side: Side,
) -> Result<(), i64> {
    let (old, new) = (side.of(quote.answer), flow.put().0);
    let address = old.csum_diff(new);
    put_address::<F>(ctx, quote.l3, side.opposite(), &new, address, 0)?;
    let mut diff = transport::<F>(ctx, quote, side.ports(flow), address)?;
    if F::IPV6 {
        diff = csum::both(diff, address);
    }
    if quote.is_from_endpoint || matches!(side, Side::Destination) {
        put_address::<F>(ctx, l3, side, &new, address, 0)?;
        if F::IPV6 {
            diff = csum::both(diff, address);
        }
    }
    ctx.skb.l4_csum_replace(quote.icmp + 2, 0, diff.into(), 0)
}

/// Puts ports and checksum into the quoted transport header. Gives what both have changed by.
#[inline(always)]
fn transport<F: Family>(
    ctx: &TcContext,
    quote: &Quote<'_, F::Address>,
    [answer_source, answer_destination]: [Port; 2],
    address: u32,
) -> Result<u32, i64> {
    let old = [quote.answer.destination().1, quote.answer.source().1];
    let new = [answer_destination, answer_source];
    let ports = Port::csum_diff(old, new);
    ctx.skb.store(quote.l4, &new, 0)?;
    let Some(check) = quote.check else {
        return Ok(ports);
    };
    let put = quote::replace(
        check.value,
        csum::both(address, ports),
        quote.answer.protocol() == UDP,
    );
    ctx.skb.store(check.at, &put, 0)?;
    Ok(csum::both(ports, quote::check_diff(check.value, put)))
}
