//! What is remembered of a datagram that comes in fragments: only the first one has ports.

use core::mem::MaybeUninit;

use crate::{
    addr::{Addr4, Addr6},
    wire::{wire_struct, wire_types},
};

wire_struct! {
    /// The fragments of one datagram, as a hook sees them (RFC 791, RFC 8200).
    pub struct FragmentKey<A> {
        source: A,
        destination: A,
        id: [u8; 4],
        /// Zero in IPv6, whose fragments need not agree on it.
        protocol: u8,
        /// 0 at ingress, 1 at egress.
        hook: u8,
        reserved: u16,
    }
}

wire_struct! {
    /// What has become of a datagram's first fragment.
    pub struct Fragment<A> {
        /// The address that the hook has put, or found.
        address: A,
        /// Seconds of CLOCK_MONOTONIC.
        seen: u32,
        /// Bits. 1: it is gone. 2: it was addressed to the bridge whose port the device is. 4: it was marked.
        fate: u32,
    }
}

wire_struct! {
    /// Room for a fragment that came before its datagram's first one.
    pub struct HeldKey<A> {
        of: FragmentKey<A>,
        slot: u32,
    }
}

wire_struct! {
    /// An address that fragments of Service traffic have had, at a hook.
    pub struct FragmentedKey<A> {
        address: A,
        /// 0 for destinations at ingress, 1 for sources at egress.
        hook: u32,
    }
}

wire_types! {
    FragmentKey<Addr4> = 16,
    FragmentKey<Addr6> = 40,
    Fragment<Addr4> = 12,
    Fragment<Addr6> = 24,
    HeldKey<Addr4> = 20,
    HeldKey<Addr6> = 44,
    FragmentedKey<Addr4> = 8,
    FragmentedKey<Addr6> = 20,
}

/// Source and destination of a [`FragmentKey`], to be filled from a packet's header.
pub struct Ends<'a, A> {
    /// Source address.
    pub source: &'a mut MaybeUninit<A>,
    /// Destination address.
    pub destination: &'a mut MaybeUninit<A>,
}

impl<A: Copy> FragmentKey<A> {
    /// From source and destination.
    #[must_use]
    #[inline(always)]
    pub const fn new((source, destination): (A, A), id: [u8; 4], protocol: u8, hook: u8) -> Self {
        Self {
            source,
            destination,
            id,
            protocol,
            hook,
            reserved: 0,
        }
    }

    /// Sets everything but the addresses in a place that holds no key yet: once both are filled, it is one. Zeroing it first would
    /// be a call on BPF.
    #[inline(always)]
    pub fn fill(place: &mut MaybeUninit<Self>, id: [u8; 4], protocol: u8, hook: u8) -> Ends<'_, A> {
        let key = place.as_mut_ptr();
        // SAFETY: the pointers are to fields of `place`, each of which is only written to or given away once.
        unsafe {
            (&raw mut (*key).id).write(id);
            (&raw mut (*key).protocol).write(protocol);
            (&raw mut (*key).hook).write(hook);
            (&raw mut (*key).reserved).write(0);
            Ends {
                source: &mut *(&raw mut (*key).source).cast(),
                destination: &mut *(&raw mut (*key).destination).cast(),
            }
        }
    }

    /// Source address.
    #[must_use]
    #[inline(always)]
    pub const fn source(&self) -> &A {
        &self.source
    }

    /// Destination address.
    #[must_use]
    #[inline(always)]
    pub const fn destination(&self) -> &A {
        &self.destination
    }
}

impl<A: Copy> Fragment<A> {
    /// Seconds after which an id may be that of another datagram: the kernel waits as long for a datagram's last fragment.
    pub const LIFETIME: u32 = 30;

    /// The first fragment went on at `now` with `address` at the hook's side.
    #[must_use]
    #[inline(always)]
    pub const fn put(address: A, now: u32) -> Self {
        Self {
            address,
            seen: now,
            fate: 0,
        }
    }

    /// The first fragment, with `address` at the hook's side, was dropped at `now`.
    #[must_use]
    #[inline(always)]
    pub const fn dropped(address: A, now: u32) -> Self {
        Self {
            address,
            seen: now,
            fate: 1,
        }
    }

    /// Whether it is about a datagram of long ago.
    #[must_use]
    #[inline(always)]
    pub const fn is_expired(&self, now: u32) -> bool {
        now.wrapping_sub(self.seen) > Self::LIFETIME
    }

    /// Whether later fragments are to go, too.
    #[must_use]
    #[inline(always)]
    pub const fn is_dropped(&self) -> bool {
        self.fate & 1 != 0
    }

    /// The first fragment was addressed to the bridge whose port it came to.
    #[must_use]
    #[inline(always)]
    pub const fn sent_up(self) -> Self {
        Self {
            fate: self.fate | 2,
            ..self
        }
    }

    /// Whether later fragments are to be, too.
    #[must_use]
    #[inline(always)]
    pub const fn is_sent_up(&self) -> bool {
        self.fate & 2 != 0
    }

    /// The first fragment was marked as one of a masqueraded flow.
    #[must_use]
    #[inline(always)]
    pub const fn marked(self) -> Self {
        Self {
            fate: self.fate | 4,
            ..self
        }
    }

    /// Whether later fragments are to be, too.
    #[must_use]
    #[inline(always)]
    pub const fn is_marked(&self) -> bool {
        self.fate & 4 != 0
    }

    /// The address that later fragments get.
    #[must_use]
    #[inline(always)]
    pub const fn address(&self) -> &A {
        &self.address
    }

    /// When the first fragment was seen, in seconds of CLOCK_MONOTONIC.
    #[must_use]
    #[inline(always)]
    pub const fn seen(&self) -> u32 {
        self.seen
    }
}

impl<A: Copy> HeldKey<A> {
    /// A place for a fragment of the datagram.
    #[must_use]
    #[inline(always)]
    pub const fn new(of: FragmentKey<A>, slot: u32) -> Self {
        Self { of, slot }
    }

    /// Another place.
    #[inline(always)]
    pub const fn set_slot(&mut self, slot: u32) {
        self.slot = slot;
    }
}

impl<A: Copy> FragmentedKey<A> {
    /// `hook` as in [`FragmentKey::fill`].
    #[must_use]
    #[inline(always)]
    pub const fn new(address: A, hook: u8) -> Self {
        Self {
            address,
            hook: hook as u32,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::Fragment;
    use crate::{Addr4, Address};

    #[test]
    fn an_id_means_another_datagram_after_the_time_of_reassembly() {
        for fragment in [Fragment::put(Addr4::ANY, 100), Fragment::dropped(Addr4::ANY, 100)] {
            assert!(!fragment.is_expired(130));
            assert!(fragment.is_expired(131));
        }
    }
}
