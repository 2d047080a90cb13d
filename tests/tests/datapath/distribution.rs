//! Every endpoint gets the same share of the flows, with the random numbers of the running kernel.

use std::collections::BTreeMap;

use harness::bpf::Hook;

use crate::{Variant, scene::Scene};

for_each_variant!(three_endpoints_get_equal_shares, seven_endpoints_get_equal_shares);

const FLOWS: u16 = 10_000;

/// Fair picks miss one threshold once in a thousand times, and all of these once in 10⁹.
const TRIALS: u8 = 3;

fn three_endpoints_get_equal_shares(variant: Variant) {
    // The 0.999 quantile of χ² with two degrees of freedom.
    check(variant, 3, 13.816);
}

fn seven_endpoints_get_equal_shares(variant: Variant) {
    // The 0.999 quantile of χ² with six degrees of freedom.
    check(variant, 7, 22.458);
}

fn check(variant: Variant, endpoints: u8, critical: f64) {
    let mut scene = Scene::new(variant, &[variant.service(1..=endpoints)]);
    let unfair = |trial| {
        let shares = shares(&mut scene, variant, trial);
        (chi_squared(&shares, endpoints) > critical).then_some(shares)
    };
    let trials: Vec<_> = (1..=TRIALS).map_while(unfair).collect();
    assert!(
        trials.len() < TRIALS.into(),
        "χ² is above {critical} each time: {trials:?}"
    );
}

/// How many flows of client `trial` each endpoint gets.
fn shares(scene: &mut Scene, variant: Variant, trial: u8) -> BTreeMap<std::net::IpAddr, u32> {
    let mut shares = BTreeMap::new();
    for port in 20_000..20_000 + FLOWS {
        let opening = variant.opening(variant.client(trial, port), variant.vip(1));
        *shares
            .entry(scene.send(Hook::Ingress, &opening).destination.ip())
            .or_default() += 1;
    }
    shares
}

fn chi_squared(shares: &BTreeMap<std::net::IpAddr, u32>, endpoints: u8) -> f64 {
    let expected = f64::from(FLOWS) / f64::from(endpoints);
    let seen: f64 = shares
        .values()
        .map(|count| (f64::from(*count) - expected).powi(2) / expected)
        .sum();
    let missing = usize::from(endpoints) - shares.len();
    seen + (0..missing).map(|_| expected).sum::<f64>()
}
