//! Sockets whose destinations are translated where they are named: at `connect` and `sendmsg`.

use crate::{
    addr::{Addr4, Addr6, Address, Port},
    wire::{wire_bits, wire_struct, wire_types},
};

wire_struct! {
    /// A number that the kernel gives to a socket or a network namespace, and to no other until the node starts again.
    pub struct Cookie {
        words: [u32; 2],
    }
}

wire_struct! {
    /// An address and a port.
    pub struct End<A> {
        address: A,
        port: Port,
        reserved: u16,
    }
}

wire_struct! {
    /// Whom a connected socket has asked for, and whom it got. IPv4 addresses are mapped: an IPv6 socket can have been with either
    /// family, one after the other.
    pub struct Socket {
        asked: End<Addr6>,
        endpoint: End<Addr6>,
        service: u32,
    }
}

wire_struct! {
    /// One that an unconnected socket exchanges datagrams with: as the socket knows it, or as it really is.
    pub struct PeerKey<A> {
        socket: Cookie,
        end: End<A>,
        side: u32,
    }
}

wire_struct! {
    /// The other side of a [`PeerKey`].
    pub struct Peer<A> {
        end: End<A>,
        service: u32,
        list: u32,
    }
}

wire_struct! {
    /// Whom an unconnected socket has asked for: what has to be forgotten with it.
    pub struct Asked<A> {
        len: u32,
        ends: [End<A>; ASKED],
    }
}

/// What the agent asks for to see that its sockets are caught: nobody's (192.0.0.8, RFC 7600).
pub const CANARY4: Addr4 = Addr4::of_words([u32::from_ne_bytes([192, 0, 0, 8])]);
/// The same of IPv6: 100::8, of the prefix whose packets are discarded (RFC 6666).
pub const CANARY6: Addr6 = Addr6::of_words([
    u32::from_ne_bytes([1, 0, 0, 0]),
    0,
    0,
    u32::from_ne_bytes([0, 0, 0, 8]),
]);

/// Beyond so many the table's own limit makes room again.
pub const ASKED: usize = 8;

wire_bits! {
    /// Whose sockets are translated.
    pub struct SocketRules(u32);

    /// Nobody's.
    NONE = 0;

    /// Of the node's own processes, TCP and UDP.
    NODE = 1;

    /// Of pods, TCP.
    PODS = 1 << 1;

    /// Sockets of other network namespaces are local pods' to IPv4, as `--detect-local-mode` knows any.
    PODS4 = 1 << 2;

    /// Sockets of other network namespaces are local pods' to IPv6.
    PODS6 = 1 << 3;

    /// Nobody has said whether pods' are: it depends on whether there is a service mesh. This and what follows is for whoever looks at
    /// the map.
    AUTO = 1 << 4;

    /// Istio is there.
    ISTIO = 1 << 5;

    /// Linkerd is there.
    LINKERD = 1 << 6;

    /// Kuma is there.
    KUMA = 1 << 7;

    /// Consul is there.
    CONSUL = 1 << 8;
}

wire_types! {
    Cookie = 8,
    End<Addr4> = 8,
    End<Addr6> = 20,
    Socket = 44,
    PeerKey<Addr4> = 20,
    PeerKey<Addr6> = 32,
    Peer<Addr4> = 16,
    Peer<Addr6> = 28,
    Asked<Addr4> = 68,
    Asked<Addr6> = 164,
}

impl Cookie {
    /// None that the kernel gives.
    pub const NONE: Self = Self { words: [0; 2] };

    /// As the kernel's helpers and socket options have it.
    #[must_use]
    #[inline(always)]
    #[expect(clippy::cast_possible_truncation, reason = "each half by itself")]
    pub const fn new(cookie: u64) -> Self {
        Self {
            words: [cookie as u32, (cookie >> 32) as u32],
        }
    }

    /// The number.
    #[must_use]
    pub const fn get(self) -> u64 {
        self.words[0] as u64 | (self.words[1] as u64) << 32
    }
}

impl<A: Copy> End<A> {
    /// An address and a port.
    #[must_use]
    #[inline(always)]
    pub const fn new((address, port): (A, Port)) -> Self {
        Self {
            address,
            port,
            reserved: 0,
        }
    }

    /// Both.
    #[must_use]
    #[inline(always)]
    pub const fn get(&self) -> (A, Port) {
        (self.address, self.port)
    }
}

