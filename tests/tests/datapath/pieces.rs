//! Packets in pieces, and with more headers: made from whole plain ones, and made such again.

use harness::bpf::Packet;
use proxy_agent::model::Family;

use crate::Variant;

/// Bytes of an IPv6 header.
const IPV6: usize = 40;
/// The id of [`Packet`]s in IPv4.
const ID: [u8; 2] = [0x12, 0x34];

/// The packet in fragments that carry so many bytes each, a multiple of 8.
pub(crate) fn fragments(variant: Variant, packet: &Packet, each: usize) -> Vec<Vec<u8>> {
    let bytes = packet.bytes(variant.layer);
    let (headers, carried) = bytes.split_at(carried_at(variant, &bytes));
    let last = carried.len().div_ceil(each) - 1;
    carried
        .chunks(each)
        .enumerate()
        .map(|(index, piece)| {
            let offset = u16::try_from(index * each / 8).unwrap();
            fragment(variant, headers, offset, index < last, piece)
        })
        .collect()
}

/// One fragment; its offset in units of 8 bytes.
pub(crate) fn fragment(variant: Variant, headers: &[u8], offset: u16, more: bool, piece: &[u8]) -> Vec<u8> {
    let (l3, mut bytes) = (variant.l3(), headers.to_vec());
    match variant.family {
        Family::V4 => {
            let field = offset | (u16::from(more) << 13);
            bytes[l3 + 6..l3 + 8].copy_from_slice(&field.to_be_bytes());
            let len = u16::try_from(headers.len() - l3 + piece.len()).unwrap();
            bytes[l3 + 2..l3 + 4].copy_from_slice(&len.to_be_bytes());
            sum_header(&mut bytes[l3..]);
            bytes.extend(piece);
            bytes
        }
        Family::V6 => {
            let [high, low] = ((offset << 3) | u16::from(more)).to_be_bytes();
            bytes.extend(piece);
            extended(
                variant,
                &bytes,
                &[(44, vec![0, 0, high, low, 9, 9, ID[0], ID[1]])],
            )
        }
    }
}

/// The whole packet that fragments, in order, are made of; its checksums are looked at.
pub(crate) fn whole(variant: Variant, fragments: &[Vec<u8>]) -> Packet {
    let l3 = variant.l3();
    let mut bytes: Vec<u8> = Vec::new();
    for fragment in fragments {
        let mut plain = fragment.clone();
        let offset = match variant.family {
            Family::V4 => {
                let summed = fragment[l3 + 10..l3 + 12].to_vec();
                sum_header(&mut plain[l3..]);
                assert_eq!(plain[l3 + 10..l3 + 12], summed, "the header's checksum");
                u16::from_be_bytes([fragment[l3 + 6], fragment[l3 + 7]]) & 0x1fff
            }
            Family::V6 => {
                plain = plainer(variant, fragment, &[8]);
                u16::from_be_bytes([fragment[l3 + IPV6 + 2], fragment[l3 + IPV6 + 3]]) >> 3
            }
        };
        let at = carried_at(variant, &plain);
        if bytes.is_empty() {
            bytes.extend(&plain[..at]);
        }
        assert_eq!(bytes[l3 + 12..at], plain[l3 + 12..at], "all have the same ends");
        assert_eq!(bytes.len() - at, usize::from(offset) * 8, "in order");
        bytes.extend(&plain[at..]);
    }
    let len = bytes.len() - l3;
    match variant.family {
        Family::V4 => {
            bytes[l3 + 6..l3 + 8].copy_from_slice(&[0x40, 0]);
            let field = u16::try_from(len).unwrap().to_be_bytes();
            bytes[l3 + 2..l3 + 4].copy_from_slice(&field);
            sum_header(&mut bytes[l3..]);
        }
        Family::V6 => {
            let field = u16::try_from(len - IPV6).unwrap().to_be_bytes();
            bytes[l3 + 4..l3 + 6].copy_from_slice(&field);
        }
    }
    Packet::parse(&bytes, variant.layer)
}

/// An IPv6 packet with these headers behind its IP header; what each says of the next one is filled in.
pub(crate) fn extended(variant: Variant, bytes: &[u8], headers: &[(u8, Vec<u8>)]) -> Vec<u8> {
    let (at, l3) = (variant.l3() + IPV6, variant.l3());
    let mut extended = bytes[..at].to_vec();
    let (mut next_at, carried) = (l3 + 6, bytes[l3 + 6]);
    for (number, header) in headers {
        extended[next_at] = *number;
        next_at = extended.len();
        extended.extend(header);
    }
    extended[next_at] = carried;
    extended.extend(&bytes[at..]);
    set_payload_len(&mut extended, l3);
    extended
}

/// The same without its headers, which have these lengths.
pub(crate) fn plainer(variant: Variant, bytes: &[u8], lens: &[usize]) -> Vec<u8> {
    let (at, l3) = (variant.l3() + IPV6, variant.l3());
    let last = at + lens[..lens.len() - 1].iter().sum::<usize>();
    let mut plain = bytes[..at].to_vec();
    plain[l3 + 6] = bytes[last];
    plain.extend(&bytes[at + lens.iter().sum::<usize>()..]);
    set_payload_len(&mut plain, l3);
    plain
}

fn set_payload_len(bytes: &mut [u8], l3: usize) {
    let len = u16::try_from(bytes.len() - l3 - IPV6).unwrap();
    bytes[l3 + 4..l3 + 6].copy_from_slice(&len.to_be_bytes());
}

/// Where what the packet carries begins.
pub(crate) fn carried_at(variant: Variant, bytes: &[u8]) -> usize {
    variant.l3()
        + match variant.family {
            Family::V4 => usize::from(bytes[variant.l3()] & 0x0f) * 4,
            Family::V6 => IPV6,
        }
}

/// Computes an IPv4 header's checksum anew.
fn sum_header(header: &mut [u8]) {
    let len = usize::from(header[0] & 0x0f) * 4;
    header[10..12].copy_from_slice(&[0, 0]);
    let sum: u32 = header[..len]
        .chunks(2)
        .map(|word| u32::from(u16::from_be_bytes([word[0], word[1]])))
        .sum();
    let folded = (sum & 0xffff) + (sum >> 16);
    let check = !u16::try_from((folded & 0xffff) + (folded >> 16)).unwrap();
    header[10..12].copy_from_slice(&check.to_be_bytes());
}
