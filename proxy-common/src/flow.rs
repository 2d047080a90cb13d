//! Bindings between the tuple that a hook sees and the one it puts there.
//!
//! A flow is one *destination binding* (virtual IP ↔ endpoint) and, if it is masqueraded, one *source binding*
//! (client ↔ node). Each binding is two entries, one per direction, and each entry holds all that is needed to rebuild
//! the other: an LRU may evict either.
//!
//! ```text
//! destination   INGRESS client:c → VIP:v         puts destination endpoint:e, source port p
//! binding       EGRESS  endpoint:e → client:p    puts source VIP:v, destination port c
//! source        EGRESS  client:p → endpoint:e    puts source node:n
//! binding       INGRESS endpoint:e → node:n      puts destination client:p
//! ```
//!
//! `p` is `c` unless another virtual IP already owns the tuple `endpoint:e → client:c`.

use core::mem::{self, MaybeUninit};

use crate::{
    addr::{Addr4, Addr6, Port},
    tcp_state::State,
    wire::{wire_bits, wire_struct, wire_types},
};

wire_struct! {
    /// A packet's tuple as a hook sees it.
    pub struct FlowKey<A> {
        source: A,
        destination: A,
        source_port: Port,
        destination_port: Port,
        protocol: u8,
        reserved: u8,
        reserved2: u16,
    }
}

wire_struct! {
    /// What a hook puts into packets of a tuple: the destination at ingress, the source at egress, and the other side's port.
    pub struct Flow<A> {
        address: A,
        port: Port,
        peer_port: Port,
        service: u32,
        list: u32,
        /// Seconds of CLOCK_MONOTONIC.
        last_seen: u32,
        state: State,
        flags: FlowFlags,
        reserved: u16,
    }
}

wire_types! {
    FlowKey<Addr4> = 16,
    FlowKey<Addr6> = 40,
    Flow<Addr4> = 24,
    Flow<Addr6> = 36,
}

wire_bits! {
    /// Bits of a [`Flow`].
    pub struct FlowFlags(u8);

    /// No bit: an entry for replies.
    REPLY = 0;

    /// The entry is for packets from the client.
    REQUEST = 1;

    /// A source binding still without its port: the egress hook makes it, because it knows the interface.
    PENDING = 1 << 1;

    /// The frontend is a NodePort, found under the any-address.
    NODE_PORT = 1 << 2;

    /// The flow has a source binding beside the destination binding that the entry belongs to.
    MASQUERADED = 1 << 3;

    /// The endpoint is from the frontend's local list.
    LOCAL_LIST = 1 << 4;

    /// No Service's: only a source port that tells it from a Service's flow.
    DIRECT = 1 << 5;
}

impl FlowFlags {
    #[inline(always)]
    const fn opposite(self) -> Self {
        Self {
            bits: self.bits ^ Self::REQUEST.bits,
        }
    }

    #[inline(always)]
    const fn without(self, other: Self) -> Self {
        Self {
            bits: self.bits & !other.bits,
        }
    }
}

/// The parts of a [`FlowKey`] that stand in a packet's headers, source first.
pub struct Tuple<'a, A> {
    /// Both addresses.
    pub addresses: &'a mut MaybeUninit<[A; 2]>,
    /// Both ports.
    pub ports: &'a mut MaybeUninit<[Port; 2]>,
}

impl<A: Copy> FlowKey<A> {
    /// From a source and a destination.
    #[must_use]
    #[inline(always)]
    pub const fn new(source: (A, Port), destination: (A, Port), protocol: u8) -> Self {
        Self {
            source: source.0,
            destination: destination.0,
            source_port: source.1,
            destination_port: destination.1,
            protocol,
            reserved: 0,
            reserved2: 0,
        }
    }

