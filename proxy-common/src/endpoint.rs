//! Endpoint lists. A list never changes: another set of endpoints is another list under another id, so that no reader
//! can mix two sets.

use crate::{
    addr::{Addr4, Addr6, Address, Port},
    select::ALWAYS,
    wire::{wire_struct, wire_types},
};

wire_struct! {
    /// One slot of one list.
    pub struct EndpointKey {
        list: u32,
        slot: u32,
    }
}

wire_struct! {
    /// Where packets go, and how much of its slot's share: see [`crate::select::Draw`].
    pub struct Endpoint<A> {
        address: A,
        port: Port,
        reserved: u16,
        threshold: u32,
        alias: u32,
    }
}

wire_struct! {
    /// Asks whether an endpoint is in a list.
    pub struct MemberKey<A> {
        list: u32,
        address: A,
        port: Port,
        reserved: u16,
    }
}

wire_types! {
    EndpointKey = 8,
    Endpoint<Addr4> = 16,
    Endpoint<Addr6> = 28,
    MemberKey<Addr4> = 12,
    MemberKey<Addr6> = 24,
}

impl EndpointKey {
    /// Slot `slot` (from 0) of list `list`.
    #[must_use]
    #[inline(always)]
    pub const fn new(list: u32, slot: u32) -> Self {
        Self { list, slot }
    }

    /// The list's id.
    #[must_use]
    pub const fn list(&self) -> u32 {
        self.list
    }

    /// The slot, from 0.
    #[must_use]
    pub const fn slot(&self) -> u32 {
        self.slot
    }
}

impl<A: Copy> Endpoint<A> {
    /// An endpoint that keeps all of its slot's share.
    #[must_use]
    #[inline(always)]
    pub const fn new(address: A, port: Port) -> Self {
        Self {
            address,
            port,
            reserved: 0,
            threshold: ALWAYS,
            alias: 0,
        }
    }

    /// Keeps `threshold`/2³² of its slot's share, all of it if that is [`ALWAYS`], and leaves the rest to slot `alias`.
    #[must_use]
    pub const fn with_share(self, threshold: u32, alias: u32) -> Self {
        Self {
            threshold,
            alias,
            ..self
        }
    }

    /// Its address.
    #[must_use]
    #[inline(always)]
    pub const fn address(&self) -> A {
        self.address
    }

    /// Its port.
    #[must_use]
    #[inline(always)]
    pub const fn port(&self) -> Port {
        self.port
    }

    /// How much of its slot's share is its own, in 1/2³²; [`ALWAYS`] is all.
    #[must_use]
    #[inline(always)]
    pub const fn threshold(&self) -> u32 {
        self.threshold
    }

    /// The slot that gets the rest; of no meaning if there is none.
    #[must_use]
    #[inline(always)]
    pub const fn alias(&self) -> u32 {
        self.alias
    }
}

impl<A: Address> MemberKey<A> {
    /// Not above any of list `list`, in the order of keys.
    #[must_use]
    pub const fn first_of(list: u32) -> Self {
        Self::new(list, A::ANY, Port::new(0))
    }
}

impl<A: Copy> MemberKey<A> {
    /// Is `address`:`port` in list `list`?
    #[must_use]
    #[inline(always)]
    pub const fn new(list: u32, address: A, port: Port) -> Self {
        Self {
            list,
            address,
            port,
            reserved: 0,
        }
    }

    /// The list's id.
    #[must_use]
    pub const fn list(&self) -> u32 {
        self.list
    }
}
