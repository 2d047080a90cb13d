//! The Internet checksum's arithmetic (RFC 1071), incremental as in RFC 1624.
//!
//! Sums are of 16-bit words in memory order, the kernel's `__wsum` convention, so nothing here swaps bytes.

/// What a checksum changes by when `old` is replaced by `new`: for `bpf_l4_csum_replace` with size 0.
///
/// Both of even length. Equation 3 of RFC 1624, before the final fold: the sum of ~old and new.
#[must_use]
#[inline(always)]
pub fn diff(old: &[u8], new: &[u8]) -> u32 {
    fold32(sum(old, 0xffff) + sum(new, 0))
}

/// The checksum field of a header in which `old` was replaced by `new`.
#[must_use]
#[inline(always)]
pub fn replace(check: [u8; 2], old: &[u8], new: &[u8]) -> [u8; 2] {
    let sum = u64::from(!u16::from_ne_bytes(check)) + u64::from(diff(old, new));
    (!fold16(sum)).to_ne_bytes()
}

#[inline(always)]
fn sum(bytes: &[u8], flip: u16) -> u64 {
    let mut sum = 0;
    let mut at = 0;
    while at + 1 < bytes.len() {
        sum += u64::from(u16::from_ne_bytes([bytes[at], bytes[at + 1]]) ^ flip);
        at += 2;
    }
    sum
}

#[inline(always)]
const fn fold32(sum: u64) -> u32 {
    let sum = (sum & 0xffff_ffff) + (sum >> 32);
    #[expect(clippy::cast_possible_truncation, reason = "a sum of few 16-bit words fits")]
    let folded = sum as u32;
    folded
}

#[inline(always)]
const fn fold16(sum: u64) -> u16 {
    let sum = (sum & 0xffff) + (sum >> 16);
    let sum = (sum & 0xffff) + (sum >> 16);
    #[expect(clippy::cast_possible_truncation, reason = "folded twice, a 33-bit sum fits")]
    let folded = ((sum & 0xffff) + (sum >> 16)) as u16;
    folded
}

#[cfg(test)]
mod tests {
    use super::{diff, replace};
    use proptest::prelude::*;
    use std::vec::Vec;

    /// The checksum from scratch, written the way RFC 1071 tells it.
    fn checksum(bytes: &[u8]) -> [u8; 2] {
        let mut sum: u32 = bytes
            .chunks(2)
            .map(|word| u32::from(u16::from_be_bytes([word[0], word[1]])))
            .sum();
        while sum > 0xffff {
            sum = (sum & 0xffff) + (sum >> 16);
        }
        (!u16::try_from(sum).expect("folded")).to_be_bytes()
    }

    #[test]
    fn the_example_of_rfc_1624_gives_zero_not_minus_zero() {
        assert_eq!(replace([0xdd, 0x2f], &[0x55, 0x55], &[0x32, 0x85]), [0x00, 0x00]);
    }

    #[test]
    fn replacing_by_the_same_changes_nothing() {
        assert_eq!(diff(&[1, 2, 3, 4], &[1, 2, 3, 4]) % 0xffff, 0);
    }

    proptest! {
        #[test]
        fn an_incremental_update_equals_the_checksum_from_scratch(
            header in proptest::collection::vec(any::<u8>(), 20), new in proptest::array::uniform4(any::<u8>()),
        ) {
            // A header of zeros only has two right checksums; no real one is.
            prop_assume!(header[0] != 0 && new != [0; 4]);
            let mut changed: Vec<u8> = header.clone();
            changed[16..].copy_from_slice(&new);
            prop_assert_eq!(replace(checksum(&header), &header[16..], &new), checksum(&changed));
        }
    }
}
