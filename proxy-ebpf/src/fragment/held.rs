//! Fragments that came before the first one of their datagram: kept in a map, and sent once that has come.
//!
//! Only a packet can be sent, so the first fragment takes on the bytes of each that waits, is cloned to its own device and
//! direction, and gets its own bytes back. The clones meet the hook again, which now knows what to do with them.

use core::hint::black_box;

use aya_ebpf::{
    bindings::{BPF_ANY, BPF_F_INGRESS, BPF_F_RECOMPUTE_CSUM, BPF_NOEXIST},
    helpers::generated::{bpf_clone_redirect, bpf_skb_change_tail, bpf_skb_load_bytes, bpf_skb_store_bytes},
    programs::TcContext,
};
use proxy_common::{Counter, Fragment, FragmentKey, HeldKey};

use super::known;
use crate::{
    Family, clock, count,
    maps::FRAGMENT_ROOM,
    packet::{Load, done},
    rewrite::Side,
    verdict::Verdict,
};

/// The most bytes of a fragment that is kept, from the IP header on: jumbo frames have 9,000.
const MOST: u32 = 9_216;
/// The least: an IPv4 header.
const LEAST: u32 = 20;
/// Fragments of one datagram that may wait.
const SLOTS: u32 = 8;

/// Rooms in `FRAGMENT_ROOM`: a fragment that is to be kept may meet the hook while the first one's bytes are aside.
const ASIDE: u32 = 0;
const TO_KEEP: u32 = 1;

/// A packet's bytes.
#[repr(C)]
pub struct Held {
    /// Second of CLOCK_MONOTONIC in which it came.
    seen: u32,
    len: u32,
    bytes: [u8; MOST as usize],
}

impl Held {
    /// Copies the packet from its IP header on.
    #[inline(always)]
    fn take(&mut self, ctx: &TcContext, l3: usize) -> Result<(), i64> {
        #[expect(
            clippy::cast_possible_truncation,
            reason = "a header, and a packet that is longer"
        )]
        let (l3, len) = (l3 as u32, ctx.total().wrapping_sub(l3) as u32);
        let len = bounded(len)?;
        self.seen = clock::now();
        self.len = len;
        // SAFETY: there is room for `len` bytes, as the verifier sees.
        done(unsafe {
            bpf_skb_load_bytes(
                ctx.skb.skb.cast_const().cast(),
                l3,
                self.bytes.as_mut_ptr().cast(),
                len,
            )
        })
    }

    /// Makes the packet these bytes from its IP header on. A sum over the packet that the device has made is kept right.
    #[inline(always)]
    fn put(&self, ctx: &TcContext, l3: usize) -> Result<(), i64> {
        #[expect(clippy::cast_possible_truncation, reason = "an Ethernet header at most")]
        let (l3, len) = (l3 as u32, bounded(self.len)?);
        // SAFETY: the helpers check the length, and the verifier that there are as many bytes.
        unsafe {
            done(bpf_skb_change_tail(ctx.skb.skb, l3 + len, 0))?;
            let flags = u64::from(BPF_F_RECOMPUTE_CSUM);
            done(bpf_skb_store_bytes(
                ctx.skb.skb,
                l3,
                self.bytes.as_ptr().cast(),
                len,
                flags,
            ))
        }
    }

    #[inline(always)]
    fn is_expired(&self) -> bool {
        clock::now().wrapping_sub(self.seen) > Fragment::<u32>::LIFETIME
    }
}

/// A length that there is room for. Bounds that are checked as one, or on a copy, are lost on the verifier, and before Linux 6.8 so is a
/// comparison with zero.
#[inline(always)]
fn bounded(len: u32) -> Result<u32, i64> {
    let len = black_box(u64::from(len));
    if len > u64::from(MOST) {
        return Err(-1);
    }
    let len = black_box(len);
    if len < u64::from(LEAST) {
        return Err(-1);
    }
    #[expect(clippy::cast_possible_truncation, reason = "not more than `MOST`")]
    let len = len as u32;
    Ok(len)
}

