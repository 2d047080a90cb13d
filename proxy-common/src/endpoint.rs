//! Endpoint lists. A list never changes: another set of endpoints is another list under another id, so that no reader
//! can mix two sets.

use crate::{
    addr::{Addr4, Addr6, Address, Port},
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
    /// Where packets go.
    pub struct Endpoint<A> {
        address: A,
        port: Port,
        reserved: u16,
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
    Endpoint<Addr4> = 8,
    Endpoint<Addr6> = 20,
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
    /// An endpoint.
    #[must_use]
    #[inline(always)]
    pub const fn new(address: A, port: Port) -> Self {
        Self {
            address,
            port,
            reserved: 0,
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
