//! Packets as tests describe them, and their bytes with every checksum computed from scratch.

use std::net::{IpAddr, SocketAddr};

use etherparse::{
    IpNumber, Ipv4Header, Ipv6FlowLabel, Ipv6Header, NetHeaders, PacketHeaders, TcpHeader, TransportHeader,
    UdpHeader,
    ether_type::{IPV4, IPV6},
};

/// The sender has no more to say.
pub const FIN: u8 = 1;
/// Asks for a connection.
pub const SYN: u8 = 1 << 1;
/// Ends a connection at once.
pub const RST: u8 = 1 << 2;
/// Acknowledges.
pub const ACK: u8 = 1 << 4;

const HOP_LIMIT: u8 = 61;
/// Destination and source of the Ethernet header: nothing looks at them.
const ETHERNET: [u8; 12] = [2, 0, 0, 0, 0, 1, 2, 0, 0, 0, 0, 2];

/// What a device's packets begin with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Layer {
    /// An Ethernet header.
    Ethernet,
    /// The IP header.
    Ip,
}

/// The transport header, apart from the ports.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Transport {
    /// TCP with these flags.
    Tcp(u8),
    /// UDP.
    Udp,
    /// UDP that says "no checksum" (RFC 768); IPv4 only.
    UdpWithoutChecksum,
}

/// A TCP or UDP packet: everything that differs from one to the other.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Packet {
    /// Where it comes from.
    pub source: SocketAddr,
    /// Where it goes.
    pub destination: SocketAddr,
    /// TCP or UDP.
    pub transport: Transport,
    /// IPv4 options, a multiple of four bytes.
    pub options: Vec<u8>,
    /// What it carries.
    pub payload: Vec<u8>,
}

impl Packet {
    /// A packet without options that carries a few bytes.
    #[must_use]
    pub fn new(source: SocketAddr, destination: SocketAddr, transport: Transport) -> Self {
        Self {
            source,
            destination,
            transport,
            options: Vec::new(),
            payload: b"a payload of odd length".to_vec(),
        }
    }

    /// From another source.
    #[must_use]
    pub fn from(&self, source: SocketAddr) -> Self {
        Self {
            source,
            ..self.clone()
        }
    }

    /// To another destination.
    #[must_use]
    pub fn to(&self, destination: SocketAddr) -> Self {
        Self {
            destination,
            ..self.clone()
        }
    }

    /// With other TCP flags; a UDP packet stays as it is.
    #[must_use]
    pub fn flags(&self, flags: u8) -> Self {
        let transport = match self.transport {
            Transport::Tcp(_) => Transport::Tcp(flags),
            udp => udp,
        };
        Self {
            transport,
            ..self.clone()
        }
    }

    /// What the receiver sends back: acknowledged, and SYN for SYN.
    #[must_use]
    pub fn answer(&self) -> Self {
        let flags = match self.transport {
            Transport::Tcp(flags) => (flags & SYN) | ACK,
            _ => 0,
        };
        self.from(self.destination).to(self.source).flags(flags)
    }

    /// IP protocol number.
    #[must_use]
    pub const fn protocol(&self) -> u8 {
        match self.transport {
            Transport::Tcp(_) => proxy_common::TCP,
            _ => proxy_common::UDP,
        }
    }

    /// The bytes on a device of this layer.
    #[must_use]
    pub fn bytes(&self, layer: Layer) -> Vec<u8> {
        let transport = self.transport_bytes();
        let ends = (self.source.ip(), self.destination.ip());
        let mut bytes = headers(layer, ends, self.protocol(), &self.options, transport.len());
        bytes.extend(transport);
        bytes
    }

    fn transport_bytes(&self) -> Vec<u8> {
        let mut bytes = match self.transport {
            Transport::Tcp(flags) => self.tcp(flags).to_bytes().to_vec(),
            Transport::Udp | Transport::UdpWithoutChecksum => self.udp().to_bytes().to_vec(),
        };
        bytes.extend(&self.payload);
        bytes
    }

    fn tcp(&self, flags: u8) -> TcpHeader {
        let mut header = TcpHeader::new(self.source.port(), self.destination.port(), 0x0102_0304, 0xfaf0);
        header.acknowledgment_number = 0x0a0b_0c0d;
        header.fin = flags & FIN != 0;
        header.syn = flags & SYN != 0;
        header.rst = flags & RST != 0;
        header.ack = flags & ACK != 0;
        header.checksum = match (self.source.ip(), self.destination.ip()) {
            (IpAddr::V4(source), IpAddr::V4(destination)) => {
                header.calc_checksum_ipv4_raw(source.octets(), destination.octets(), &self.payload)
            }
            (IpAddr::V6(source), IpAddr::V6(destination)) => {
                header.calc_checksum_ipv6_raw(source.octets(), destination.octets(), &self.payload)
            }
            mixed => panic!("a packet has one family, not {mixed:?}"),
        }
        .expect("a short payload");
        header
    }

