//! A cluster that gets more than a thousand endpoints, and fewer again: beyond them the rules that choose an endpoint have no comments.
//!
//! kube-proxy writes the other Services' rules anew at its next full pass only, we at once, and has stale chains until one that is a
//! while after the last that looked for them. What a Node says about its zone makes it do one.

use harness::{
    apiserver::{
        Write,
        objects::{endpoints, service, slice},
    },
    iptables::Iptables,
};
use serde_json::{Value, json};

use crate::{FAMILIES, twins::Twins};

/// kube-proxy's: more are many.
const MANY: usize = 1_000;
const NAMESPACE: &str = "large";

#[test]
fn the_rules_of_more_than_a_thousand_endpoints_are_those_of_kube_proxy_and_have_no_comments() {
    let test = "the_rules_of_more_than_a_thousand_endpoints_are_those_of_kube_proxy_and_have_no_comments";
    let Some(mut twins) = Twins::build(test, Iptables::usual()) else {
        return;
    };
    // In a large cluster kube-proxy looks for stale chains no more often than this.
    twins.start(&["--iptables-sync-period=1s"]).expect("two proxies");
    twins.write(&services()).expect("two Services");
    twins.settle().expect("the same rules");
    let others = twins.rules(0).expect("rules").count_with(FAMILIES[0], "-j DNAT");
    let most = MANY - others;
    for (count, is_large) in [(most, false), (most + 1, true), (most, false)] {
        let writes = [
            slice_of("big", &addresses(count)),
            slice_of("little", &["10.9.9.9".to_owned()]),
        ];
        twins.write(&writes).expect("a slice");
        let last = format!("--to-destination {}:", address(most));
        twins
            .wait_for_rule(&[&last], is_large)
            .expect("both follow the slice");
        let rules = twins
            .settle_with_zones()
            .unwrap_or_else(|error| panic!("with {count} endpoints: {error:#}"));
        assert!(rules > 2 * count, "{rules} rules for {count} endpoints");
        for name in ["big", "little"] {
            let commented = twins
                .rules(1)
                .expect("rules")
                .has(FAMILIES[0], &[&format!("{NAMESPACE}/{name} -> ")]);
            assert_ne!(commented, is_large, "{name} with {count} endpoints");
        }
    }
}

fn services() -> Vec<Write> {
    let namespace = json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": NAMESPACE}});
    let of = |(name, address): (&str, &str)| {
        service(
            NAMESPACE,
            name,
            &json!({"clusterIP": address, "ports": [{"port": 80}]}),
        )
    };
    let services = [("big", "10.96.0.50"), ("little", "10.96.0.51")].map(of);
    let little = slice_of("little", &["10.9.9.9".to_owned()]);
    let objects = [namespace].into_iter().chain(services);
    objects.map(Write::Apply).chain([little]).collect()
}

fn slice_of(service: &str, addresses: &[String]) -> Write {
    let addresses: Vec<&str> = addresses.iter().map(String::as_str).collect();
    let ports: Value = json!([{"port": 80}]);
    Write::Apply(slice(NAMESPACE, service, service, &ports, &endpoints(&addresses)))
}

fn addresses(count: usize) -> Vec<String> {
    (0..count).map(address).collect()
}

fn address(number: usize) -> String {
    format!("10.9.{}.{}", number / 250, number % 250 + 1)
}
