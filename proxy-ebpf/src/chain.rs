//! Past IPv6 extension headers and the fragment header (RFC 8200), to what the packet carries.

use aya_ebpf::programs::TcContext;

use crate::{
    Family,
    maps::CHAIN,
    packet::{Copied, Load},
    parse::{Header, Ipv6, Skip, ipv4_header},
};

/// How many extension headers are looked through.
const MOST: usize = 6;

const HOP_BY_HOP: u8 = 0;
const ROUTING: u8 = 43;
const FRAGMENT: u8 = 44;
pub(crate) const DESTINATION_OPTIONS: u8 = 60;

/// A packet's IP header with what follows it up to the transport header, as if it were one.
#[repr(C)]
pub struct Chain {
    /// Where it begins.
    pub(crate) l3: usize,
    /// What it says.
    pub(crate) header: Header,
}

/// Reads the one at `l3`. It is this CPU's only one.
///
/// Not inlined, and into a map: the verifier follows each combination of headers to the program's end, unless it forgets what came
/// of them.
#[inline(never)]
pub(crate) fn read<F: Family>(ctx: &TcContext, l3: usize) -> Option<&'static Chain> {
    // SAFETY: the element is this CPU's own, and nobody holds on to it when another is read.
    let chain = unsafe { &mut *CHAIN.get_ptr_mut(0)? };
    chain.l3 = l3;
    F::chain(&Copied(ctx), l3, &mut chain.header).ok()?;
    Some(chain)
}

/// The IPv4 header at `offset`.
#[inline(always)]
pub(crate) fn ipv4_chain(
    packet: &(impl Load + ?Sized),
    offset: usize,
    header: &mut Header,
) -> Result<(), Skip> {
    *header = ipv4_header(packet, offset)?;
    Ok(())
}

/// The IPv6 header at `offset` and what follows, with the fragment's offset as IPv4 has it. Of a later fragment nothing is known
/// behind the fragment header.
#[inline(always)]
pub(crate) fn ipv6_chain(
    packet: &(impl Load + ?Sized),
    offset: usize,
    header: &mut Header,
) -> Result<(), Skip> {
    let first: Ipv6 = packet.load(offset).ok_or(Skip::Truncated)?;
    *header = first.header()?;
    for index in 0..=MOST {
        match header.protocol {
            HOP_BY_HOP if index == 0 => {}
            ROUTING | DESTINATION_OPTIONS if index < MOST => {}
            FRAGMENT if index < MOST && !header.is_fragmented => {}
            HOP_BY_HOP | ROUTING | DESTINATION_OPTIONS | FRAGMENT => break,
            _ => return Ok(()),
        }
        // No extension header is shorter.
        let extension: [u8; 8] = packet.load(offset + header.len).ok_or(Skip::Truncated)?;
        let [next, len, high, low, id @ ..] = extension;
        match header.protocol {
            FRAGMENT => {
                let field = u16::from_be_bytes([high, low]);
                header.is_fragmented = true;
                header.fragment = (field >> 3) | ((field & 1) << 13);
                header.id = id;
                header.len += 8;
            }
            // The destination is not the last one: `low` is how many are left.
            ROUTING if low != 0 => break,
            _ => header.len += (usize::from(len) + 1) * 8,
        }
        header.protocol = next;
        if header.is_later_fragment() {
            return Ok(());
        }
    }
    Err(Skip::ExtensionHeader)
}

#[cfg(test)]
mod tests {
    use super::ipv6_chain;
    use crate::parse::{Header, Skip};
    use proxy_common::{TCP, UDP};

    /// An IPv6 header, and these headers by their numbers.
    fn packet(headers: &[(u8, [u8; 8])], transport: u8) -> Vec<u8> {
        let mut bytes = vec![0x60, 0, 0, 0, 0, 0, 0, 64];
        bytes.extend([0xfd; 32]);
        let numbers = headers.iter().map(|(number, _)| *number).chain([transport]);
        let mut at = 6;
        for (number, index) in numbers.zip(0..) {
            bytes[at] = number;
            at = bytes.len();
            if let Some((_, header)) = headers.get(index) {
                bytes.extend(header);
                bytes.extend(vec![0; usize::from(header[1]) * 8 * usize::from(number != 44)]);
            }
        }
        bytes.extend([0; 8]);
        bytes
    }

