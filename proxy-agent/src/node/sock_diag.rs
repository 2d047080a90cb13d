//! Ending sockets, by sock_diag(7). In the network namespace of the thread that asks.

use std::{collections::BTreeSet, io};

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

/// Ends the connected UDP sockets of these numbers (`SO_COOKIE`): whoever waits for one gets `ECONNABORTED`. Tells how many there were.
///
/// # Errors
/// When the kernel lists no sockets, or does not end one that is there.
pub(crate) fn end_udp(numbers: &BTreeSet<u64>) -> io::Result<usize> {
    let mut ended = 0;
    if numbers.is_empty() {
        return Ok(ended);
    }
    let netlink = Netlink::open(NETLINK_SOCK_DIAG)?;
    for family in [AF_INET, AF_INET6] {
        for id in ids(&netlink, family, numbers)? {
            match netlink.ask(SOCK_DESTROY, NLM_F_ACK, &request(family, &id), |_| {}) {
                Ok(()) => ended += 1,
                // It has been closed meanwhile.
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                Err(error) => return Err(error),
            }
        }
    }
    Ok(ended)
}

fn ids(netlink: &Netlink, family: i32, numbers: &BTreeSet<u64>) -> io::Result<Vec<[u8; ID]>> {
    let mut found = Vec::new();
    netlink.ask(
        SOCK_DIAG_BY_FAMILY,
        NLM_F_DUMP,
        &request(family, &[0; ID]),
        |answer| {
            let id = answer.get(BEFORE_ID..).and_then(<[u8]>::first_chunk::<ID>);
            found.extend(id.filter(|id| numbers.contains(&number(id))));
        },
    )?;
    Ok(found)
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
    use std::{collections::BTreeSet, net::UdpSocket, process::Command};

    use socket2::SockRef;

    use super::end_udp;
    use crate::node::netns_tests::in_own_namespace;

    fn connected() -> (UdpSocket, u64) {
        let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
        socket.connect("127.0.0.1:9").unwrap();
        let number = SockRef::from(&socket).cookie().unwrap();
        (socket, number)
    }

    #[test]
    fn one_that_is_named_is_ended_and_no_other() {
        in_own_namespace("one_that_is_named_is_ended_and_no_other", |_| {
            let up = Command::new("ip").args(["link", "set", "lo", "up"]).status();
            assert!(up.unwrap().success());
            let ((one, number), (other, _)) = (connected(), connected());
            assert_eq!(end_udp(&BTreeSet::from([number])).unwrap(), 1);
            assert!(one.peer_addr().is_err());
            assert!(other.peer_addr().is_ok());
            assert_eq!(end_udp(&BTreeSet::from([number])).unwrap(), 0);
        });
    }
}
