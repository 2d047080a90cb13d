//! Random clusters, and random changes to them.
//!
//! [`CLUSTERS`] clusters, a namespace each, live in one API server at a time and are compared at once: after they are created, and
//! [`CHANGES`] times after each of them has changed. With [`WORLDS`] such worlds these are 200 clusters with 20 changes each. The last
//! world's rules go through nf_tables, where that is slow; those of the others are legacy ones where there is such an iptables.
//!
//! Every chain of every table has to be the same, in both families. What clusters here do not have, because kube-proxy
//! itself is not sure about it or means something else than we do:
//! - an address and port that two Services claim, and endpoints that two slices of a Service claim: kube-proxy takes the one that
//!   comes first in a hash map;
//! - an address that a Service names twice, as external and as load balancer's IP: kube-proxy writes both rules, of which the
//!   second is never reached;
//! - more than a thousand endpoints, which [`crate::large`] has: kube-proxy leaves out comments then, and counts endpoints that it sends
//!   nothing to.

use std::{env, mem, ops::Range};

use harness::{apiserver::Write, iptables::Iptables};
use serde_json::json;

use crate::{cluster::Cluster, dice::Dice, twins::Twins};

const WORLDS: usize = 20;
const CLUSTERS: usize = 10;
const CHANGES: usize = 20;
/// After so many changes it is looked how much is written for the next one.
const MEASURED: usize = 5;
/// Names the seed of a run that is to be repeated.
const SEED: &str = "KUBE_PORTAL_SEED";

/// What the proxies know about the node, from one world to the next.
const FLAGS: [&[&str]; 5] = [
    &["--cluster-cidr=10.244.0.0/16,fd00:10:244::/48"],
    &["--cluster-cidr=10.244.0.0/16", "--masquerade-all"],
    &[],
    &[
        "--detect-local-mode=NodeCIDR",
        "--iptables-localhost-nodeports=false",
    ],
    &[
        "--detect-local-mode=InterfaceNamePrefix",
        "--pod-interface-name-prefix=veth",
        "--iptables-masquerade-bit=13",
    ],
];

#[test]
fn the_rules_of_random_clusters_are_those_of_kube_proxy() {
    let test = "the_rules_of_random_clusters_are_those_of_kube_proxy";
    compare(test, Iptables::usual(), 0..WORLDS - 1);
}

#[test]
fn through_nf_tables_the_rules_of_random_clusters_are_those_of_kube_proxy() {
    let test = "through_nf_tables_the_rules_of_random_clusters_are_those_of_kube_proxy";
    compare(test, Iptables::Nft, WORLDS - 1..WORLDS);
}

fn compare(test: &str, iptables: Iptables, numbers: Range<usize>) {
    let Some(twins) = Twins::build(test, iptables) else {
        return;
    };
    let seed = env::var(SEED).map_or(1, |seed| seed.parse().expect("the seed is a number"));
    let mut worlds = Worlds {
        twins,
        dice: Dice::new(seed + numbers.start as u64),
        next: 1,
        clusters: Vec::new(),
    };
    for number in numbers {
        let flags = FLAGS[number % FLAGS.len()];
        let world = format!("world {number} of {SEED}={seed} with {flags:?}");
        worlds.begin(flags, &world);
        for step in 1..=CHANGES {
            worlds.change(step, &world);
        }
        worlds.end(&world);
    }
}

struct Worlds {
    twins: Twins,
    dice: Dice,
    /// A number that no Service has had.
    next: u32,
    /// Of the present world.
    clusters: Vec<Cluster>,
}

impl Worlds {
    fn begin(&mut self, flags: &[&str], world: &str) {
        self.twins.start(flags).expect("two proxies");
        let mut writes = Vec::new();
        for number in 0..CLUSTERS {
            let namespace = format!("random-{number}");
            let (cluster, creation) = Cluster::random(&mut self.dice, &namespace, &mut self.next);
            let namespace = json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": namespace}});
            writes.push(Write::Apply(namespace));
            writes.extend(creation);
            self.clusters.push(cluster);
        }
        self.write(&writes, &format!("the beginning of {world}"));
    }

    fn change(&mut self, step: usize, world: &str) {
        let when = format!("step {step} of {world}");
        let clusters = self.clusters.iter_mut();
        let mut writes: Vec<Write> = clusters
            .flat_map(|cluster| cluster.change(&mut self.dice, &mut self.next))
            .collect();
        if self.dice.percent(20) {
            let zone = self.dice.one_of(&[None, Some("a"), Some("b")]);
            writes.push(Write::Apply(Twins::node(zone)));
        }
        self.write(&writes, &when);
        if step.is_multiple_of(MEASURED) {
            self.measure(&when);
        }
    }

    fn end(&mut self, world: &str) {
        let mut clusters = mem::take(&mut self.clusters);
        let writes: Vec<Write> = clusters.iter_mut().flat_map(Cluster::clear).collect();
        self.write(&writes, &format!("the end of {world}"));
    }

    #[track_caller]
    fn write(&mut self, writes: &[Write], when: &str) {
        let settled = self.twins.write(writes).and_then(|()| self.twins.settle());
        match settled {
            Ok(rules) => eprintln!("{rules} rules at {when}"),
            Err(error) => panic!("at {when}, after {writes:#?}: {error:#}"),
        }
    }

    fn measure(&mut self, when: &str) {
        let written = self.twins.written_for_one_endpoint();
        let [kube_proxys, ours] = written.expect("both follow one endpoint");
        eprintln!("for one endpoint kube-proxy writes {kube_proxys} rules, we {ours}");
        assert!(
            ours <= kube_proxys,
            "for one endpoint we write {ours} rules, kube-proxy {kube_proxys}, at {when}"
        );
    }
}