    fn udp(&self) -> UdpHeader {
        let mut header = UdpHeader {
            source_port: self.source.port(),
            destination_port: self.destination.port(),
            length: u16::try_from(8 + self.payload.len()).expect("a short payload"),
            checksum: 0,
        };
        if self.transport == Transport::UdpWithoutChecksum {
            return header;
        }
        header.checksum = match (self.source.ip(), self.destination.ip()) {
            (IpAddr::V4(source), IpAddr::V4(destination)) => {
                header.calc_checksum_ipv4_raw(source.octets(), destination.octets(), &self.payload)
            }
            (IpAddr::V6(source), IpAddr::V6(destination)) => {
                header.calc_checksum_ipv6_raw(source.octets(), destination.octets(), &self.payload)
            }
            mixed => panic!("a packet has one family, not {mixed:?}"),
        }
        .expect("a short payload");
        header
    }

    /// Reads bytes back, and holds every one of them against the packet made anew: all checksums are right, and nothing but
    /// addresses and ports can have changed.
    ///
    /// # Panics
    ///
    /// When they are not.
    #[must_use]
    pub fn parse(bytes: &[u8], layer: Layer) -> Self {
        let headers = match layer {
            Layer::Ethernet => PacketHeaders::from_ethernet_slice(bytes).expect("headers"),
            Layer::Ip => PacketHeaders::from_ip_slice(bytes).expect("headers"),
        };
        let packet = Self::of(&headers);
        assert_eq!(
            bytes,
            packet.bytes(layer),
            "a checksum is wrong, or more than addresses and ports have changed: {packet:?}"
        );
        packet
    }

    fn of(headers: &PacketHeaders<'_>) -> Self {
        let (source, destination, options): (IpAddr, IpAddr, Vec<u8>) = match &headers.net {
            Some(NetHeaders::Ipv4(ip, _)) => (
                ip.source.into(),
                ip.destination.into(),
                ip.options.as_slice().to_vec(),
            ),
            Some(NetHeaders::Ipv6(ip, _)) => (ip.source.into(), ip.destination.into(), Vec::new()),
            other => panic!("no IP packet: {other:?}"),
        };
        let (ports, transport) = match &headers.transport {
            Some(TransportHeader::Tcp(tcp)) => (
                (tcp.source_port, tcp.destination_port),
                Transport::Tcp(flags(tcp)),
            ),
            Some(TransportHeader::Udp(udp)) => ((udp.source_port, udp.destination_port), udp_kind(udp)),
            other => panic!("neither TCP nor UDP: {other:?}"),
        };
        Self {
            source: (source, ports.0).into(),
            destination: (destination, ports.1).into(),
            transport,
            options,
            payload: headers.payload.slice().to_vec(),
        }
    }
}

/// Ethernet and IP header of a packet whose transport takes `len` bytes.
pub(super) fn headers(
    layer: Layer,
    ends: (IpAddr, IpAddr),
    protocol: u8,
    options: &[u8],
    len: usize,
) -> Vec<u8> {
    let len = u16::try_from(len).expect("a packet shorter than 64 KiB");
    let mut bytes = Vec::new();
    let ethertype = if ends.0.is_ipv4() { IPV4 } else { IPV6 };
    if layer == Layer::Ethernet {
        bytes.extend(ETHERNET);
        bytes.extend(ethertype.0.to_be_bytes());
    }
    let protocol = IpNumber(protocol);
    match ends {
        (IpAddr::V4(source), IpAddr::V4(destination)) => {
            let mut header = Ipv4Header::new(len, HOP_LIMIT, protocol, source.octets(), destination.octets())
                .expect("the length fits");
            header.options = options.try_into().expect("whole words, at most ten");
            header.total_len += u16::try_from(options.len()).expect("at most 40 bytes");
            header.identification = 0x1234;
            header.header_checksum = header.calc_header_checksum();
            bytes.extend(header.to_bytes());
        }
        (IpAddr::V6(source), IpAddr::V6(destination)) => {
            let header = Ipv6Header {
                traffic_class: 0,
                flow_label: Ipv6FlowLabel::try_new(0x5_4321).expect("20 bits"),
                payload_length: len,
                next_header: protocol,
                hop_limit: HOP_LIMIT,
                source: source.octets(),
                destination: destination.octets(),
            };
            bytes.extend(header.to_bytes());
        }
        mixed => panic!("a packet has one family, not {mixed:?}"),
    }
    bytes
}

fn flags(tcp: &TcpHeader) -> u8 {
    [(tcp.fin, FIN), (tcp.syn, SYN), (tcp.rst, RST), (tcp.ack, ACK)]
        .into_iter()
        .filter(|(is_set, _)| *is_set)
        .fold(0, |flags, (_, flag)| flags | flag)
}

const fn udp_kind(udp: &UdpHeader) -> Transport {
    if udp.checksum == 0 {
        Transport::UdpWithoutChecksum
    } else {
        Transport::Udp
    }
}