impl Socket {
    /// A socket that is connected to an endpoint of the Service port `service` instead of to `asked`.
    #[must_use]
    #[inline(always)]
    pub fn new<A: Address>(asked: (A, Port), endpoint: (A, Port), service: u32) -> Self {
        Self {
            asked: End::new((asked.0.to_v6(), asked.1)),
            endpoint: End::new((endpoint.0.to_v6(), endpoint.1)),
            service,
        }
    }

    /// Whom it has asked for.
    #[must_use]
    #[inline(always)]
    pub const fn asked(&self) -> (Addr6, Port) {
        self.asked.get()
    }

    /// Whom it is connected to.
    #[must_use]
    #[inline(always)]
    pub const fn endpoint(&self) -> (Addr6, Port) {
        self.endpoint.get()
    }

    /// Id of the Service port.
    #[must_use]
    pub const fn service(&self) -> u32 {
        self.service
    }
}

impl<A: Copy> PeerKey<A> {
    /// Whom the socket has asked for: its entry has the endpoint.
    #[must_use]
    #[inline(always)]
    pub const fn asked(socket: Cookie, asked: (A, Port)) -> Self {
        Self {
            socket,
            end: End::new(asked),
            side: 0,
        }
    }

    /// Who answers: its entry has whom the socket has asked for.
    #[must_use]
    #[inline(always)]
    pub const fn endpoint(socket: Cookie, endpoint: (A, Port)) -> Self {
        Self {
            socket,
            end: End::new(endpoint),
            side: 1,
        }
    }

    /// The socket.
    #[must_use]
    pub const fn socket(&self) -> Cookie {
        self.socket
    }

    /// The address and port.
    #[must_use]
    pub const fn end(&self) -> (A, Port) {
        self.end.get()
    }

    /// Whether that is the endpoint.
    #[must_use]
    pub const fn is_endpoint(&self) -> bool {
        self.side != 0
    }
}

impl<A: Copy> Peer<A> {
    /// The other side, of the Service port `service`; `list` had the endpoint.
    #[must_use]
    #[inline(always)]
    pub const fn new(end: (A, Port), service: u32, list: u32) -> Self {
        Self {
            end: End::new(end),
            service,
            list,
        }
    }

    /// The address and port.
    #[must_use]
    #[inline(always)]
    pub const fn end(&self) -> (A, Port) {
        self.end.get()
    }

    /// Id of the Service port.
    #[must_use]
    pub const fn service(&self) -> u32 {
        self.service
    }

    /// The list that had the endpoint when it was last looked at.
    #[must_use]
    #[inline(always)]
    pub const fn list(&self) -> u32 {
        self.list
    }

    /// The endpoint is in this list, too.
    #[inline(always)]
    pub const fn note_list(&mut self, list: u32) {
        self.list = list;
    }
}

impl<A: Copy> Asked<A> {
    /// For one alone.
    #[must_use]
    #[inline(always)]
    pub fn one(end: (A, Port)) -> Self {
        Self {
            len: 1,
            ends: [End::new(end); ASKED],
        }
    }

    /// One more, unless there is no room.
    #[inline(always)]
    pub fn add(&mut self, end: (A, Port)) {
        let len = self.len as usize;
        if let Some(place) = self.ends.get_mut(len) {
            *place = End::new(end);
            self.len += 1;
        }
    }

    /// That of this number.
    #[must_use]
    #[inline(always)]
    pub fn get(&self, index: usize) -> Option<(A, Port)> {
        if index >= self.len as usize {
            return None;
        }
        self.ends.get(index).map(End::get)
    }
}

#[cfg(test)]
mod tests {
    use super::{ASKED, Asked, Cookie};
    use crate::{Addr4, Address, Port};

    #[test]
    fn a_cookie_is_the_kernels_number() {
        for number in [0, 1, u64::from(u32::MAX), 1 << 32, u64::MAX] {
            assert_eq!(Cookie::new(number).get(), number);
        }
        assert!(Cookie::new(0) == Cookie::NONE);
    }

    #[test]
    fn eight_are_remembered_and_what_comes_then_is_not() {
        let end = |number| (Addr4::ANY, Port::new(number));
        let mut asked = Asked::one(end(1));
        assert!(asked.get(0) == Some(end(1)) && asked.get(1).is_none());
        for number in 2..=20 {
            asked.add(end(number));
        }
        assert!(asked.get(ASKED - 1) == Some(end(8)) && asked.get(ASKED).is_none());
    }
}
