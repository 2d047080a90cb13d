//! Random cases, others in every run, that a seed repeats.

use std::{env, fmt::Debug, time::SystemTime};

use proptest::{
    strategy::Strategy,
    test_runner::{Config, RngAlgorithm, TestRng, TestRunner},
};

/// A number: the same one gives the same cases.
const SEED: &str = "KUBE_PORTAL_SEED";

/// Runs `test` for so many values, and says how to repeat it if one of them fails.
#[track_caller]
pub(crate) fn run<S: Strategy<Value: Debug>>(cases: u32, values: &S, test: impl Fn(S::Value)) {
    let config = Config {
        cases,
        failure_persistence: None,
        ..Config::default()
    };
    let seed = seed();
    let run = TestRunner::new_with_rng(config, rng(seed)).run(values, |value| {
        test(value);
        Ok(())
    });
    if let Err(failure) = run {
        panic!("{failure}\n{SEED}={seed} repeats it");
    }
}

/// That of the environment, else the time: nobody chose the cases.
fn seed() -> u64 {
    match env::var(SEED) {
        Ok(text) => text
            .parse()
            .unwrap_or_else(|error| panic!("{SEED}={text}: {error}; give a whole number")),
        Err(_) => {
            let now = SystemTime::UNIX_EPOCH.elapsed().unwrap();
            now.as_secs() << 20 | u64::from(now.subsec_micros())
        }
    }
}

fn rng(seed: u64) -> TestRng {
    let mut bytes = [0; 32];
    bytes[..8].copy_from_slice(&seed.to_le_bytes());
    TestRng::from_seed(RngAlgorithm::ChaCha, &bytes)
}

/// The values of a run, in their order.
#[cfg(test)]
fn values(seed: u64) -> Vec<u64> {
    use proptest::{arbitrary::any, strategy::ValueTree as _};
    let mut runner = TestRunner::new_with_rng(Config::default(), rng(seed));
    (0..10)
        .map(|_| any::<u64>().new_tree(&mut runner).unwrap().current())
        .collect()
}

#[test]
fn a_seed_repeats_its_cases_and_another_has_others() {
    assert_eq!(values(7), values(7));
    assert_ne!(values(7), values(8));
}
