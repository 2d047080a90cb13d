//! Which endpoint a new flow gets.

/// The slot that `random` picks out of `len` equal ones: multiply and shift, so each slot's share is 1/len to within
/// len/2³². `None` if there is none to pick.
///
/// This is the law of the iptables cascade with equal weights: 1/n, then 1/(n-1) of the rest, …, then all of the rest.
#[must_use]
#[inline(always)]
pub const fn pick(random: u32, len: u32) -> Option<u32> {
    if len == 0 {
        return None;
    }
    Some(((random as u64 * len as u64) >> 32) as u32)
}

#[cfg(test)]
mod tests {
    use super::pick;
    use proptest::prelude::*;

    #[test]
    fn an_empty_list_has_nothing_to_pick() {
        assert_eq!(pick(12345, 0), None);
    }

    #[test]
    fn each_slot_owns_an_equal_stretch_of_the_random_numbers() {
        let third = u32::MAX / 3;
        assert_eq!(
            [pick(0, 3), pick(third, 3), pick(third + 1, 3), pick(u32::MAX, 3)],
            [Some(0), Some(0), Some(1), Some(2)]
        );
    }

    proptest! {
        #[test]
        fn a_pick_is_always_a_slot_of_the_list(random: u32, len in 1..=u32::MAX) {
            prop_assert!(pick(random, len).expect("the list is not empty") < len);
        }
    }
}