    fn chain(headers: &[(u8, [u8; 8])], transport: u8) -> Result<Header, Skip> {
        chain_of(&packet(headers, transport))
    }

    fn chain_of(bytes: &[u8]) -> Result<Header, Skip> {
        let mut header = Header::default();
        ipv6_chain(bytes, 0, &mut header).map(|()| header)
    }

    const OPTIONS: [u8; 8] = [0, 0, 1, 4, 0, 0, 0, 0];

    #[test]
    fn what_follows_options_is_what_the_packet_carries() {
        for number in [0, 60] {
            let header = chain(&[(number, OPTIONS)], UDP).expect("a chain");
            assert_eq!((header.protocol, header.len, header.fragment), (UDP, 48, 0));
        }
        let long = [0, 3, 1, 4, 0, 0, 0, 0];
        let header = chain(&[(0, OPTIONS), (60, long), (60, OPTIONS)], TCP).expect("a chain");
        assert_eq!((header.protocol, header.len), (TCP, 40 + 8 + 32 + 8));
    }

    #[test]
    fn hop_by_hop_options_stand_first_or_not_at_all() {
        assert_eq!(
            chain(&[(60, OPTIONS), (0, OPTIONS)], UDP).err(),
            Some(Skip::ExtensionHeader)
        );
    }

    #[test]
    fn a_routing_header_counts_once_its_destination_is_the_last() {
        let left = |segments| [0, 0, 4, segments, 0, 0, 0, 0];
        assert!(chain(&[(43, left(0))], UDP).is_ok());
        assert_eq!(chain(&[(43, left(1))], UDP).err(), Some(Skip::ExtensionHeader));
    }

    #[test]
    fn six_headers_are_looked_through_and_no_more() {
        assert!(chain(&[(60, OPTIONS); 6], UDP).is_ok());
        assert_eq!(chain(&[(60, OPTIONS); 7], UDP).err(), Some(Skip::ExtensionHeader));
    }

    #[test]
    fn a_fragment_header_is_told_in_ipv4s_words() {
        let with = |high, low| [0, 0, high, low, 1, 2, 3, 4];
        let first = chain(&[(60, OPTIONS), (44, with(0, 1)), (60, OPTIONS)], UDP).expect("a chain");
        assert_eq!(
            (first.protocol, first.len, first.fragment, first.id),
            (UDP, 64, 0x2000, [1, 2, 3, 4])
        );
        assert!(!first.is_later_fragment());
        let whole = chain(&[(44, with(0, 0))], UDP).expect("a chain");
        assert_eq!((whole.protocol, whole.len, whole.fragment), (UDP, 48, 0));
        let later = chain(&[(44, with(0x05, 0xa9)), (60, OPTIONS)], UDP).expect("a chain");
        assert_eq!((later.protocol, later.len, later.fragment), (60, 48, 0x20b5));
        assert!(later.is_later_fragment());
    }

    #[test]
    fn nothing_is_looked_for_behind_encryption_and_authentication() {
        for number in [50, 51, 59, 135, 58, 132] {
            let header = chain(&[(60, OPTIONS)], number).expect("a chain");
            assert_eq!((header.protocol, header.len), (number, 48));
        }
    }

    #[test]
    fn a_chain_cut_anywhere_is_not_read_beyond_its_end() {
        let bytes = packet(
            &[(0, OPTIONS), (44, [0, 0, 0, 1, 0, 0, 0, 1]), (60, OPTIONS)],
            UDP,
        );
        for cut in 0..64 {
            assert_eq!(
                chain_of(&bytes[..cut]).err(),
                Some(Skip::Truncated),
                "{cut} bytes"
            );
        }
    }
}