    /// Sets the protocol in a place that holds no key yet, and gives the rest of it to be filled from a packet's headers:
    /// once both parts are, it is a key. Zeroing it first would be a call on BPF.
    #[inline(always)]
    pub fn fill(place: &mut MaybeUninit<Self>, protocol: u8) -> Tuple<'_, A> {
        let key = place.as_mut_ptr();
        // SAFETY: the pointers are into `place`, no part of which is written to or given away twice; the fields lie in their order and
        // without gaps, as those of every wire type.
        unsafe {
            (&raw mut (*key).protocol).write(protocol);
            (&raw mut (*key).reserved).write(0);
            (&raw mut (*key).reserved2).write(0);
            Tuple {
                addresses: &mut *key.cast(),
                ports: &mut *key.byte_add(2 * size_of::<A>()).cast(),
            }
        }
    }

    /// The tuple of the answer.
    #[must_use]
    #[inline(always)]
    pub const fn reversed(&self) -> Self {
        Self::new(self.destination(), self.source(), self.protocol)
    }

    /// The key that whoever takes this key's entry over holds meanwhile. No packet has it.
    #[must_use]
    #[inline(always)]
    pub const fn claim(&self) -> Self {
        Self { reserved: 1, ..*self }
    }

    /// Becomes the tuple of the answer.
    #[inline(always)]
    pub const fn reverse(&mut self) {
        mem::swap(&mut self.source, &mut self.destination);
        mem::swap(&mut self.source_port, &mut self.destination_port);
    }

    /// Source address and port.
    #[must_use]
    #[inline(always)]
    pub const fn source(&self) -> (A, Port) {
        (self.source, self.source_port)
    }

    /// Destination address and port.
    #[must_use]
    #[inline(always)]
    pub const fn destination(&self) -> (A, Port) {
        (self.destination, self.destination_port)
    }

    /// Another port for the destination.
    #[inline(always)]
    pub const fn set_destination_port(&mut self, port: Port) {
        self.destination_port = port;
    }

    /// IP protocol number.
    #[must_use]
    #[inline(always)]
    pub const fn protocol(&self) -> u8 {
        self.protocol
    }

    /// The tuple after the ingress hook has applied `flow`.
    #[must_use]
    #[inline(always)]
    pub const fn with_destination(&self, flow: &Flow<A>) -> Self {
        Self::new(
            (self.source, flow.peer_port),
            (flow.address, flow.port),
            self.protocol,
        )
    }

    /// The tuple after the egress hook has applied `flow`.
    #[must_use]
    #[inline(always)]
    pub const fn with_source(&self, flow: &Flow<A>) -> Self {
        Self::new(
            (flow.address, flow.port),
            (self.destination, flow.peer_port),
            self.protocol,
        )
    }
}

impl<A: Copy + Eq> Flow<A> {
    /// An entry that puts `put` at the hook's side and `peer_port` at the other; new, seen at `now`.
    #[must_use]
    #[inline(always)]
    pub const fn new(put: (A, Port), peer_port: Port, flags: FlowFlags, now: u32) -> Self {
        Self {
            address: put.0,
            port: put.1,
            peer_port,
            service: 0,
            list: 0,
            last_seen: now,
            state: State::NEW,
            flags,
            reserved: 0,
        }
    }

    /// Of a Service port, picked from list `list`.
    #[must_use]
    #[inline(always)]
    pub const fn of(self, service: u32, list: u32) -> Self {
        Self {
            service,
            list,
            ..self
        }
    }

    /// Another port for the other side.
    #[inline(always)]
    pub const fn set_peer_port(&mut self, peer_port: Port) {
        self.peer_port = peer_port;
    }

    /// A pending source binding that has got its address and port.
    #[must_use]
    #[inline(always)]
    pub const fn bound_to(self, put: (A, Port)) -> Self {
        Self {
            address: put.0,
            port: put.1,
            flags: self.flags.without(FlowFlags::PENDING),
            ..self
        }
    }

