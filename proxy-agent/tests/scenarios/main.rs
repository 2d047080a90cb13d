//! From manifests to what a node shall do and what its BPF maps hold, in words: each `NAME.yaml` beside the `NAME.txt` that it
//! leads to, over maps of which one call in ten fails. At the end everything is deleted, and nothing may be left.
//!
//! `UPDATE_GOLDEN=1` writes the `.txt` files instead of comparing them. Every node is `here`, and its pods are those in the pod
//! CIDR of its Node object, if there is one.

mod agent;
mod desired;
mod maps;
mod read;

use std::{env, fs, path::Path};

use proxy_agent::model::Object;

use self::agent::Agent;

/// The faults are drawn from each of these.
const SEEDS: std::ops::Range<u64> = 0..10;

/// A test for each scenario, so that each fails on its own.
macro_rules! scenarios {
    ($($name:ident)*) => {
        $(#[test]
        fn $name() {
            scenario(stringify!($name));
        })*

        const ALL: &[&str] = &[$(stringify!($name)),*];
    };
}

scenarios! {
    clients_that_are_no_pods
    cluster_ip_with_four_endpoints
    cluster_ip_with_two_endpoints
    conflicts
    dual_stack
    external_policy_local
    no_endpoints
    node_port_with_three_endpoints
    sctp
    session_affinity_and_node_ports
    source_ranges
    terminating_only
    topology_hints
    weights
    what_is_not_served
}

fn scenario(name: &str) {
    let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/scenarios");
    let objects = read::objects(&dir.join(name).with_extension("yaml"));
    let golden = dir.join(name).with_extension("txt");
    let mut failures = 0;
    for seed in SEEDS {
        let mut agent = Agent::new(seed);
        agent.replace(&objects);
        if seed == SEEDS.start && env::var_os("UPDATE_GOLDEN").is_some() {
            fs::write(&golden, agent.in_words()).expect("the golden file can be written");
        }
        check(&golden, &agent.in_words());
        delete_all(&mut agent, &objects, seed);
        let left = agent.in_words();
        assert!(
            left.is_empty(),
            "with faults from seed {seed} this is left:\n{left}"
        );
        failures += agent.failures();
    }
    assert!(failures > 0, "faults have to make some pass fail");
}

/// At once, or object by object.
fn delete_all(agent: &mut Agent, objects: &[Object], seed: u64) {
    if seed.is_multiple_of(2) {
        return agent.replace(&[]);
    }
    for count in (0..objects.len()).rev() {
        agent.replace(&objects[..count]);
    }
}

fn check(golden: &Path, found: &str) {
    let wanted = fs::read_to_string(golden).unwrap_or_default();
    assert!(
        found == wanted,
        "{} says\n{wanted}\nbut it is\n{found}\nIf that is right, run the test with UPDATE_GOLDEN=1.",
        golden.display()
    );
}

#[test]
fn every_manifest_is_a_scenario() {
    let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/scenarios");
    let files = fs::read_dir(dir).expect("the scenarios");
    let paths = files.map(|file| file.expect("a file").path());
    let yaml = paths.filter(|path| path.extension().is_some_and(|extension| extension == "yaml"));
    let mut names: Vec<String> = yaml
        .filter_map(|path| Some(path.file_stem()?.to_str()?.to_owned()))
        .collect();
    names.sort();
    assert_eq!(names, ALL);
}
