//! Entries of the table as netlink tells them (`linux/netfilter/nfnetlink_conntrack.h`). Pure.

use std::net::{IpAddr, SocketAddr};

use crate::netfilter::nfnetlink::{attribute, each, find};

/// `CTA_TUPLE_ORIG`, `CTA_TUPLE_REPLY`, `CTA_STATUS`, `CTA_ZONE`.
pub(super) const TUPLE_ORIG: u16 = 1;
pub(super) const TUPLE_REPLY: u16 = 2;
pub(super) const STATUS: u16 = 3;
pub(super) const ZONE: u16 = 18;
/// `CTA_TUPLE_IP`, `CTA_TUPLE_PROTO`.
const IP: u16 = 1;
const PROTO: u16 = 2;
/// `CTA_IP_V4_SRC` and so on.
const V4_SOURCE: u16 = 1;
const V4_DESTINATION: u16 = 2;
const V6_SOURCE: u16 = 3;
const V6_DESTINATION: u16 = 4;
/// `CTA_PROTO_NUM`, `CTA_PROTO_SRC_PORT`, `CTA_PROTO_DST_PORT`.
const NUMBER: u16 = 1;
const SOURCE_PORT: u16 = 2;
const DESTINATION_PORT: u16 = 3;
pub(super) const NESTED: u16 = 1 << 15;
/// `IPS_SEEN_REPLY`, `IPS_DST_NAT`.
pub(super) const SEEN_REPLY: u32 = 1 << 1;
const DST_NAT: u32 = 1 << 5;

/// A flow of TCP, UDP or another protocol with ports.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Flow {
    /// IP protocol number.
    pub(crate) protocol: u8,
    /// As the client sends.
    pub(crate) request: Ends,
    /// As the answer comes, before anything is translated back.
    pub(crate) reply: Ends,
    status: u32,
    /// The client's tuple as the kernel has told it, which is its name.
    pub(super) tuple: Vec<u8>,
    /// Its zone, if it is not in the first one.
    pub(super) zone: Option<Vec<u8>>,
}

/// Both ends of a packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Ends {
    pub(crate) source: SocketAddr,
    pub(crate) destination: SocketAddr,
}

/// A tuple as far as it is read.
#[derive(Clone, Copy, Debug, Default)]
struct Tuple {
    addresses: [Option<IpAddr>; 2],
    ports: [u16; 2],
    protocol: u8,
}

impl Flow {
    /// From the attributes of a message; `None` if it lacks addresses.
    pub(super) fn parse(attributes: &[u8]) -> Option<Self> {
        let tuple = find(attributes, TUPLE_ORIG)?;
        let (request, reply) = (Tuple::parse(tuple), Tuple::parse(find(attributes, TUPLE_REPLY)?));
        let status = find(attributes, STATUS).and_then(|bytes| bytes.try_into().ok());
        Some(Self {
            protocol: request.protocol,
            request: request.ends()?,
            reply: reply.ends()?,
            status: status.map_or(0, u32::from_be_bytes),
            tuple: tuple.to_vec(),
            zone: find(attributes, ZONE).map(<[u8]>::to_vec),
        })
    }

    /// Somebody has put another destination.
    pub(crate) const fn has_another_destination(&self) -> bool {
        self.status & DST_NAT != 0
    }

    /// Somebody has put another source address.
    pub(crate) fn is_masqueraded(&self) -> bool {
        self.reply.destination.ip() != self.request.source.ip()
    }

    /// Packets have come both ways.
    pub(crate) const fn has_answer(&self) -> bool {
        self.status & SEEN_REPLY != 0
    }

    /// Translated and answered.
    #[cfg(test)]
    pub(crate) const fn of(protocol: u8, request: Ends, reply: Ends) -> Self {
        Self {
            protocol,
            request,
            reply,
            status: DST_NAT | SEEN_REPLY,
            tuple: Vec::new(),
            zone: None,
        }
    }
}

impl Ends {
    /// Of the answer.
    pub(crate) const fn reversed(self) -> Self {
        Self {
            source: self.destination,
            destination: self.source,
        }
    }

    /// The contents of a tuple's attribute.
    pub(super) fn tuple(self, protocol: u8) -> Vec<u8> {
        let octets = |address| match address {
            IpAddr::V4(address) => (V4_SOURCE, address.octets().to_vec()),
            IpAddr::V6(address) => (V6_SOURCE, address.octets().to_vec()),
        };
        let ((first, source), (_, destination)) = (octets(self.source.ip()), octets(self.destination.ip()));
        let ip = [attribute(first, &source), attribute(first + 1, &destination)].concat();
        let ports = [
            attribute(NUMBER, &[protocol]),
            attribute(SOURCE_PORT, &self.source.port().to_be_bytes()),
            attribute(DESTINATION_PORT, &self.destination.port().to_be_bytes()),
        ];
        [
            attribute(IP | NESTED, &ip),
            attribute(PROTO | NESTED, &ports.concat()),
        ]
        .concat()
    }
}