    /// The same binding's entry at egress, if this is the one of `key` at ingress.
    #[must_use]
    #[inline(always)]
    pub const fn egress_twin(&self, key: &FlowKey<A>) -> (FlowKey<A>, Self) {
        (
            key.with_destination(self).reversed(),
            self.putting(key.destination(), key.source_port),
        )
    }

    /// The same binding's entry at ingress, if this is the one of `key` at egress.
    #[must_use]
    #[inline(always)]
    pub const fn ingress_twin(&self, key: &FlowKey<A>) -> (FlowKey<A>, Self) {
        (
            key.with_source(self).reversed(),
            self.putting(key.source(), key.destination_port),
        )
    }

    #[inline(always)]
    const fn putting(&self, put: (A, Port), peer_port: Port) -> Self {
        Self {
            address: put.0,
            port: put.1,
            peer_port,
            flags: self.flags.opposite(),
            ..*self
        }
    }

    /// Whether both entries put the same: then they belong to one binding.
    #[must_use]
    #[inline(always)]
    pub fn puts_the_same_as(&self, other: &Self) -> bool {
        self.address == other.address && self.port == other.port && self.peer_port == other.peer_port
    }

    /// Becomes `other` in its place, if both put the same; whether they do. What they put is never half of one and half of the other.
    #[inline(always)]
    pub fn begin_again_as(&mut self, other: &Self) -> bool {
        if !self.puts_the_same_as(other) {
            return false;
        }
        self.service = other.service;
        self.list = other.list;
        self.last_seen = other.last_seen;
        self.state = other.state;
        self.flags = other.flags;
        true
    }

    /// Whether it has been idle for longer than its state allows.
    #[must_use]
    #[inline(always)]
    pub const fn is_expired(&self, protocol: u8, now: u32) -> bool {
        // Of most packets there was another one this second, for which no state has to be looked at.
        now != self.last_seen && self.idle_at(now) > self.state.timeout(protocol)
    }

    /// Seconds since the last packet: none if another CPU has noted one later than `now`. Before Linux 6.15 the clock of the last tick could
    /// go back by a moment.
    #[inline(always)]
    const fn idle_at(&self, now: u32) -> u32 {
        let idle = now.wrapping_sub(self.last_seen);
        if idle > u32::MAX / 2 { 0 } else { idle }
    }

    /// Whether it may have expired before a packet that is at ingress now gets to egress.
    #[must_use]
    #[inline(always)]
    pub const fn is_about_to_expire(&self, protocol: u8, now: u32) -> bool {
        self.is_expired(protocol, now.wrapping_add(2))
    }

    /// Address and port that the hook puts.
    #[must_use]
    #[inline(always)]
    pub const fn put(&self) -> (A, Port) {
        (self.address, self.port)
    }

    /// The port that the hook puts at the other side.
    #[must_use]
    #[inline(always)]
    pub const fn peer_port(&self) -> Port {
        self.peer_port
    }

    /// Id of the Service port.
    #[must_use]
    #[inline(always)]
    pub const fn service(&self) -> u32 {
        self.service
    }

    /// Id of the list that the endpoint was last seen in.
    #[must_use]
    #[inline(always)]
    pub const fn list(&self) -> u32 {
        self.list
    }

    /// Seconds of CLOCK_MONOTONIC.
    #[must_use]
    #[inline(always)]
    pub const fn last_seen(&self) -> u32 {
        self.last_seen
    }

    /// What the flow has been through.
    #[must_use]
    #[inline(always)]
    pub const fn state(&self) -> State {
        self.state
    }

    /// Its bits.
    #[must_use]
    #[inline(always)]
    pub const fn flags(&self) -> FlowFlags {
        self.flags
    }

    /// Whether the flow of this entry at ingress has a source binding: it is masqueraded, as all flows are whose replies have an entry
    /// there.
    #[must_use]
    #[inline(always)]
    pub const fn has_source_binding(&self) -> bool {
        !self.flags.has(FlowFlags::REQUEST) || self.flags.has(FlowFlags::MASQUERADED)
    }

