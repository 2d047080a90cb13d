//! What a client is told when nobody serves a frontend, made from scratch.

use std::net::IpAddr;

use etherparse::{
    Icmpv4Header, Icmpv4Type, Icmpv6Header, Icmpv6Type, IpDscp, IpEcn, IpFragOffset, IpNumber, Ipv4Header,
    Ipv6FlowLabel, Ipv6Header, TcpHeader, icmpv4, icmpv6,
};
use harness::bpf::{Layer, Packet};

const HOP_LIMIT: u8 = 64;
/// Destination and source of an Ethernet header.
const MACS: usize = 12;

/// The bytes that answer `request` on a device of this layer: a reset for TCP, port unreachable for UDP.
pub(crate) fn of(request: &Packet, layer: Layer) -> Vec<u8> {
    let bytes = request.bytes(layer);
    let (ethernet, ip) = match layer {
        Layer::Ethernet => bytes.split_at(14),
        Layer::Ip => bytes.split_at(0),
    };
    let mut answer = ethernet.to_vec();
    if layer == Layer::Ethernet {
        answer[..MACS].rotate_left(MACS / 2);
    }
    answer.extend(if request.protocol() == proxy_common::TCP {
        reset(request, ip)
    } else {
        unreachable(request, ip)
    });
    answer
}

fn reset(request: &Packet, ip: &[u8]) -> Vec<u8> {
    let sequence = transport(request, ip)[4..8].try_into().unwrap();
    let mut tcp = TcpHeader::new(request.destination.port(), request.source.port(), 0, 0);
    (tcp.rst, tcp.ack) = (true, true);
    tcp.acknowledgment_number = u32::from_be_bytes(sequence)
        .wrapping_add(1)
        .wrapping_add(u32::try_from(request.payload.len()).unwrap());
    let (vip, client) = (request.destination.ip(), request.source.ip());
    tcp.checksum = match (vip, client) {
        (IpAddr::V4(vip), IpAddr::V4(client)) => {
            tcp.calc_checksum_ipv4_raw(vip.octets(), client.octets(), &[])
        }
        (IpAddr::V6(vip), IpAddr::V6(client)) => {
            tcp.calc_checksum_ipv6_raw(vip.octets(), client.octets(), &[])
        }
        mixed => panic!("a packet has one family, not {mixed:?}"),
    }
    .unwrap();
    let mut answer = header(request, IpNumber::TCP, 20, |ip| {
        ip.dont_fragment = true;
        ip.identification = 0;
    });
    answer.extend(tcp.to_bytes());
    answer
}

/// RFC 792: the IP header and 8 bytes are quoted.
fn unreachable(request: &Packet, ip: &[u8]) -> Vec<u8> {
    let quote = &ip[..ip.len() - transport(request, ip).len() + 8];
    let len = 8 + quote.len();
    let (icmp, protocol) = match (request.destination.ip(), request.source.ip()) {
        (IpAddr::V4(_), _) => {
            let port = icmpv4::DestUnreachableHeader::Port;
            let icmp = Icmpv4Header::with_checksum(Icmpv4Type::DestinationUnreachable(port), quote);
            (icmp.to_bytes().to_vec(), IpNumber::ICMP)
        }
        (IpAddr::V6(vip), IpAddr::V6(client)) => {
            let kind = Icmpv6Type::DestinationUnreachable(icmpv6::DestUnreachableCode::Port);
            let icmp = Icmpv6Header::with_checksum(kind, vip.octets(), client.octets(), quote).unwrap();
            (icmp.to_bytes().to_vec(), IpNumber::IPV6_ICMP)
        }
        mixed => panic!("a packet has one family, not {mixed:?}"),
    };
    let mut answer = header(request, protocol, len, |ip| {
        ip.dscp = IpDscp::try_new(0xc0 >> 2).unwrap();
        ip.dont_fragment = false;
        ip.identification = u16::from_be_bytes(quote[4..6].try_into().unwrap());
    });
    answer.extend(icmp);
    answer.extend(quote);
    answer
}

fn transport<'i>(request: &Packet, ip: &'i [u8]) -> &'i [u8] {
    let header = if request.source.is_ipv4() {
        20 + request.options.len()
    } else {
        40
    };
    &ip[header..]
}

/// From whom the request was for to whom it was from.
fn header(
    request: &Packet,
    protocol: IpNumber,
    len: usize,
    of_family: impl FnOnce(&mut Ipv4Header),
) -> Vec<u8> {
    let len = u16::try_from(len).unwrap();
    match (request.destination.ip(), request.source.ip()) {
        (IpAddr::V4(vip), IpAddr::V4(client)) => {
            let mut ip = Ipv4Header::new(len, HOP_LIMIT, protocol, vip.octets(), client.octets()).unwrap();
            ip.ecn = IpEcn::ZERO;
            ip.fragment_offset = IpFragOffset::ZERO;
            of_family(&mut ip);
            ip.header_checksum = ip.calc_header_checksum();
            ip.to_bytes().to_vec()
        }
        (IpAddr::V6(vip), IpAddr::V6(client)) => Ipv6Header {
            traffic_class: 0,
            flow_label: Ipv6FlowLabel::ZERO,
            payload_length: len,
            next_header: protocol,
            hop_limit: HOP_LIMIT,
            source: vip.octets(),
            destination: client.octets(),
        }
        .to_bytes()
        .to_vec(),
        mixed => panic!("a packet has one family, not {mixed:?}"),
    }
}
