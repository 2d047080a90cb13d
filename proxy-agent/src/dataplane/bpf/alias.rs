//! Unequal shares as an alias table (Walker, Vose): what [`proxy_common::select::draw`] draws from. Pure, in whole numbers.

use std::net::IpAddr;

use proxy_common::{Address, Endpoint, Port, select::ALWAYS};

use crate::model::EndpointList;

/// What a slot's share of one pick in as many is counted in.
const WHOLE: u64 = 1 << 32;

/// A slot of a list, as the maps of either family hold it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Slot {
    address: IpAddr,
    port: u16,
    share: Share,
}

/// How much of its slot's share an endpoint keeps, and which slot gets the rest.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Share {
    threshold: u32,
    alias: u32,
}

impl Slot {
    /// What the map of its family holds; `None` in the other one.
    #[must_use]
    pub fn to_wire<A: Address>(self) -> Option<Endpoint<A>> {
        let Share { threshold, alias } = self.share;
        let endpoint = Endpoint::new(A::from_ip(self.address)?, Port::new(self.port));
        Some(endpoint.with_share(threshold, alias))
    }

    /// From what the map of its family holds.
    #[must_use]
    pub fn from_wire<A: Address>(endpoint: &Endpoint<A>) -> Self {
        Self {
            address: endpoint.address().to_ip(),
            port: endpoint.port().get(),
            share: Share::of(endpoint),
        }
    }
}

impl Share {
    const ALL: Self = Self {
        threshold: ALWAYS,
        alias: 0,
    };

    /// That of a slot.
    #[must_use]
    pub const fn of<A: Copy>(endpoint: &Endpoint<A>) -> Self {
        Self {
            threshold: endpoint.threshold(),
            alias: endpoint.alias(),
        }
    }

    /// In 1/2³².
    fn kept(self) -> u64 {
        if self.threshold == ALWAYS {
            WHOLE
        } else {
            self.threshold.into()
        }
    }
}

/// The slots of a list, in its order.
#[must_use]
pub fn slots(list: &EndpointList) -> Vec<Slot> {
    let weights: Vec<u16> = list.endpoints.iter().map(|endpoint| endpoint.weight).collect();
    let slot = |(endpoint, share): (&crate::model::Endpoint, Share)| Slot {
        address: endpoint.address,
        port: endpoint.port,
        share,
    };
    list.endpoints.iter().zip(table(&weights)).map(slot).collect()
}

/// What every slot keeps and leaves so that endpoint i is drawn with `weights[i]` / Σ `weights`, to within 2⁻³², and never if its
/// weight is 0. Equal weights, also if all are 0, leave nothing to anyone.
fn table(weights: &[u16]) -> Vec<Share> {
    let mut shares = vec![Share::ALL; weights.len()];
    if weights.iter().all(|weight| weights.first() == Some(weight)) {
        return shares;
    }
    // Every endpoint is owed its weight, and every slot has the average weight to give: both times the number of slots.
    let mut owed: Vec<u64> = weights
        .iter()
        .map(|weight| u64::from(*weight) * weights.len() as u64)
        .collect();
    let room: u64 = weights.iter().copied().map(u64::from).sum();
    let those = |wanted: fn(&u64, &u64) -> bool| -> Vec<usize> {
        (0..owed.len())
            .filter(|slot| wanted(&owed[*slot], &room))
            .collect()
    };
    let (mut small, mut large) = (those(u64::lt), those(u64::gt));
    while let (Some(poor), Some(rich)) = (small.pop(), large.pop()) {
        shares[poor] = Share {
            threshold: fraction(owed[poor], room),
            alias: u32::try_from(rich).unwrap_or(u32::MAX),
        };
        owed[rich] -= room - owed[poor];
        if owed[rich] < room {
            small.push(rich);
        } else if owed[rich] > room {
            large.push(rich);
        }
    }
    shares
}

/// `part` of `whole` in 1/2³², rounded down.
fn fraction(part: u64, whole: u64) -> u32 {
    let fraction = u128::from(part) * u128::from(WHOLE) / u128::from(whole);
    u32::try_from(fraction).unwrap_or(ALWAYS)
}

/// How often each slot's endpoint is drawn, in hundredths of a percent.
#[must_use]
pub fn hundredths_of_percent(shares: &[Share]) -> Vec<u32> {
    let whole = u128::from(WHOLE) * shares.len() as u128;
    let rounded = |drawn: u64| (u128::from(drawn) * 20_000 + whole) / (2 * whole);
    drawn(shares)
        .into_iter()
        .map(|drawn| u32::try_from(rounded(drawn)).unwrap_or(u32::MAX))
        .collect()
}

