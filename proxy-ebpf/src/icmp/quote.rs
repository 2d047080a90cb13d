//! From an ICMP error to the packet that it quotes.

use core::mem::MaybeUninit;

use aya_ebpf::programs::TcContext;
use proxy_common::{FlowKey, UDP, csum};

use crate::{
    Family, chain,
    packet::{Copied, Load},
};

/// The ICMP header of an error.
const ICMP_HEADER: usize = 8;
/// What every error quotes of the transport header at least (RFC 792).
const QUOTED: usize = 8;

/// A TCP or UDP packet that an ICMP error quotes.
pub(super) struct Quote<'a, A> {
    /// The tuple of an answer to it.
    pub(super) answer: &'a FlowKey<A>,
    /// Where the ICMP header is.
    pub(super) icmp: usize,
    /// Where the quoted IP header is.
    pub(super) l3: usize,
    /// Where the quoted transport header is.
    pub(super) l4: usize,
    /// Its checksum, if it has one and that is quoted.
    pub(super) check: Option<Check>,
    /// Whether the error was sent by whom the quoted packet was sent to, not by a router on the way.
    pub(super) is_from_endpoint: bool,
}

/// A checksum in a packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Check {
    pub(super) at: usize,
    pub(super) value: [u8; 2],
}

/// Whether the packet whose IP header is at `l3` is ICMP of the family.
#[inline(always)]
pub(super) fn is_icmp<F: Family>(packet: &(impl Load + ?Sized), l3: usize) -> bool {
    matches!(F::header(packet, l3), Ok(header) if header.protocol == protocol::<F>())
}

/// The packet that is quoted by the one whose IP header is at `l3`, if that is an ICMP error to the quoted packet's source.
/// From front to back, as all parsing here.
#[inline(always)]
pub(super) fn parse<'a, F: Family>(
    ctx: &TcContext,
    l3: usize,
    place: &'a mut MaybeUninit<FlowKey<F::Address>>,
) -> Option<Quote<'a, F::Address>> {
    let error = &chain::read::<F>(ctx, l3)?.header;
    if error.protocol != protocol::<F>() || error.fragment != 0 {
        return None;
    }
    // What is cut, or quotes less than it must, is not begun with.
    let (icmp, end) = (l3 + error.len, l3 + error.total_len);
    let packet = &Copied(ctx);
    if end > packet.total() {
        return None;
    }
    let mut ends = MaybeUninit::<[F::Address; 2]>::uninit();
    if !packet.load_to(l3 + F::ADDRESSES, &mut ends) {
        return None;
    }
    // With the code, which does not matter: a check for one byte alone tells the verifier nothing.
    let [kind, _]: [u8; 2] = packet.load(icmp)?;
    if !is_error::<F>(kind) {
        return None;
    }
    let inner = icmp + ICMP_HEADER;
    let quoted = &chain::read::<F>(ctx, inner)?.header;
    // The first fragment has ports.
    if !quoted.has_ports() || quoted.is_later_fragment() {
        return None;
    }
    let l4 = inner + quoted.len;
    let tuple = FlowKey::fill(place, quoted.protocol);
    let complete = packet.load_to(inner + F::ADDRESSES, tuple.addresses) && packet.load_to(l4, tuple.ports);
    if !complete || l4 + QUOTED > end {
        return None;
    }
    let last: [u8; 2] = packet.load(l4 + QUOTED - 2)?;
    let check = if quoted.protocol == UDP {
        udp_check(l4, last)
    } else {
        tcp_check(packet, l4, end)
    };
    // SAFETY: `fill` has set the protocol, and all loads succeeded.
    let (answer, ends) = unsafe { (place.assume_init_mut(), ends.assume_init_ref()) };
    answer.reverse();
    (ends[1] == answer.destination().0).then_some(Quote {
        answer,
        icmp,
        l3: inner,
        l4,
        check,
        is_from_endpoint: ends[0] == answer.source().0,
    })
}

/// Zero means "none" (RFC 768).
#[inline(always)]
fn udp_check(l4: usize, value: [u8; 2]) -> Option<Check> {
    (value != [0; 2]).then_some(Check { at: l4 + 6, value })
}

/// Most quote more than they must. Behind the end of the IP packet there may be padding.
#[inline(always)]
fn tcp_check(packet: &(impl Load + ?Sized), l4: usize, end: usize) -> Option<Check> {
    let at = l4 + 16;
    if at + 2 > end {
        return None;
    }
    packet.load(at).map(|value| Check { at, value })
}

/// A transport checksum after a change by `diff`. UDP writes zero as all ones.
#[inline(always)]
pub(super) const fn replace(check: [u8; 2], diff: u32, is_udp: bool) -> [u8; 2] {
    match csum::replace(check, diff) {
        [0, 0] if is_udp => [0xff; 2],
        check => check,
    }
}

/// What a checksum changes by that covers a checksum.
#[inline(always)]
pub(super) fn check_diff(old: [u8; 2], new: [u8; 2]) -> u32 {
    csum::diff([u16::from_ne_bytes(old).into()], [u16::from_ne_bytes(new).into()])
}

#[inline(always)]
const fn protocol<F: Family>() -> u8 {
    if F::IPV6 { 58 } else { 1 }
}

/// Destination unreachable (with "fragmentation needed"), time exceeded, parameter problem; ICMPv6: packet too big, too.
#[inline(always)]
const fn is_error<F: Family>(kind: u8) -> bool {
    if F::IPV6 {
        matches!(kind, 1..=4)
    } else {
        matches!(kind, 3 | 11 | 12)
    }
}
