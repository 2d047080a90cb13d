//! Fragments: the first one has the ports and is translated like any packet; the others follow it.
//!
//! ```text
//! first ─▶ as any packet ─▶ note what became of it in FRAGMENTS ─▶ send on those that came before it
//! later ─▶ FRAGMENTS ─ hit ─▶ put the same address, or drop it like the first
//!              │ miss
//!          FRAGMENTED: has Service traffic to this address come in fragments? ─ yes ─▶ keep it until the first comes
//!              │ no
//!             pass
//! ```
//!
//! What becomes of a first fragment that is not translated is noted only if others would be kept for it.

mod held;

use core::mem::MaybeUninit;

use aya_ebpf::{
    bindings::{BPF_ANY, BPF_F_RECOMPUTE_CSUM, BPF_NOEXIST},
    programs::TcContext,
};
use proxy_common::{Address, Counter, FlowKey, Fragment, FragmentKey, FragmentedKey};

use crate::{
    Family, bridge,
    chain::{self, Chain},
    clock, count,
    maps::CHAIN,
    mark,
    packet::{Copied, Load},
    parse::Packet,
    rewrite::{Side, put_address},
    told,
    verdict::Verdict,
};
pub use held::Held;

/// Seconds that an address must have been known for before fragments are kept for it: longer than those of a datagram that
/// was on its way at the time take to come.
const SETTLED: u32 = 2;

/// The key of the datagram, with the addresses that the packet has.
#[inline(always)]
fn key<'a, F: Family>(
    ctx: &TcContext,
    of: &Chain,
    side: Side,
    place: &'a mut MaybeUninit<FragmentKey<F::Address>>,
) -> Option<&'a FragmentKey<F::Address>> {
    let ends = FragmentKey::fill(place, of.header.id, protocol::<F>(of), side.hook());
    let (packet, at) = (Copied(ctx), of.l3 + F::ADDRESSES);
    let complete =
        packet.load_to(at, ends.source) && packet.load_to(at + size_of::<F::Address>(), ends.destination);
    // SAFETY: `fill` has set the rest, and both loads succeeded.
    complete.then(|| unsafe { place.assume_init_ref() })
}

/// IPv6: fragments of one datagram need not agree on it.
#[inline(always)]
const fn protocol<F: Family>(of: &Chain) -> u8 {
    if F::IPV6 { 0 } else { of.header.protocol }
}

/// Whether it may be a fragment of TCP or UDP: in IPv6 destination options may stand before that.
#[inline(always)]
const fn may_have_ports<F: Family>(of: &Chain) -> bool {
    of.header.has_ports() || (F::IPV6 && of.header.protocol == chain::DESTINATION_OPTIONS)
}

/// A fragment that is not the first one.
///
/// Not inlined, as everything here: with stack frames of their own they fit beside one another.
#[inline(never)]
pub(crate) fn later<F: Family>(ctx: &TcContext, of: &Chain, side: Side) -> Verdict {
    let mut place = MaybeUninit::uninit();
    let Some(key) = key::<F>(ctx, of, side, &mut place) else {
        return Verdict::Next;
    };
    match follow::<F>(ctx, of.l3, key, side) {
        Verdict::Open => {}
        verdict => return verdict,
    }
    if may_have_ports::<F>(of) && is_waited_for::<F>(key, side) {
        if held::keep::<F>(ctx, of.l3, key) {
            return Verdict::Drop(Counter::FragmentsHeld);
        }
        // The first one may have come meanwhile.
        match follow::<F>(ctx, of.l3, key, side) {
            Verdict::Open => {}
            verdict => return verdict,
        }
    }
    count::add(Counter::Fragment);
    Verdict::Next
}

/// Does to a fragment what became of the first one; `Open` if that is not known.
#[inline(never)]
fn follow<F: Family>(ctx: &TcContext, l3: usize, key: &FragmentKey<F::Address>, side: Side) -> Verdict {
    let Some(first) = known::<F>(key) else {
        return Verdict::Open;
    };
    if first.is_dropped() {
        return Verdict::Drop(Counter::FragmentOfDropped);
    }
    if first.is_marked() {
        mark::set(ctx);
    }
    if first.is_sent_up() {
        bridge::readdress(ctx);
        return Verdict::Next;
    }
    let (old, new) = (end(key, side), *first.address());
    if old == new {
        return Verdict::Next;
    }
    // No transport checksum makes up for an IPv6 address that changes.
    let flags = if F::IPV6 { BPF_F_RECOMPUTE_CSUM } else { 0 };
    match put_address::<F>(ctx, l3, side, &new, old.csum_diff(new), flags.into()) {
        Ok(()) => Verdict::Next,
        Err(_) => Verdict::Drop(Counter::RewriteFailed),
    }
}

/// What became of the datagram's first fragment, if that was not too long ago.
#[inline(always)]
fn known<F: Family>(key: &FragmentKey<F::Address>) -> Option<&'static Fragment<F::Address>> {
    // SAFETY: the element stays allocated while the program runs; only this datagram's first fragment writes it.
    let first = unsafe { F::fragments().get(key) }?;
    (!first.is_expired(clock::now())).then_some(first)
}

#[inline(always)]
const fn end<A: Copy>(key: &FragmentKey<A>, side: Side) -> A {
    match side {
        Side::Source => *key.source(),
        Side::Destination => *key.destination(),
    }
}

