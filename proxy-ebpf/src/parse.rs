//! From bytes to a tuple. What cannot be Service traffic is sorted out as early as it shows.

use core::mem::MaybeUninit;

use proxy_common::{FlowKey, TCP, UDP, tcp_state::TcpFlags};
use zerocopy::{FromBytes, Immutable, KnownLayout};

use crate::{Family, packet::Load};

/// A TCP or UDP packet.
pub struct Packet<'a, A> {
    /// Its addresses, ports and protocol.
    pub tuple: &'a FlowKey<A>,
    /// TCP flags, none for UDP.
    pub flags: TcpFlags,
    l3: u16,
    l4: u16,
    /// The IPv4 header's, zero for IPv6.
    pub ttl: u8,
    /// The IPv4 header's checksum, zero for IPv6.
    pub check: [u8; 2],
}

#[expect(
    clippy::cast_possible_truncation,
    reason = "headers are at most a few KiB from the start"
)]
impl<'a, A: Copy> Packet<'a, A> {
    /// Small, because it lies on the hook's stack.
    #[inline(always)]
    pub(crate) const fn new(
        tuple: &'a FlowKey<A>,
        flags: u8,
        (l3, l4): (usize, usize),
        (ttl, check): (u8, [u8; 2]),
    ) -> Self {
        Self {
            tuple,
            flags: TcpFlags(flags),
            l3: l3 as u16,
            l4: l4 as u16,
            ttl,
            check,
        }
    }

    /// Where the IP header is.
    #[inline(always)]
    pub(crate) const fn l3(&self) -> usize {
        self.l3 as usize
    }

    /// Where the transport header is.
    #[inline(always)]
    pub(crate) const fn l4(&self) -> usize {
        self.l4 as usize
    }

    /// Where the transport header's checksum is.
    #[inline(always)]
    pub(crate) const fn transport_check(&self) -> usize {
        self.l4() + transport_check(self.tuple.protocol())
    }
}

/// Where a transport header has its checksum.
#[inline(always)]
const fn transport_check(protocol: u8) -> usize {
    if protocol == TCP { 16 } else { 6 }
}

/// Why a packet is none of ours.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Skip {
    /// Too short for the headers that it claims.
    Truncated,
    /// Neither TCP nor UDP.
    OtherProtocol,
    /// A fragment of a larger packet.
    Fragment,
    /// IPv6 extension headers stand before the transport header.
    ExtensionHeader,
}

/// What an IP header says beside the addresses.
#[cfg_attr(test, derive(Default))]
pub struct Header {
    /// What it carries.
    pub protocol: u8,
    /// Bytes of the header.
    pub len: usize,
    /// Bytes of the packet, as the header has it.
    pub total_len: usize,
    /// IPv4: more-fragments bit and offset. IPv6 has them in a header of their own.
    pub fragment: u16,
    /// What all fragments of a packet have in common, IPv4's in the first two bytes.
    pub id: [u8; 4],
    /// Whether there is a fragment header, be it for a packet in one piece.
    pub is_fragmented: bool,
    /// IPv4's, zero for IPv6.
    pub ttl: u8,
    /// The header's checksum, zero where it has none.
    pub check: [u8; 2],
}

impl Header {
    /// Whether TCP or UDP comes next.
    #[inline(always)]
    pub(crate) const fn has_ports(&self) -> bool {
        self.protocol == TCP || self.protocol == UDP
    }

    /// Whether it has no transport header.
    #[inline(always)]
    pub(crate) const fn is_later_fragment(&self) -> bool {
        self.fragment & FRAGMENT_OFFSET != 0
    }
}

/// Parses the packet whose IP header is at `l3`, its tuple into a place of the caller's: a tuple that is returned by value
/// is copied through the stack piece by piece.
#[inline(always)]
pub fn packet<'a, F: Family>(
    packet: &(impl Load + ?Sized),
    l3: usize,
    place: &'a mut MaybeUninit<FlowKey<F::Address>>,
) -> Result<Packet<'a, F::Address>, Skip> {
    let header = F::header(packet, l3)?;
    if !header.has_ports() {
        return Err(Skip::OtherProtocol);
    }
    if header.fragment != 0 {
        return Err(Skip::Fragment);
    }
    transport::<F>(packet, l3, &header, place)
}