    /// Notes a packet at `now` that left the flow in `state`.
    #[inline(always)]
    pub const fn note(&mut self, state: State, now: u32) {
        self.state = state;
        self.last_seen = now;
    }

    /// Notes that the endpoint is in `list`.
    #[inline(always)]
    pub const fn note_list(&mut self, list: u32) {
        self.list = list;
    }
}

#[cfg(test)]
mod tests {
    use super::{Flow, FlowFlags, FlowKey};
    use crate::{
        Addr4, Address, Port, TCP,
        tcp_state::{Direction, State, TcpFlags},
    };
    use core::net::{IpAddr, Ipv4Addr};
    use proptest::prelude::*;

    fn at(last: u8, port: u16) -> (Addr4, Port) {
        (
            Addr4::from_ip(IpAddr::V4(Ipv4Addr::new(10, 0, 0, last))).expect("IPv4"),
            Port::new(port),
        )
    }

    const NOW: u32 = 1_000;

    #[test]
    fn the_reply_of_a_translated_request_finds_its_way_back() {
        let request = FlowKey::new(at(1, 40_000), at(96, 80), TCP);
        let flow = Flow::new(at(7, 8_080), Port::new(40_001), FlowFlags::REQUEST, NOW);
        let reply = request.with_destination(&flow).reversed();
        let (key, twin) = flow.egress_twin(&request);
        assert!(key == reply);
        assert!(reply.with_source(&twin) == request.reversed());
    }

    #[test]
    fn a_flow_that_was_seen_a_moment_later_has_not_expired() {
        let flow = Flow::new(at(7, 80), Port::new(1), FlowFlags::REQUEST, NOW);
        assert!(!flow.is_expired(TCP, NOW - 1));
        let first = Flow::new(at(7, 80), Port::new(1), FlowFlags::REQUEST, u32::MAX);
        assert!(!first.is_expired(TCP, 1) && first.is_expired(TCP, 200));
    }

    #[test]
    fn a_flow_expires_one_second_after_its_timeout() {
        let flow = Flow::new(at(7, 80), Port::new(1), FlowFlags::REQUEST, NOW);
        assert!(!flow.is_expired(TCP, NOW + 120));
        assert!(flow.is_expired(TCP, NOW + 121));
    }

    #[test]
    fn an_entry_begins_again_only_as_one_that_puts_the_same() {
        let closed = Flow::new(at(7, 80), Port::new(1), FlowFlags::REQUEST, NOW).of(3, 4);
        let flags = FlowFlags::REQUEST.with(FlowFlags::MASQUERADED);
        let opened = Flow::new(at(7, 80), Port::new(1), flags, NOW + 9).of(5, 6);
        let mut entry = closed;
        entry.note(State::NEW.after(TcpFlags(0x14), Direction::Reply), NOW + 8);
        assert!(entry.begin_again_as(&opened) && entry == opened);
        for (put, peer_port) in [(at(8, 80), 1), (at(7, 81), 1), (at(7, 80), 2)] {
            let other = Flow::new(put, Port::new(peer_port), flags, NOW + 9).of(5, 6);
            let mut entry = closed;
            assert!(!entry.begin_again_as(&other) && entry == closed);
        }
    }

    proptest! {
        #[test]
        fn each_entry_of_a_binding_rebuilds_the_other(
            ports in proptest::array::uniform4(any::<u16>()), put in any::<u8>(),
        ) {
            let key = FlowKey::new(at(1, ports[0]), at(2, ports[1]), TCP);
            let flow = Flow::new(at(put, ports[2]), Port::new(ports[3]), FlowFlags::REQUEST, NOW).of(3, 4);
            let (twin_key, twin) = flow.egress_twin(&key);
            prop_assert!(twin.ingress_twin(&twin_key) == (key, flow));
            let (twin_key, twin) = flow.ingress_twin(&key);
            prop_assert!(twin.egress_twin(&twin_key) == (key, flow));
        }
    }
}
