//! Who a client is, and what is remembered of it.

use crate::{
    addr::{Addr4, Addr6, Address, Port},
    wire::{wire_struct, wire_types},
};

wire_struct! {
    /// A range of addresses: those that are `address` where `mask` has a bit.
    pub struct Network<A> {
        address: A,
        mask: A,
    }
}

wire_struct! {
    /// Asks whether a client may reach a Service port with `loadBalancerSourceRanges`. In the map it stands behind the number of its
    /// bits that count.
    pub struct SourceRange<A> {
        /// Big-endian, as prefixes are compared from their first byte on.
        service: [u8; 4],
        client: A,
    }
}

wire_struct! {
    /// A client of a Service port with session affinity.
    pub struct AffinityKey<A> {
        service: u32,
        client: A,
    }
}

wire_struct! {
    /// Where a client's last new connection went.
    pub struct Affinity<A> {
        address: A,
        port: Port,
        reserved: u16,
        /// Seconds of CLOCK_MONOTONIC.
        last_used: u32,
    }
}

wire_types! {
    Network<Addr4> = 8,
    Network<Addr6> = 32,
    SourceRange<Addr4> = 8,
    SourceRange<Addr6> = 20,
    AffinityKey<Addr4> = 8,
    AffinityKey<Addr6> = 20,
    Affinity<Addr4> = 12,
    Affinity<Addr6> = 24,
}

impl<A: Address> Network<A> {
    /// The range that `address` is in, of those whose first bits `mask` has.
    #[must_use]
    pub const fn new(address: A, mask: A) -> Self {
        Self { address, mask }
    }

    /// Whether `address` is in it.
    #[must_use]
    #[inline(always)]
    pub fn contains(&self, address: A) -> bool {
        address.is_equal_under(self.mask, self.address)
    }
}

impl<A: Copy> SourceRange<A> {
    /// Bits before those of the client's address.
    pub const SERVICE_BITS: u32 = 32;

    /// May `client` reach `service`?
    #[must_use]
    #[inline(always)]
    pub const fn new(service: u32, client: A) -> Self {
        Self {
            service: service.to_be_bytes(),
            client,
        }
    }

    /// Id of the Service port.
    #[must_use]
    pub const fn service(&self) -> u32 {
        u32::from_be_bytes(self.service)
    }

    /// The client's address, or the first of a range.
    #[must_use]
    pub const fn client(&self) -> A {
        self.client
    }
}

impl<A: Copy> AffinityKey<A> {
    /// `client` at the Service port of this id.
    #[must_use]
    #[inline(always)]
    pub const fn new(service: u32, client: A) -> Self {
        Self { service, client }
    }
}

impl<A: Copy> Affinity<A> {
    /// To an endpoint, at second `now`.
    #[must_use]
    #[inline(always)]
    pub const fn new(endpoint: (A, Port), now: u32) -> Self {
        Self {
            address: endpoint.0,
            port: endpoint.1,
            reserved: 0,
            last_used: now,
        }
    }

    /// The endpoint.
    #[must_use]
    #[inline(always)]
    pub const fn endpoint(&self) -> (A, Port) {
        (self.address, self.port)
    }

    /// When the client's last new connection was opened, in seconds of CLOCK_MONOTONIC.
    #[must_use]
    pub const fn last_used(&self) -> u32 {
        self.last_used
    }

    /// Whether the client's last new connection was at most `timeout` seconds before `now`.
    #[must_use]
    #[inline(always)]
    pub const fn is_fresh(&self, timeout: u32, now: u32) -> bool {
        now.wrapping_sub(self.last_used) <= timeout
    }
}
