//! Telling a client that nobody serves what it asks for: RST to a TCP SYN, else ICMP port unreachable.
//!
//! ```text
//! may it be answered? ─▶ at this rate? ─▶ build the answer aside ─▶ put it in the packet's place ─▶ back out of the device
//! ```

mod answer;
mod replace;

use aya_ebpf::{helpers::generated::bpf_ktime_get_ns, programs::TcContext};
use proxy_common::{Address as _, Counter};

use crate::{
    Family, count,
    maps::{ANSWERS, REJECT_RATE},
    packet::Layer,
    parse::Packet,
    verdict::Verdict,
};
pub use answer::Answer;

/// Makes the packet its own answer. What cannot be answered is dropped.
///
/// Not inlined: with a stack frame of its own it fits beside the hook's.
#[inline(never)]
pub(crate) fn packet<F: Family>(ctx: &TcContext, packet: &Packet<'_, F::Address>, layer: Layer) -> Verdict {
    const UNANSWERED: Verdict = Verdict::Drop(Counter::NoEndpoints);
    if !is_answered::<F>(ctx, packet, layer) {
        return UNANSWERED;
    }
    if !is_in_rate() {
        return Verdict::Drop(Counter::RejectRate);
    }
    let Some(place) = ANSWERS.get_ptr_mut(0) else {
        return UNANSWERED;
    };
    // SAFETY: the element is this CPU's own, and TC programs do not interrupt one another.
    let answer = unsafe { &mut *place };
    let built = answer.build::<F>(ctx, packet);
    if built
        .and_then(|len| replace::packet(ctx, answer, len, layer))
        .is_err()
    {
        return UNANSWERED;
    }
    count::add(Counter::Refused);
    Verdict::Back
}

/// RFC 1122, 3.2.2: nothing is said about what was for many, nor to what is no single host.
#[inline(always)]
fn is_answered<F: Family>(ctx: &TcContext, packet: &Packet<'_, F::Address>, layer: Layer) -> bool {
    let is_to_one_host = match layer {
        Layer::Ethernet => ctx.skb.load::<u8>(0).is_ok_and(|first| first & 1 == 0),
        Layer::Ip => true,
    };
    let (source, destination) = (packet.tuple.source().0, packet.tuple.destination().0);
    is_to_one_host && source.is_unicast() && destination.is_unicast()
}

/// Answering costs more than dropping, and who sends faster than this is not listening.
#[inline(always)]
fn is_in_rate() -> bool {
    REJECT_RATE.get_ptr_mut(0).is_some_and(|limit| {
        // SAFETY: as for the answer's place.
        unsafe { (*limit).allows(milliseconds()) }
    })
}

#[inline(always)]
fn milliseconds() -> u32 {
    // SAFETY: the helper has no preconditions.
    let nanoseconds = unsafe { bpf_ktime_get_ns() };
    #[expect(clippy::cast_possible_truncation, reason = "only differences count")]
    let milliseconds = (nanoseconds / 1_000_000) as u32;
    milliseconds
}
