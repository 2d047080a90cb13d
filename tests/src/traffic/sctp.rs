//! SCTP without a kernel that has its sockets: single packets, as a client's first one is (RFC 9260, 3.3.2).

use std::{
    io::{self, Read as _},
    net::{IpAddr, SocketAddr},
};

use socket2::{Domain, Protocol, Socket, Type};

use super::PATIENCE;
use crate::netns::NetNs;

/// `IPPROTO_SCTP`.
const SCTP: i32 = 132;
/// A chunk INIT of 20 bytes: initiate tag, window, one stream each way, sequence number.
const INIT: [u8; 20] = [1, 0, 0, 20, 0, 0, 0, 7, 0, 1, 0, 0, 0, 1, 0, 1, 0, 0, 0, 1];

/// Sees the SCTP packets that reach a machine.
#[derive(Debug)]
pub struct SctpListener {
    socket: Socket,
    header: usize,
}

/// The ports of a packet, and who has sent it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Seen {
    /// Address and port of the sender.
    pub source: SocketAddr,
    /// The port that it is for.
    pub port: u16,
}

/// Sends INIT from `port` to `target`.
///
/// # Errors
///
/// No route.
pub fn send_init(ns: &NetNs, port: u16, target: SocketAddr) -> io::Result<()> {
    let socket = ns.run(|| Socket::new(domain(target.ip()), raw(), Some(Protocol::from(SCTP))))?;
    let mut packet = [
        &port.to_be_bytes()[..],
        &target.port().to_be_bytes(),
        &[0; 8],
        &INIT,
    ]
    .concat();
    let checksum = crc32c(&packet).to_le_bytes();
    packet[8..12].copy_from_slice(&checksum);
    socket
        .send_to(&packet, &SocketAddr::new(target.ip(), 0).into())
        .map(drop)
}

impl SctpListener {
    /// Of packets to `address`.
    ///
    /// # Errors
    ///
    /// The address is not there.
    pub fn on(ns: &NetNs, address: IpAddr) -> io::Result<Self> {
        let socket = ns.run(|| Socket::new(domain(address), raw(), Some(Protocol::from(SCTP))))?;
        socket.bind(&SocketAddr::new(address, 0).into())?;
        socket.set_read_timeout(Some(PATIENCE))?;
        // Raw sockets of IPv4 give the IP header, too, those of IPv6 do not.
        let header = if address.is_ipv4() { 20 } else { 0 };
        Ok(Self { socket, header })
    }

    /// The next packet.
    ///
    /// # Errors
    ///
    /// None comes in time.
    pub fn next(&self) -> io::Result<Seen> {
        let mut packet = [0; 256];
        let (socket, mut reader) = (&self.socket, &self.socket);
        let peer = socket
            .peek_sender()?
            .as_socket()
            .ok_or(io::ErrorKind::InvalidData)?;
        let length = reader.read(&mut packet)?;
        let ports = packet
            .get(self.header..length)
            .and_then(|sctp| sctp.first_chunk::<4>());
        let [a, b, c, d] = *ports.ok_or(io::ErrorKind::InvalidData)?;
        Ok(Seen {
            source: SocketAddr::new(peer.ip(), u16::from_be_bytes([a, b])),
            port: u16::from_be_bytes([c, d]),
        })
    }
}

/// Without a feature of the crate that all of its users would be built with.
fn raw() -> Type {
    Type::from(nix::libc::SOCK_RAW)
}

const fn domain(address: IpAddr) -> Domain {
    if address.is_ipv4() {
        Domain::IPV4
    } else {
        Domain::IPV6
    }
}

/// Conntrack takes no packet without it (RFC 9260, appendix A).
fn crc32c(bytes: &[u8]) -> u32 {
    const POLYNOMIAL: u32 = 0x82f6_3b78;
    let byte = |crc: u32, byte: &u8| {
        (0..8).fold(crc ^ u32::from(*byte), |crc, _| {
            if crc & 1 == 1 {
                (crc >> 1) ^ POLYNOMIAL
            } else {
                crc >> 1
            }
        })
    };
    !bytes.iter().fold(u32::MAX, byte)
}

#[cfg(test)]
mod tests {
    #[test]
    fn the_checksum_is_that_of_the_rfc() {
        assert_eq!(super::crc32c(b"123456789"), 0xe306_9283);
    }
}
