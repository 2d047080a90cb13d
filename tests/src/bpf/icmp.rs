//! ICMP errors as tests describe them, and their bytes with every checksum computed from scratch.

use std::net::IpAddr;

use etherparse::{Icmpv4Header, Icmpv4Type, Icmpv6Header, Icmpv6Type};

use super::{Layer, Packet, packet::headers};

/// An ICMP message that quotes a packet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IcmpError {
    /// Type and code.
    pub kind: [u8; 2],
    /// Bytes 5 to 8: the MTU of "packet too big", the pointer of "parameter problem".
    pub rest: [u8; 4],
    /// Who complains.
    pub source: IpAddr,
    /// To whom.
    pub destination: IpAddr,
    /// IPv4 options of the message itself.
    pub options: Vec<u8>,
    /// About what.
    pub quoted: Packet,
    /// How much of that it quotes, in bytes from the IP header on.
    pub quoted_len: usize,
}

impl IcmpError {
    /// An error by `source` about a packet, quoted as a whole, to that packet's source.
    #[must_use]
    pub fn new(kind: [u8; 2], source: IpAddr, quoted: &Packet) -> Self {
        Self {
            kind,
            rest: [0, 0, 5, 0x78],
            source,
            destination: quoted.source.ip(),
            options: Vec::new(),
            quoted: quoted.clone(),
            quoted_len: quoted.bytes(Layer::Ip).len(),
        }
    }

    /// With another end and quote.
    #[must_use]
    pub fn from_about(&self, source: IpAddr, quoted: &Packet) -> Self {
        Self {
            source,
            destination: quoted.source.ip(),
            quoted: quoted.clone(),
            ..self.clone()
        }
    }

    /// The bytes on a device of this layer.
    #[must_use]
    pub fn bytes(&self, layer: Layer) -> Vec<u8> {
        self.quoting(layer, &self.quoted.bytes(Layer::Ip)[..self.quoted_len])
    }

    /// The same with any bytes for the quoted packet.
    ///
    /// # Panics
    ///
    /// When there are too many of them for a packet, or the ends are of different families.
    #[must_use]
    pub fn quoting(&self, layer: Layer, quoted: &[u8]) -> Vec<u8> {
        let ends = (self.source, self.destination);
        let (protocol, header) = self.header(quoted);
        let mut bytes = headers(layer, ends, protocol, &self.options, header.len() + quoted.len());
        bytes.extend(header);
        bytes.extend(quoted);
        bytes
    }

    fn header(&self, quoted: &[u8]) -> (u8, Vec<u8>) {
        let [type_u8, code_u8] = self.kind;
        let bytes5to8 = self.rest;
        match (self.source, self.destination) {
            (IpAddr::V4(_), IpAddr::V4(_)) => {
                let kind = Icmpv4Type::Unknown {
                    type_u8,
                    code_u8,
                    bytes5to8,
                };
                (1, Icmpv4Header::with_checksum(kind, quoted).to_bytes().to_vec())
            }
            (IpAddr::V6(source), IpAddr::V6(destination)) => {
                let kind = Icmpv6Type::Unknown {
                    type_u8,
                    code_u8,
                    bytes5to8,
                };
                let header = Icmpv6Header::with_checksum(kind, source.octets(), destination.octets(), quoted)
                    .expect("a short quote");
                (58, header.to_bytes().to_vec())
            }
            mixed => panic!("a packet has one family, not {mixed:?}"),
        }
    }
}
