//! The Internet checksum's arithmetic (RFC 1071), incremental as in RFC 1624.
//!
//! Sums are of 16-bit words in memory order, the kernel's `__wsum` convention, so nothing here swaps bytes.

/// What a checksum changes by when the words `old` become `new`: for `bpf_l4_csum_replace` with size 0.
///
/// Equation 3 of RFC 1624, before the final fold: the sum of ~old and new.
#[must_use]
#[inline(always)]
pub fn diff<const N: usize>(old: [u32; N], new: [u32; N]) -> u32 {
    let mut sum = 0;
    for (old, new) in old.into_iter().zip(new) {
        sum += u64::from(!old) + u64::from(new);
    }
    fold32(sum)
}

/// Two changes as one.
#[must_use]
#[inline(always)]
pub const fn both(one: u32, other: u32) -> u32 {
    fold32(one as u64 + other as u64)
}

/// A header checksum after a change by `diff`.
#[must_use]
#[inline(always)]
pub const fn replace(check: [u8; 2], diff: u32) -> [u8; 2] {
    let sum = (!u16::from_ne_bytes(check)) as u64 + diff as u64;
    (!fold16(sum)).to_ne_bytes()
}

/// The checksum of what the words of memory sum up to.
#[must_use]
#[inline(always)]
pub const fn of_sum(sum: u32) -> [u8; 2] {
    (!fold16(sum as u64)).to_ne_bytes()
}

#[inline(always)]
const fn fold32(sum: u64) -> u32 {
    let sum = (sum & 0xffff_ffff) + (sum >> 32);
    #[expect(
        clippy::cast_possible_truncation,
        reason = "folded twice, a sum of few 32-bit words fits"
    )]
    let folded = ((sum & 0xffff_ffff) + (sum >> 32)) as u32;
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
    use super::{both, diff, of_sum, replace};
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
        let diff = diff(
            [u32::from_ne_bytes([0, 0, 0x55, 0x55])],
            [u32::from_ne_bytes([0, 0, 0x32, 0x85])],
        );
        assert_eq!(replace([0xdd, 0x2f], diff), [0x00, 0x00]);
    }

    #[test]
    fn the_checksum_of_a_sum_is_that_of_its_halves() {
        for bytes in [[0, 0, 0, 0], [1, 2, 3, 4], [0xff, 0xff, 0, 1], [0xff; 4]] {
            assert_eq!(of_sum(u32::from_ne_bytes(bytes)), checksum(&bytes), "{bytes:?}");
        }
    }

    proptest! {
        #[test]
        fn an_incremental_update_equals_the_checksum_from_scratch(
            header in proptest::collection::vec(1..=u8::MAX, 20), new in proptest::array::uniform8(any::<u8>()),
        ) {
            let words = |bytes: &[u8]| [0, 4].map(|at| u32::from_ne_bytes(bytes[at..at + 4].try_into().expect("four bytes")));
            let mut changed: Vec<u8> = header.clone();
            changed[12..].copy_from_slice(&new);
            let diff = diff(words(&header[12..]), words(&new));
            prop_assert_eq!(replace(checksum(&header), diff), checksum(&changed));
        }

        #[test]
        fn two_changes_as_one_are_the_one_after_the_other(check in any::<u16>(), one in 1..=u32::MAX, other in 1..=u32::MAX) {
            let check = check.to_ne_bytes();
            prop_assert_eq!(replace(check, both(one, other)), replace(replace(check, one), other));
        }
    }
}
