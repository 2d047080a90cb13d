//! Entries of the table as netlink tells them (`linux/netfilter/nfnetlink_conntrack.h`). Pure.

use std::net::{IpAddr, SocketAddr};

use crate::netfilter::nfnetlink::{each, find};

/// `CTA_TUPLE_ORIG`, `CTA_TUPLE_REPLY`, `CTA_ZONE`.
pub(super) const TUPLE_ORIG: u16 = 1;
const TUPLE_REPLY: u16 = 2;
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
const UDP: u8 = 17;

/// A UDP flow.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Flow {
    /// Whom the client has asked.
    pub(super) destination: SocketAddr,
    /// Who answers, before anything is translated back.
    pub(super) answerer: SocketAddr,
    /// The client's tuple as the kernel has told it, which is its name.
    pub(super) tuple: Vec<u8>,
    /// Its zone, if it is not in the first one.
    pub(super) zone: Option<Vec<u8>>,
}

/// A tuple's ends.
#[derive(Clone, Copy, Debug, Default)]
struct Tuple {
    addresses: [Option<IpAddr>; 2],
    ports: [u16; 2],
    protocol: u8,
}

impl Flow {
    /// From the attributes of a message; `None` if it is none of UDP.
    pub(super) fn parse(attributes: &[u8]) -> Option<Self> {
        let tuple = find(attributes, TUPLE_ORIG)?;
        let (original, reply) = (Tuple::parse(tuple), Tuple::parse(find(attributes, TUPLE_REPLY)?));
        (original.protocol == UDP).then_some(())?;
        Some(Self {
            destination: original.end(1)?,
            answerer: reply.end(0)?,
            tuple: tuple.to_vec(),
            zone: find(attributes, ZONE).map(<[u8]>::to_vec),
        })
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

    fn end(&self, index: usize) -> Option<SocketAddr> {
        Some((self.addresses[index]?, self.ports[index]).into())
    }
}

fn address(bytes: &[u8]) -> Option<IpAddr> {
    let v4 = <[u8; 4]>::try_from(bytes).map(IpAddr::from);
    v4.or_else(|_| <[u8; 16]>::try_from(bytes).map(IpAddr::from)).ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::netfilter::nfnetlink::attribute;

    const NESTED: u16 = 1 << 15;

    fn tuple(kind: u16, ends: [(&[u8], u16); 2], protocol: u8) -> Vec<u8> {
        let [source, destination] = ends;
        let first = if source.0.len() == 4 { V4_SOURCE } else { V6_SOURCE };
        let ip = [attribute(first, source.0), attribute(first + 1, destination.0)].concat();
        let proto = [
            attribute(NUMBER, &[protocol]),
            attribute(SOURCE_PORT, &source.1.to_be_bytes()),
            attribute(DESTINATION_PORT, &destination.1.to_be_bytes()),
        ];
        let nested = [
            attribute(IP | NESTED, &ip),
            attribute(PROTO | NESTED, &proto.concat()),
        ];
        attribute(kind | NESTED, &nested.concat())
    }

    #[test]
    fn whom_a_flow_has_asked_and_who_answers_is_read() {
        let (client, vip, endpoint) = (
            ([10, 1, 0, 9], 4_000),
            ([10, 96, 0, 10], 53),
            ([10, 1, 0, 2], 5_353),
        );
        let original = tuple(TUPLE_ORIG, [(&client.0, client.1), (&vip.0, vip.1)], UDP);
        let reply = tuple(
            TUPLE_REPLY,
            [(&endpoint.0, endpoint.1), (&client.0, client.1)],
            UDP,
        );
        let zone = attribute(ZONE, &[0, 7]);
        let flow = Flow::parse(&[original.clone(), reply.clone(), zone].concat()).unwrap();
        assert_eq!(flow.destination, "10.96.0.10:53".parse().unwrap());
        assert_eq!(flow.answerer, "10.1.0.2:5353".parse().unwrap());
        assert_eq!(flow.tuple, original[4..]);
        assert_eq!(flow.zone, Some(vec![0, 7]));
        assert_eq!(Flow::parse(&[original, reply].concat()).unwrap().zone, None);
    }

    #[test]
    fn ipv6_is_read_too() {
        let [client, vip] = [[1; 16], [2; 16]];
        let original = tuple(TUPLE_ORIG, [(&client, 1), (&vip, 53)], UDP);
        let reply = tuple(TUPLE_REPLY, [(&vip, 53), (&client, 1)], UDP);
        let flow = Flow::parse(&[original, reply].concat()).unwrap();
        assert_eq!(flow.destination, (IpAddr::from(vip), 53).into());
        assert_eq!(flow.answerer, flow.destination);
    }

    #[test]
    fn what_is_no_udp_or_cut_anywhere_is_no_flow() {
        let ends: [(&[u8], u16); 2] = [(&[10, 0, 0, 1], 1), (&[10, 0, 0, 2], 2)];
        let of = |protocol| {
            [
                tuple(TUPLE_ORIG, ends, protocol),
                tuple(TUPLE_REPLY, ends, protocol),
            ]
            .concat()
        };
        assert!(Flow::parse(&of(6)).is_none());
        let whole = of(UDP);
        assert!(Flow::parse(&whole).is_some());
        for cut in 0..whole.len() - 4 {
            assert!(Flow::parse(&whole[..cut]).is_none(), "{cut} bytes");
        }
    }
}