/// Keeps a copy of the packet, if there is room and the first one has not come meanwhile.
#[inline(never)]
pub(super) fn keep<F: Family>(ctx: &TcContext, l3: usize, key: &FragmentKey<F::Address>) -> bool {
    let Some(room) = FRAGMENT_ROOM.get_ptr_mut(TO_KEEP) else {
        return false;
    };
    // SAFETY: the element is this CPU's own, and nothing that runs in between needs this one.
    let room = unsafe { &mut *room };
    if room.take(ctx, l3).is_err() {
        return false;
    }
    let mut place = HeldKey::new(*key, 0);
    for slot in 0..SLOTS {
        place.set_slot(slot);
        if insert::<F>(&place, room) {
            // Whoever removes it has it: the first fragment sends it, or it follows that now.
            return known::<F>(key).is_none() || !forget::<F>(&place);
        }
    }
    false
}

#[inline(always)]
fn at<F: Family>(place: &HeldKey<F::Address>) -> Option<*const Held> {
    F::held_fragments().get_ptr(place)
}

/// Whether it was there to be removed.
#[inline(always)]
fn forget<F: Family>(place: &HeldKey<F::Address>) -> bool {
    F::held_fragments().remove(place).is_ok()
}

#[inline(always)]
fn insert<F: Family>(place: &HeldKey<F::Address>, held: &Held) -> bool {
    // Looked up first: to insert in vain may cost another one its place.
    let flags = match at::<F>(place) {
        // SAFETY: the element stays allocated while the program runs.
        Some(other) if unsafe { (*other).is_expired() } => BPF_ANY,
        Some(_) => return false,
        None => BPF_NOEXIST,
    };
    F::held_fragments().insert(place, held, flags.into()).is_ok()
}

/// Sends the fragments that wait for this one, which is done with but for that.
#[inline(never)]
pub(super) fn release<F: Family>(
    ctx: &TcContext,
    l3: usize,
    key: &FragmentKey<F::Address>,
    side: Side,
    verdict: Verdict,
) -> Verdict {
    let mut place = HeldKey::new(*key, 0);
    let Some(aside) = FRAGMENT_ROOM.get_ptr_mut(ASIDE) else {
        return verdict;
    };
    // SAFETY: the element is this CPU's own, and only first fragments use this one.
    let aside = unsafe { &mut *aside };
    let mut is_aside = false;
    for slot in 0..SLOTS {
        place.set_slot(slot);
        let Some(held) = at::<F>(&place) else {
            continue;
        };
        if !is_aside && aside.take(ctx, l3).is_err() {
            return verdict;
        }
        is_aside = true;
        // SAFETY: the element stays allocated while the program runs.
        send::<F>(ctx, l3, &place, unsafe { &*held }, side);
    }
    if is_aside && aside.put(ctx, l3).is_err() {
        return Verdict::Drop(Counter::RewriteFailed);
    }
    verdict
}

/// Sends one, unless another packet has taken its place.
#[inline(always)]
fn send<F: Family>(ctx: &TcContext, l3: usize, place: &HeldKey<F::Address>, held: &Held, side: Side) {
    let is_whole = !held.is_expired() && held.put(ctx, l3).is_ok();
    // Removed after it was copied: from then on the element is anybody's.
    if !forget::<F>(place) || !is_whole {
        return;
    }
    let flags = match side {
        Side::Destination => u64::from(BPF_F_INGRESS),
        Side::Source => 0,
    };
    // SAFETY: the context is the kernel's, valid while the program runs.
    if done(unsafe { bpf_clone_redirect(ctx.skb.skb, (*ctx.skb.skb).ifindex, flags) }).is_ok() {
        count::add(Counter::FragmentsReleased);
    }
}
