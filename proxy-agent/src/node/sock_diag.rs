//! UDP sockets as the kernel lists and ends them, by sock_diag(7). In the network namespace of the thread that asks.

use std::{
    io,
    net::{IpAddr, Ipv6Addr, SocketAddr},
};

use nix::libc::{AF_INET, AF_INET6, IPPROTO_UDP};
use rtnetlink::{
    packet_core::{NLM_F_ACK, NLM_F_DUMP},
    sys::constants::NETLINK_SOCK_DIAG,
};

use crate::netlink::Netlink;

const SOCK_DIAG_BY_FAMILY: u16 = 20;
/// Linux 4.5, with `CONFIG_INET_DIAG_DESTROY`.
const SOCK_DESTROY: u16 = 21;
/// The state of UDP sockets that are connected, `TCP_ESTABLISHED`, as a bit.
const CONNECTED: u32 = 1 << 1;
/// `struct inet_diag_sockid`: ports, addresses, device, number.
const ID: usize = 48;
/// What stands before it in an answer.
const BEFORE_ID: usize = 4;

/// A connected UDP socket.
#[derive(Clone, Debug)]
pub(crate) struct UdpSocket {
    /// `SO_COOKIE`.
    pub(crate) number: u64,
    /// IPv4-mapped addresses are IPv4 ones here.
    pub(crate) source: SocketAddr,
    /// Likewise.
    pub(crate) peer: SocketAddr,
    family: i32,
    id: [u8; ID],
}

/// Lists and ends them.
pub(crate) struct SockDiag(Netlink);

impl SockDiag {
    pub(crate) fn open() -> io::Result<Self> {
        Netlink::open(NETLINK_SOCK_DIAG).map(Self)
    }

    /// Those of both families.
    pub(crate) fn connected_udp(&self) -> io::Result<Vec<UdpSocket>> {
        let mut found = Vec::new();
        for family in [AF_INET, AF_INET6] {
            let all = request(family, &[0; ID]);
            self.0.ask(SOCK_DIAG_BY_FAMILY, NLM_F_DUMP, &all, |answer| {
                let id = answer.get(BEFORE_ID..).and_then(<[u8]>::first_chunk::<ID>);
                found.extend(id.map(|id| UdpSocket::new(family, *id)));
            })?;
        }
        Ok(found)
    }

    /// Whoever waits for it gets `ECONNABORTED`. Tells whether it was there.
    ///
    /// # Errors
    /// When the kernel does not end one that is there.
    pub(crate) fn end(&self, socket: &UdpSocket) -> io::Result<bool> {
        let one = request(socket.family, &socket.id);
        match self.0.ask(SOCK_DESTROY, NLM_F_ACK, &one, |_| {}) {
            Ok(()) => Ok(true),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
            Err(error) => Err(error),
        }
    }
}

impl UdpSocket {
    fn new(family: i32, id: [u8; ID]) -> Self {
        let part = |from: usize| id[from..].first_chunk().copied().unwrap_or_default();
        let port = |from: usize| u16::from_be_bytes([id[from], id[from + 1]]);
        let end = |address: usize, at: usize| SocketAddr::new(ip(family, part(address)), port(at));
        Self {
            number: number(&id),
            source: end(4, 0),
            peer: end(20, 2),
            family,
            id,
        }
    }
}

fn ip(family: i32, bytes: [u8; 16]) -> IpAddr {
    let [a, b, c, d, ..] = bytes;
    match family {
        AF_INET => [a, b, c, d].into(),
        _ => Ipv6Addr::from(bytes).to_canonical(),
    }
}

/// `struct inet_diag_req_v2`.
fn request(family: i32, id: &[u8; ID]) -> Vec<u8> {
    let byte = |number: i32| u8::try_from(number).unwrap_or_default();
    let head = [byte(family), byte(IPPROTO_UDP), 0, 0];
    [&head[..], &CONNECTED.to_ne_bytes(), id].concat()
}

/// The low half comes first, on every machine.
fn number(id: &[u8; ID]) -> u64 {
    let [.., a, b, c, d, e, f, g, h] = *id;
    let half = |bytes| u64::from(u32::from_ne_bytes(bytes));
    half([a, b, c, d]) | half([e, f, g, h]) << 32
}

#[cfg(test)]
mod tests {
    use std::{net::UdpSocket, process::Command};

    use socket2::SockRef;

    use super::SockDiag;
    use crate::node::netns_tests::in_own_namespace;

    fn connected(source: &str, peer: &str) -> UdpSocket {
        let socket = UdpSocket::bind(source).unwrap();
        socket.connect(peer).unwrap();
        socket
    }

    #[test]
    fn connected_sockets_are_listed_by_number_and_ends_and_the_one_that_is_named_is_ended() {
        in_own_namespace("connected_sockets_are_listed", |_| {
            let up = Command::new("ip").args(["link", "set", "lo", "up"]).status();
            assert!(up.unwrap().success());
            for (source, peer, shown) in [
                ("127.0.0.1:0", "127.0.0.1:9", "127.0.0.1:9"),
                ("[::1]:0", "[::1]:9", "[::1]:9"),
                ("[::]:0", "[::ffff:127.0.0.1]:9", "127.0.0.1:9"),
            ] {
                let [one, other] = [connected(source, peer), connected(source, peer)];
                let _unconnected = UdpSocket::bind(source).unwrap();
                let diag = SockDiag::open().unwrap();
                let found = diag.connected_udp().unwrap();
                assert_eq!(found.len(), 2, "{found:?}");
                let number = SockRef::from(&one).cookie().unwrap();
                let known = found.iter().find(|socket| socket.number == number).unwrap();
                assert_eq!(known.peer, shown.parse().unwrap());
                assert_eq!(known.source.port(), one.local_addr().unwrap().port());
                assert_eq!(known.source.ip(), known.peer.ip());

                assert!(diag.end(known).unwrap());
                assert!(one.peer_addr().is_err());
                assert!(other.peer_addr().is_ok());
                assert!(!diag.end(known).unwrap());
            }
        });
    }
}