/// Parses what is behind the header, which has ports.
#[inline(always)]
pub(crate) fn transport<'a, F: Family>(
    packet: &(impl Load + ?Sized),
    l3: usize,
    header: &Header,
    place: &'a mut MaybeUninit<FlowKey<F::Address>>,
) -> Result<Packet<'a, F::Address>, Skip> {
    let Header {
        protocol,
        len,
        ttl,
        check,
        ..
    } = *header;
    let l4 = l3 + len;
    let tuple = FlowKey::fill(place, protocol);
    // From front to back: a check that a later one makes superfluous would be left out, and the verifier not see why.
    if !packet.load_to(l3 + F::ADDRESSES, tuple.addresses) || !packet.load_to(l4, tuple.ports) {
        return Err(Skip::Truncated);
    }
    // Up to the checksum: what can't be translated to its end must not be begun with.
    let flags = if protocol == TCP {
        let tcp: Tcp = packet.load(l4 + 4).ok_or(Skip::Truncated)?;
        tcp.flags
    } else {
        let _: [u8; 4] = packet.load(l4 + 4).ok_or(Skip::Truncated)?;
        0
    };
    // SAFETY: `fill` has set the protocol, and both loads succeeded.
    let tuple = unsafe { place.assume_init_ref() };
    Ok(Packet::new(tuple, flags, (l3, l4), (ttl, check)))
}

/// RFC 9293, from behind the ports up to the checksum.
#[derive(FromBytes, Immutable, KnownLayout)]
#[repr(C)]
struct Tcp {
    sequence_and_acknowledgment: [u8; 8],
    data_offset: u8,
    flags: u8,
    window: [u8; 2],
    check: [u8; 2],
}

/// RFC 791, up to the addresses.
#[derive(FromBytes, Immutable, KnownLayout)]
#[repr(C)]
struct Ipv4 {
    version_and_len: u8,
    tos: u8,
    total_len: [u8; 2],
    id: [u8; 2],
    fragment: [u8; 2],
    ttl: u8,
    protocol: u8,
    check: [u8; 2],
}

const IPV4_HEADER: usize = 20;

/// RFC 8200, up to the addresses.
#[derive(FromBytes, Immutable, KnownLayout)]
#[repr(C)]
pub(crate) struct Ipv6 {
    version_and_flow: [u8; 4],
    payload_len: [u8; 2],
    next_header: u8,
    hop_limit: u8,
}

const IPV6_HEADER: usize = 40;

const MORE_FRAGMENTS_OR_OFFSET: u16 = 0x3fff;
const FRAGMENT_OFFSET: u16 = 0x1fff;

impl Ipv6 {
    /// What it says, if it is one.
    #[inline(always)]
    pub(crate) fn header(&self) -> Result<Header, Skip> {
        if self.version_and_flow[0] >> 4 != 6 {
            return Err(Skip::Truncated);
        }
        Ok(Header {
            protocol: self.next_header,
            len: IPV6_HEADER,
            total_len: IPV6_HEADER + usize::from(u16::from_be_bytes(self.payload_len)),
            fragment: 0,
            id: [0; 4],
            is_fragmented: false,
            ttl: 0,
            check: [0; 2],
        })
    }
}

#[inline(always)]
pub(crate) fn ipv4_header(packet: &(impl Load + ?Sized), offset: usize) -> Result<Header, Skip> {
    let header: Ipv4 = packet.load(offset).ok_or(Skip::Truncated)?;
    let len = usize::from(header.version_and_len & 0x0f) * 4;
    if header.version_and_len >> 4 != 4 || len < IPV4_HEADER {
        return Err(Skip::Truncated);
    }
    Ok(Header {
        protocol: header.protocol,
        len,
        total_len: u16::from_be_bytes(header.total_len).into(),
        fragment: u16::from_be_bytes(header.fragment) & MORE_FRAGMENTS_OR_OFFSET,
        id: [header.id[0], header.id[1], 0, 0],
        is_fragmented: false,
        ttl: header.ttl,
        check: header.check,
    })
}

#[inline(always)]
pub(crate) fn ipv6_header(packet: &(impl Load + ?Sized), offset: usize) -> Result<Header, Skip> {
    let header: Ipv6 = packet.load(offset).ok_or(Skip::Truncated)?;
    let header = header.header()?;
    match header.protocol {
        44 => Err(Skip::Fragment),
        0 | 43 | 60 => Err(Skip::ExtensionHeader),
        _ => Ok(header),
    }
}

#[cfg(test)]
mod tests {
    use super::{Packet, Skip, packet};
    use crate::{V4, V6};
    use core::mem::MaybeUninit;
    use proxy_common::{Address, TCP, UDP};