/// Whether an early fragment with this address is kept.
#[inline(always)]
fn is_waited_for<F: Family>(key: &FragmentKey<F::Address>, side: Side) -> bool {
    since::<F>(key, side).is_some_and(|since| clock::now().wrapping_sub(since) >= SETTLED)
}

/// The second in which Service traffic with this address was first seen to come in fragments.
#[inline(always)]
fn since<F: Family>(key: &FragmentKey<F::Address>, side: Side) -> Option<u32> {
    let address = FragmentedKey::new(end(key, side), side.hook());
    // SAFETY: a number, which is written once.
    unsafe { F::fragmented().get(address) }.copied()
}

/// A packet has got its verdict. If it is a first fragment, that is noted.
#[inline(always)]
pub(crate) fn done<F: Family>(
    ctx: &TcContext,
    packet: &Packet<'_, F::Address>,
    is_first: &FirstFragment,
    side: Side,
    verdict: Verdict,
) -> Verdict {
    if !is_first.get() {
        return verdict;
    }
    // Egress is to note what becomes of it, for the others.
    told::take(ctx);
    // SAFETY: this CPU's chain is that of the packet, which no other can have followed yet.
    match CHAIN.get_ptr(0).map(|of| unsafe { &*of }) {
        Some(of) => first::<F>(ctx, of, packet.tuple, side, verdict),
        None => verdict,
    }
}

/// Whether a packet is the first fragment of a larger one.
///
/// The verifier would check the rest of the program once more for those, were it to see what is in here: it does not follow single
/// bytes of the stack, except for zeros and at multiples of eight.
#[repr(C, align(8))]
pub(crate) struct FirstFragment([MaybeUninit<u8>; 8]);

impl FirstFragment {
    const NO: u8 = 1;
    const YES: u8 = 2;

    #[inline(always)]
    pub(crate) fn no() -> Self {
        let mut mark = Self([MaybeUninit::uninit(); 8]);
        mark.set(false);
        mark
    }

    #[inline(always)]
    pub(crate) fn set(&mut self, is_first: bool) {
        let value = if is_first { Self::YES } else { Self::NO };
        // SAFETY: a byte of our own.
        unsafe { self.0[1].as_mut_ptr().write_volatile(value) };
    }

    #[inline(always)]
    fn get(&self) -> bool {
        // SAFETY: set since the beginning.
        unsafe { self.0[1].as_ptr().read_volatile() == Self::YES }
    }
}

/// Whether fragments are kept for this address: from now on, if the datagram is Service traffic.
#[inline(never)]
fn others_are_kept<F: Family>(key: &FragmentKey<F::Address>, side: Side, is_ours: bool, now: u32) -> bool {
    if is_ours {
        let address = FragmentedKey::new(end(key, side), side.hook());
        let _ = F::fragmented().insert(address, now, BPF_NOEXIST.into());
    }
    is_ours || since::<F>(key, side).is_some()
}

#[inline(never)]
fn first<F: Family>(
    ctx: &TcContext,
    of: &Chain,
    tuple: &FlowKey<F::Address>,
    side: Side,
    verdict: Verdict,
) -> Verdict {
    let (source, destination) = (tuple.source().0, tuple.destination().0);
    let key = FragmentKey::new(
        (source, destination),
        of.header.id,
        protocol::<F>(of),
        side.hook(),
    );
    let old = end(&key, side);
    if matches!(verdict, Verdict::Drop(_) | Verdict::Back) {
        note::<F>(&key, &Fragment::dropped(old, clock::now()));
        return verdict;
    }
    let at = of.l3 + F::ADDRESSES + side.behind::<F::Address>();
    let Some(new) = Copied(ctx).load::<F::Address>(at) else {
        return verdict;
    };
    let mut first = Fragment::put(new, clock::now());
    if matches!(side, Side::Destination) && new == old && bridge::was_sent_up::<F>(ctx, tuple) {
        first = first.sent_up();
    }
    if matches!(side, Side::Destination) && new != old && mark::is_set(ctx) {
        first = first.marked();
    }
    let is_ours = new != old || first.is_sent_up();
    if !others_are_kept::<F>(&key, side, is_ours, first.seen()) {
        return verdict;
    }
    note::<F>(&key, &first);
    held::release::<F>(ctx, of.l3, &key, side, verdict)
}

/// A first fragment without ports passes, and the others shall follow it.
#[inline(never)]
pub(crate) fn without_ports<F: Family>(ctx: &TcContext, of: &Chain, side: Side) -> Verdict {
    count::add(Counter::Fragment);
    let mut place = MaybeUninit::uninit();
    let Some(key) = key::<F>(ctx, of, side, &mut place) else {
        return Verdict::Next;
    };
    if !may_have_ports::<F>(of) || since::<F>(key, side).is_none() {
        return Verdict::Next;
    }
    note::<F>(key, &Fragment::put(end(key, side), clock::now()));
    held::release::<F>(ctx, of.l3, key, side, Verdict::Next)
}

#[inline(always)]
fn note<F: Family>(key: &FragmentKey<F::Address>, first: &Fragment<F::Address>) {
    // A table that takes no more makes later fragments pass.
    let _ = F::fragments().insert(key, first, BPF_ANY.into());
}