/// How often each slot's endpoint is drawn, in 1/2³² of a slot's share.
fn drawn(shares: &[Share]) -> Vec<u64> {
    let mut drawn: Vec<u64> = shares.iter().map(|share| share.kept()).collect();
    for share in shares {
        let alias = usize::try_from(share.alias).ok();
        if let Some(alias) = alias.and_then(|alias| drawn.get_mut(alias)) {
            *alias += WHOLE - share.kept();
        }
    }
    drawn
}

#[cfg(test)]
mod tests {
    use proptest::{prelude::*, test_runner::RngSeed};
    use proxy_common::select::draw;

    use super::*;

    #[test]
    fn equal_weights_leave_nothing_to_anyone() {
        for weights in [&[][..], &[5], &[0], &[1, 1, 1], &[0, 0], &[65_535; 9]] {
            let table = table(weights);
            assert_eq!(table, vec![Share::ALL; weights.len()], "{weights:?}");
        }
    }

    #[test]
    fn an_endpoint_of_average_weight_keeps_all_of_its_slot() {
        assert_eq!(table(&[1, 2, 3])[1], Share::ALL);
    }

    #[test]
    fn shares_are_shown_rounded() {
        let shown = |weights| hundredths_of_percent(&table(weights));
        assert_eq!(shown(&[1, 2, 7]), [1_000, 2_000, 7_000]);
        assert_eq!(shown(&[1, 1, 1]), [3_333, 3_333, 3_333]);
        assert_eq!(shown(&[0, 3, 0]), [0, 10_000, 0]);
        assert_eq!(shown(&[1, 65_535]), [0, 10_000]);
        assert_eq!(shown(&[]), [0_u32; 0]);
    }

    #[test]
    fn a_share_whose_slot_is_gone_from_the_maps_is_nobodys() {
        let mut shares = table(&[1, 9]);
        shares.truncate(1);
        assert_eq!(hundredths_of_percent(&shares), [2_000]);
    }

    #[test]
    fn draws_spread_evenly_over_all_random_numbers_meet_each_endpoint_as_often_as_its_weight_says() {
        let weights = [3, 0, 1, 40, 6];
        let table = table(&weights);
        let step = 4099_u32;
        let draws = u32::MAX / step + 1;
        let mut met = [0_u32; 5];
        for number in 0..draws {
            let draw = draw(number * step, 5).unwrap();
            let slot = draw.slot() as usize;
            let share = table[slot];
            let endpoint = if draw.is_kept(share.threshold) {
                slot
            } else {
                share.alias as usize
            };
            met[endpoint] += 1;
        }
        for (weight, met) in weights.into_iter().zip(met) {
            let expected = f64::from(draws) * f64::from(weight) / 50.0;
            assert!(
                (f64::from(met) - expected).abs() < 10.0,
                "{met} instead of {expected}"
            );
        }
        assert_eq!(met[1], 0);
    }

    fn weights() -> impl Strategy<Value = Vec<u16>> {
        let weight = prop_oneof![3 => 0..10_u16, 1 => Just(0), 1 => any::<u16>()];
        prop::collection::vec(weight, 1..200)
    }

    proptest! {
        #![proptest_config(ProptestConfig {
            cases: 2000, rng_seed: RngSeed::Fixed(1), failure_persistence: None, ..ProptestConfig::default()
        })]

        #[test]
        fn every_endpoint_is_drawn_with_its_weight_over_the_sum_of_weights(weights in weights()) {
            let table = table(&weights);
            prop_assert!(table.iter().all(|share| (share.alias as usize) < weights.len()));
            let (drawn, len) = (drawn(&table), weights.len() as u64);
            prop_assert_eq!(drawn.iter().sum::<u64>(), len * WHOLE);
            let sum: u64 = weights.iter().copied().map(u64::from).sum();
            for (weight, drawn) in weights.iter().copied().zip(drawn).filter(|_| sum > 0) {
                // Both times 2³² · len · sum.
                let (expected, seen) = (i128::from(WHOLE * len) * i128::from(weight), i128::from(drawn) * i128::from(sum));
                let tolerance = i128::from(len) * i128::from(sum) * 4;
                prop_assert!((expected - seen).abs() <= tolerance, "{} of {}: {}", weight, sum, drawn);
                prop_assert!(weight != 0 || drawn == 0);
            }
        }
    }
}
