//! Which endpoint a new flow gets.
//!
//! The law is that of the iptables cascade: rule i of n is taken with p = wᵢ / Σ wⱼ over j ≥ i, so that endpoint i gets wᵢ / Σ w.
//! Here one draw does it, by an alias table (Walker, Vose): each of n slots has a share of 1/n, keeps a part of it for its own
//! endpoint and leaves the rest to one other slot. With equal weights each keeps all.

/// The threshold of a slot that keeps all of its share.
pub const ALWAYS: u32 = u32::MAX;

/// The slot that `random` picks out of `len` equal ones: multiply and shift, so each slot's share is 1/len to within
/// len/2³². `None` if there is none to pick.
#[must_use]
#[inline(always)]
pub const fn pick(random: u32, len: u32) -> Option<u32> {
    match draw(random, len) {
        Some(draw) => Some(draw.slot),
        None => None,
    }
}

/// A slot, and where in the slot's stretch of the random numbers the draw has fallen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Draw {
    slot: u32,
    fraction: u32,
}

/// Draws one of `len` slots: the product of `random` and `len` has the slot in its upper and the fraction in its lower half.
/// Two draws of one slot have fractions that are at least `len` apart, so what a slot keeps is exact to `len`/2³² of it.
#[must_use]
#[inline(always)]
pub const fn draw(random: u32, len: u32) -> Option<Draw> {
    if len == 0 {
        return None;
    }
    let product = random as u64 * len as u64;
    #[expect(clippy::cast_possible_truncation, reason = "the lower half is what is wanted")]
    let fraction = product as u32;
    Some(Draw {
        slot: (product >> 32) as u32,
        fraction,
    })
}

impl Draw {
    /// The slot.
    #[must_use]
    #[inline(always)]
    pub const fn slot(&self) -> u32 {
        self.slot
    }

    /// Whether a slot with this threshold keeps the draw; else its alias gets it. 0 keeps none, [`ALWAYS`] keeps all.
    #[must_use]
    #[inline(always)]
    pub const fn is_kept(&self, threshold: u32) -> bool {
        self.fraction < threshold || threshold == ALWAYS
    }
}

#[cfg(test)]
mod tests {
    use super::{ALWAYS, draw, pick};
    use proptest::prelude::*;

    #[test]
    fn an_empty_list_has_nothing_to_pick() {
        assert_eq!(pick(12345, 0), None);
        assert_eq!(draw(12345, 0), None);
    }

    #[test]
    fn each_slot_owns_an_equal_stretch_of_the_random_numbers() {
        let third = u32::MAX / 3;
        assert_eq!(
            [pick(0, 3), pick(third, 3), pick(third + 1, 3), pick(u32::MAX, 3)],
            [Some(0), Some(0), Some(1), Some(2)]
        );
    }

    #[test]
    fn a_slot_keeps_the_lower_part_of_its_stretch() {
        let quarter = 1 << 30;
        let kept = |random, threshold| draw(random, 2).expect("two slots").is_kept(threshold);
        // Half of the random numbers are slot 0's; with a threshold of a half it keeps the first quarter of them all.
        assert!(kept(0, 1 << 31) && kept(quarter - 1, 1 << 31));
        assert!(!kept(quarter, 1 << 31) && !kept(2 * quarter - 1, 1 << 31));
        assert!(kept(2 * quarter, 1 << 31) && !kept(u32::MAX, 1 << 31));
    }

    #[test]
    fn the_highest_fraction_is_kept_too_where_all_is_kept() {
        let draw = draw(u32::MAX, 1).expect("a slot");
        assert!(draw.is_kept(ALWAYS) && !draw.is_kept(ALWAYS - 1));
    }

    proptest! {
        #[test]
        fn a_pick_is_always_a_slot_of_the_list(random: u32, len in 1..=u32::MAX) {
            prop_assert!(pick(random, len).expect("the list is not empty") < len);
        }

        #[test]
        fn threshold_0_keeps_nothing_and_the_highest_keeps_everything(random: u32, len in 1..=u32::MAX) {
            for random in [0, random, u32::MAX] {
                let draw = draw(random, len).expect("the list is not empty");
                prop_assert!(!draw.is_kept(0));
                prop_assert!(draw.is_kept(ALWAYS));
            }
        }
    }
}