    fn ipv4(protocol: u8, options: usize) -> Vec<u8> {
        let len = u8::try_from(5 + options).unwrap();
        let mut bytes = vec![
            0x40 | len,
            0,
            0,
            60,
            0,
            1,
            0,
            0,
            64,
            protocol,
            0xab,
            0xcd,
            10,
            0,
            0,
            1,
            10,
            96,
            0,
            10,
        ];
        bytes.resize(bytes.len() + options * 4, 1);
        bytes.extend([
            0x9c, 0x40, 0, 53, 0, 0, 0, 0, 0, 0, 0, 0, 0x50, 0x02, 0, 0, 0, 0, 0, 0,
        ]);
        bytes
    }

    fn ipv6(next_header: u8) -> Vec<u8> {
        let mut bytes = vec![0x60, 0, 0, 0, 0, 20, next_header, 64];
        bytes.extend([0xfd; 16]);
        bytes.extend([0xfe; 16]);
        bytes.extend([
            0x9c, 0x40, 0, 53, 0, 0, 0, 0, 0, 0, 0, 0, 0x50, 0x12, 0, 0, 0, 0, 0, 0,
        ]);
        bytes
    }

    fn parse<F: crate::Family>(bytes: &[u8]) -> Result<Packet<'static, F::Address>, Skip> {
        packet::<F>(bytes, 0, Box::leak(Box::new(MaybeUninit::uninit())))
    }

    fn skip_of<F: crate::Family>(bytes: &[u8]) -> Skip {
        parse::<F>(bytes).err().expect("none of ours")
    }

    #[test]
    fn an_ipv4_tcp_packet_gives_its_tuple_flags_and_checksum() {
        let parsed = parse::<V4>(&ipv4(TCP, 0)[..]).expect("a packet");
        let (source, destination) = (parsed.tuple.source(), parsed.tuple.destination());
        assert_eq!(
            (source.0.to_ip().to_string(), source.1.get()),
            ("10.0.0.1".into(), 40_000)
        );
        assert_eq!(
            (destination.0.to_ip().to_string(), destination.1.get()),
            ("10.96.0.10".into(), 53)
        );
        assert_eq!((parsed.flags.0, parsed.check, parsed.l4()), (2, [0xab, 0xcd], 20));
    }

    #[test]
    fn ipv4_options_move_the_transport_header() {
        let parsed = parse::<V4>(&ipv4(TCP, 10)[..]).expect("a packet");
        assert_eq!(
            (parsed.l4(), parsed.tuple.destination().1.get(), parsed.flags.0),
            (60, 53, 2)
        );
    }

    #[test]
    fn udp_has_no_flags() {
        assert_eq!(parse::<V6>(&ipv6(UDP)[..]).expect("a packet").flags.0, 0);
        assert_eq!(parse::<V6>(&ipv6(TCP)[..]).expect("a packet").flags.0, 0x12);
    }

    #[test]
    fn fragments_extension_headers_and_other_protocols_are_told_apart() {
        let mut first = ipv4(UDP, 0);
        first[6] = 0x20;
        let mut later = ipv4(UDP, 0);
        later[7] = 1;
        let mut whole = ipv4(UDP, 0);
        whole[6] = 0x40;
        assert_eq!(
            [skip_of::<V4>(&first), skip_of::<V4>(&later)],
            [Skip::Fragment; 2]
        );
        assert!(parse::<V4>(&whole[..]).is_ok(), "don't fragment is no fragment");
        assert_eq!(skip_of::<V4>(&ipv4(132, 0)), Skip::OtherProtocol);
        assert_eq!(
            [skip_of::<V6>(&ipv6(44)), skip_of::<V6>(&ipv6(60))],
            [Skip::Fragment, Skip::ExtensionHeader]
        );
    }

    #[test]
    fn a_packet_cut_anywhere_is_never_read_beyond_its_end() {
        for cut in 0..38 {
            assert_eq!(
                skip_of::<V4>(&ipv4(TCP, 0)[..cut]),
                Skip::Truncated,
                "{cut} bytes"
            );
        }
        for cut in 0..58 {
            assert_eq!(skip_of::<V6>(&ipv6(TCP)[..cut]), Skip::Truncated, "{cut} bytes");
        }
    }

    #[test]
    fn a_header_that_claims_less_than_its_minimum_is_refused() {
        let mut short = ipv4(TCP, 0);
        short[0] = 0x44;
        assert_eq!(skip_of::<V4>(&short), Skip::Truncated);
        short[0] = 0x65;
        assert_eq!(skip_of::<V4>(&short), Skip::Truncated);
    }
}
