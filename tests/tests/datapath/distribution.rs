//! Every endpoint gets its share of the flows, with the random numbers of the running kernel.

use std::net::IpAddr;

use harness::bpf::Hook;

use crate::{Variant, scene::Scene};

for_each_variant!(
    three_endpoints_get_equal_shares,
    seven_endpoints_get_equal_shares,
    endpoints_get_shares_by_their_weights,
    an_endpoint_of_weight_0_gets_nothing,
    weights_that_are_all_0_are_equal,
);

const FLOWS: u16 = 10_000;

/// Fair picks miss one threshold once in a thousand times, and all of these once in 10⁹.
const TRIALS: u8 = 3;

fn three_endpoints_get_equal_shares(variant: Variant) {
    check(variant, &[1; 3], &[1; 3]);
}

fn seven_endpoints_get_equal_shares(variant: Variant) {
    check(variant, &[1; 7], &[1; 7]);
}

fn endpoints_get_shares_by_their_weights(variant: Variant) {
    check(variant, &[1, 2, 7], &[1, 2, 7]);
    check(variant, &[40, 1, 3, 3, 20, 5, 9], &[40, 1, 3, 3, 20, 5, 9]);
}

fn an_endpoint_of_weight_0_gets_nothing(variant: Variant) {
    check(variant, &[1, 0, 3, 0], &[1, 0, 3, 0]);
}

fn weights_that_are_all_0_are_equal(variant: Variant) {
    check(variant, &[0; 3], &[1; 3]);
}

/// The 0.999 quantile of χ².
fn critical(degrees_of_freedom: usize) -> f64 {
    match degrees_of_freedom {
        1 => 10.828,
        2 => 13.816,
        6 => 22.458,
        other => panic!("look it up for {other} degrees of freedom"),
    }
}

/// Endpoints that are given `weights` get flows in the proportion of `expected`.
fn check(variant: Variant, weights: &[u16], expected: &[u16]) {
    let mut scene = Scene::new(variant, &[variant.weighted_service(weights)]);
    let drawn = expected.iter().filter(|weight| **weight > 0).count();
    let critical = critical(drawn - 1);
    let unfair = |trial| {
        let shares = shares(&mut scene, variant, (trial, expected.len()));
        for (share, weight) in shares.iter().zip(expected) {
            assert!(*weight > 0 || *share == 0, "weight 0 gets flows: {shares:?}");
        }
        (chi_squared(&shares, expected) > critical).then_some(shares)
    };
    let trials: Vec<_> = (1..=TRIALS).map_while(unfair).collect();
    assert!(
        trials.len() < TRIALS.into(),
        "χ² is above {critical} each time: {trials:?}"
    );
}

/// How many flows of client `trial` each of so many endpoints gets.
fn shares(scene: &mut Scene, variant: Variant, (trial, endpoints): (u8, usize)) -> Vec<u32> {
    let addresses: Vec<IpAddr> = (1..)
        .take(endpoints)
        .map(|number| variant.endpoint(number))
        .collect();
    let mut shares = vec![0; endpoints];
    for port in 20_000..20_000 + FLOWS {
        let opening = variant.opening(variant.client(trial, port), variant.vip(1));
        let endpoint = scene.send(Hook::Ingress, &opening).destination.ip();
        let index = addresses.iter().position(|address| *address == endpoint);
        shares[index.expect("one of the endpoints")] += 1;
    }
    shares
}

fn chi_squared(shares: &[u32], weights: &[u16]) -> f64 {
    let sum: f64 = weights.iter().copied().map(f64::from).sum();
    let drawn = shares.iter().zip(weights).filter(|(_, weight)| **weight > 0);
    drawn
        .map(|(share, weight)| {
            let expected = f64::from(FLOWS) * f64::from(*weight) / sum;
            (f64::from(*share) - expected).powi(2) / expected
        })
        .sum()
}
