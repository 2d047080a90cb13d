//! Source ports for flows whose tuple must be made unique.

use crate::wire::{wire_struct, wire_types};

/// How many random ports are tried before one is reserved although it is in use. With 90 % of the ports of an endpoint in use, all
/// fail once in 13 times; those before the four or five times that one is reserved, once in 25,000 or more.
pub const DRAWS: u32 = 24;

/// Ranges that a [`PortPool`] can hold: each costs every draw a comparison.
pub const MAX_RANGES: usize = 4;

wire_struct! {
    /// Ports `first..=last`, in the node's byte order.
    pub struct PortRange {
        first: u16,
        last: u16,
    }
}

wire_struct! {
    /// The ports that masqueraded flows may use: outside of the node's `ip_local_port_range`, its
    /// `ip_local_reserved_ports` and the NodePort range.
    pub struct PortPool {
        /// Ports in all ranges together.
        total: u32,
        /// Ranges in use.
        count: u32,
        ranges: [PortRange; MAX_RANGES],
    }
}

wire_types! { PortRange = 4, PortPool = 24 }

impl PortPool {
    /// Of the first [`MAX_RANGES`] ranges: give the largest first. Reversed ones are left out.
    #[must_use]
    pub fn new(ranges: impl IntoIterator<Item = core::ops::RangeInclusive<u16>>) -> Self {
        let mut pool = Self {
            total: 0,
            count: 0,
            ranges: [PortRange { first: 0, last: 0 }; MAX_RANGES],
        };
        let wanted = ranges.into_iter().filter(|range| !range.is_empty());
        for (slot, range) in pool.ranges.iter_mut().zip(wanted) {
            *slot = PortRange {
                first: *range.start(),
                last: *range.end(),
            };
            pool.total += slot.len();
            pool.count += 1;
        }
        pool
    }

    /// Whether a flow may keep `port`.
    #[must_use]
    #[inline(always)]
    pub fn contains(&self, port: u16) -> bool {
        self.ranges
            .iter()
            .take(self.count as usize)
            .any(|range| range.first <= port && port <= range.last)
    }

    /// The port that `random` draws, each port with the same chance. `None` from an empty pool.
    #[must_use]
    #[inline(always)]
    pub fn draw(&self, random: u32) -> Option<u16> {
        let mut index = crate::select::pick(random, self.total)?;
        for range in &self.ranges {
            if index < range.len() {
                #[expect(
                    clippy::cast_possible_truncation,
                    reason = "index is below the length of a range of u16"
                )]
                return Some(range.first.wrapping_add(index as u16));
            }
            index -= range.len();
        }
        None
    }
}

impl PortRange {
    /// 0 for the unused slots of a pool, whose `first` is 0.
    #[inline(always)]
    const fn len(self) -> u32 {
        if self.first == 0 {
            return 0;
        }
        (self.last as u32).wrapping_sub(self.first as u32).wrapping_add(1)
    }
}

#[cfg(test)]
mod tests {
    use super::PortPool;
    use proptest::prelude::*;
    use std::collections::BTreeSet;

    fn usual() -> PortPool {
        PortPool::new([1_024..=29_999, 61_000..=65_535])
    }

    #[test]
    fn the_usual_pool_has_about_33_000_ports() {
        assert_eq!(usual().total, 33_512);
    }

    #[test]
    fn the_first_and_the_last_port_of_each_range_can_be_drawn() {
        let pool = PortPool::new([10..=10, 20..=21]);
        let step = u32::MAX / 3 + 1;
        assert_eq!(
            [0, step, 2 * step].map(|random| pool.draw(random)),
            [Some(10), Some(20), Some(21)]
        );
    }

    #[test]
    fn an_empty_pool_draws_nothing() {
        assert_eq!(PortPool::new([]).draw(7), None);
    }

    proptest! {
        #[test]
        fn every_drawn_port_may_be_used(random: u32) {
            let port = usual().draw(random).expect("the pool has ports");
            prop_assert!(usual().contains(port));
            prop_assert!((1_024..30_000).contains(&port) || port >= 61_000);
        }

        #[test]
        fn thirty_one_draws_are_nearly_always_distinct(seed: [u32; 31]) {
            let distinct: BTreeSet<_> = seed.iter().filter_map(|random| usual().draw(*random)).collect();
            let inputs: BTreeSet<_> = seed.iter().collect();
            // Unequal random numbers can meet in one port, but independent draws have no attractor.
            prop_assume!(inputs.len() == 31);
            prop_assert!(distinct.len() >= 29);
        }
    }
}