impl Tuple {
    fn parse(nested: &[u8]) -> Self {
        let mut tuple = Self::default();
        for part in each(find(nested, IP).unwrap_or_default()) {
            match part.kind() {
                V4_SOURCE | V6_SOURCE => tuple.addresses[0] = address(part.value()),
                V4_DESTINATION | V6_DESTINATION => tuple.addresses[1] = address(part.value()),
                _ => {}
            }
        }
        for part in each(find(nested, PROTO).unwrap_or_default()) {
            match (part.kind(), part.value()) {
                (NUMBER, [number, ..]) => tuple.protocol = *number,
                (SOURCE_PORT, [high, low]) => tuple.ports[0] = u16::from_be_bytes([*high, *low]),
                (DESTINATION_PORT, [high, low]) => tuple.ports[1] = u16::from_be_bytes([*high, *low]),
                _ => {}
            }
        }
        tuple
    }

    fn ends(&self) -> Option<Ends> {
        let end = |index: usize| Some(SocketAddr::from((self.addresses[index]?, self.ports[index])));
        Some(Ends {
            source: end(0)?,
            destination: end(1)?,
        })
    }
}

fn address(bytes: &[u8]) -> Option<IpAddr> {
    let v4 = <[u8; 4]>::try_from(bytes).map(IpAddr::from);
    v4.or_else(|_| <[u8; 16]>::try_from(bytes).map(IpAddr::from)).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    const TCP: u8 = 6;
    const UDP: u8 = 17;

    fn ends(source: &str, destination: &str) -> Ends {
        Ends {
            source: source.parse().unwrap(),
            destination: destination.parse().unwrap(),
        }
    }

    fn message(protocol: u8, request: Ends, reply: Ends) -> Vec<u8> {
        [
            attribute(TUPLE_ORIG | NESTED, &request.tuple(protocol)),
            attribute(TUPLE_REPLY | NESTED, &reply.tuple(protocol)),
        ]
        .concat()
    }

    #[test]
    fn both_ends_of_both_directions_are_read_in_either_family() {
        for (client, vip, endpoint) in [
            ("10.1.0.9:4000", "10.96.0.10:53", "10.1.0.2:5353"),
            ("[fd00::9]:4000", "[fd00:96::a]:53", "[fd00::2]:5353"),
        ] {
            let (request, reply) = (ends(client, vip), ends(endpoint, client));
            let whole = message(UDP, request, reply);
            let flow = Flow::parse(&[whole.clone(), attribute(ZONE, &[0, 7])].concat()).unwrap();
            assert_eq!((flow.protocol, flow.request, flow.reply), (UDP, request, reply));
            assert_eq!(flow.tuple, request.tuple(UDP));
            assert_eq!(flow.zone, Some(vec![0, 7]));
            assert_eq!(Flow::parse(&whole).unwrap().zone, None);
        }
    }

    #[test]
    fn what_has_been_done_to_a_flow_is_read() {
        let (client, vip, endpoint) = ("10.1.0.9:4000", "10.96.0.10:53", "10.1.0.2:5353");
        let flow = |status: u32, answered: &str| {
            let message = message(TCP, ends(client, vip), ends(endpoint, answered));
            let status = attribute(STATUS, &status.to_be_bytes());
            Flow::parse(&[message, status].concat()).unwrap()
        };
        let (translated, answered) = (1 << 5, 1 << 1);
        for status in [0, translated, answered, translated | answered] {
            let flow = flow(status, client);
            let read = (flow.has_another_destination(), flow.has_answer());
            let expected = (status & translated != 0, status & answered != 0);
            assert_eq!(read, expected, "{status:#b}");
            assert!(!flow.is_masqueraded());
        }
        assert!(flow(translated, "192.168.0.1:1024").is_masqueraded());
    }

    #[test]
    fn what_is_cut_anywhere_is_no_flow() {
        let (request, reply) = (ends("10.0.0.1:1", "10.0.0.2:2"), ends("10.0.0.2:2", "10.0.0.1:1"));
        let whole = message(UDP, request, reply);
        assert!(Flow::parse(&whole).is_some());
        for cut in 0..whole.len() {
            assert_eq!(Flow::parse(&whole[..cut]), None, "{cut} bytes");
        }
    }
}
