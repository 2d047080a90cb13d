//! Which endpoints a Service port has, and which of them its clients may use.
//!
//! ```text
//! slices ──join──▶ [Candidate] ──usable(scope)──▶ [Endpoint]
//! ```

use std::{collections::BTreeMap, net::IpAddr};

use super::{
    Endpoint, EndpointList, EndpointSlice, Family, Scope, ServicePortId, SliceEndpoint, Weights,
    topology::{Here, Preference},
};

/// An endpoint of one Service port, usable or not.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Candidate<'a> {
    address: IpAddr,
    port: u16,
    local: bool,
    source: &'a SliceEndpoint,
}

impl Candidate<'_> {
    fn is_ready(&self) -> bool {
        self.source.ready
    }

    /// Leaving, but still answering: used only when nothing is ready.
    fn is_fallback(&self) -> bool {
        self.source.serving && self.source.terminating
    }

    fn in_scope(&self, scope: Scope) -> bool {
        scope == Scope::Cluster || self.local
    }

    fn endpoint(&self, weights: &Weights) -> Endpoint {
        Endpoint {
            address: self.address,
            port: self.port,
            weight: weights.weight_of(self.source),
            local: self.local,
        }
    }
}

/// The endpoints that the slices of a Service give to one of its ports, in ascending order, without duplicates.
///
/// `slices` are those of the port's Service in the order of their names. Slices of one Service may have different ports. Of several
/// entries for one address and port the last that does not terminate counts, else the first: kube-proxy's rule, but it meets the
/// slices in any order.
pub(super) fn join<'a>(
    slices: &[&'a EndpointSlice],
    family: Family,
    port: &ServicePortId,
    here: Here<'_>,
) -> Vec<Candidate<'a>> {
    let mut found: BTreeMap<(IpAddr, u16), Candidate<'a>> = BTreeMap::new();
    for slice in slices.iter().filter(|slice| slice.family == family) {
        let matching = slice
            .ports
            .iter()
            .filter(|at| at.name == port.port && at.protocol == port.protocol);
        for target in matching {
            for source in &slice.endpoints {
                add(&mut found, candidate(source, target.port, here));
            }
        }
    }
    found.into_values().collect()
}

fn candidate<'a>(source: &'a SliceEndpoint, port: u16, here: Here<'_>) -> Candidate<'a> {
    let local = source.node_name.as_deref() == Some(here.node);
    Candidate {
        address: source.address,
        port,
        local,
        source,
    }
}

fn add<'a>(found: &mut BTreeMap<(IpAddr, u16), Candidate<'a>>, new: Candidate<'a>) {
    let key = (new.address, new.port);
    if !new.source.terminating {
        found.insert(key, new);
    } else {
        found.entry(key).or_insert(new);
    }
}

/// Whether any endpoint of the cluster could answer: if not, clients are refused instead of left waiting.
pub(super) fn any_usable(candidates: &[Candidate<'_>]) -> bool {
    candidates
        .iter()
        .any(|candidate| candidate.is_ready() || candidate.is_fallback())
}

/// The endpoints that clients of this scope are sent to: the ready ones, else those that terminate but still serve.
///
/// The two scopes fall back independently. Topology hints narrow only the ready endpoints of scope Cluster. Weights narrow
/// nothing: where all are 0 they are all 1.
pub(super) fn usable(
    candidates: &[Candidate<'_>],
    scope: Scope,
    here: Here<'_>,
    weights: &Weights,
) -> EndpointList {
    let in_scope = || candidates.iter().filter(|candidate| candidate.in_scope(scope));
    let mut chosen: Vec<&Candidate<'_>> = in_scope().filter(|at| at.is_ready()).collect();
    if chosen.is_empty() {
        chosen.extend(in_scope().filter(|at| at.is_fallback()));
    } else if scope == Scope::Cluster {
        let ready: Vec<&SliceEndpoint> = chosen.iter().map(|at| at.source).collect();
        let preference = Preference::of(&ready, here);
        chosen.retain(|at| preference.allows(at.source));
    }
    let mut endpoints: Vec<Endpoint> = chosen.into_iter().map(|at| at.endpoint(weights)).collect();
    if endpoints.iter().all(|at| at.weight == 0) {
        endpoints.iter_mut().for_each(|at| at.weight = 1);
    }
    EndpointList { endpoints }
}

#[cfg(test)]
mod tests {
    use thin_vec::thin_vec;

    use super::super::{
        EndpointSelector, NodeContext, Protocol, SlicePort, WeightRule,
        samples::{self, HERE, name, slice},
    };
    use super::*;

    /// What a port named `port` gets from the slices, in both scopes.
    fn lists(slices: &[EndpointSlice], port: &str) -> (Vec<String>, Vec<String>) {
        let slices: Vec<&EndpointSlice> = slices.iter().collect();
        let id = ServicePortId {
            service: name("default/web"),
            port: port.to_owned(),
            protocol: Protocol::Tcp,
        };
        let node = NodeContext {
            name: HERE.to_owned(),
            ..NodeContext::default()
        };
        let here = Here::new(&node, None);
        let candidates = join(&slices, Family::V4, &id, here);
        let show = |scope| {
            let list = usable(&candidates, scope, here, &Weights::default());
            list.endpoints
                .iter()
                .map(|at| format!("{}:{}", at.address, at.port))
                .collect()
        };
        (show(Scope::Cluster), show(Scope::Local))
    }

    fn one(endpoints: &[&str]) -> (Vec<String>, Vec<String>) {
        lists(&[slice("default/web-1", "web", endpoints)], "")
    }

    fn strings(list: &[&str]) -> Vec<String> {
        list.iter().map(ToString::to_string).collect()
    }

    #[test]
    fn ready_endpoints_come_in_the_order_of_their_addresses() {
        let (cluster, local) = one(&["10.0.0.10", "10.0.0.9 @here", "10.0.0.1 @there"]);
        assert_eq!(cluster, ["10.0.0.1:8080", "10.0.0.9:8080", "10.0.0.10:8080"]);
        assert_eq!(local, ["10.0.0.9:8080"]);
    }

    #[test]
    fn terminating_endpoints_that_serve_are_used_only_when_nothing_is_ready() {
        for (endpoints, cluster, local) in [
            (
                vec!["10.0.0.1 ready", "10.0.0.2 serving-terminating"],
                vec!["10.0.0.1:8080"],
                vec![],
            ),
            (
                vec!["10.0.0.1 unready", "10.0.0.2 serving-terminating"],
                vec!["10.0.0.2:8080"],
                vec![],
            ),
            (
                vec!["10.0.0.1 unready", "10.0.0.2 @here terminating"],
                vec![],
                vec![],
            ),
            (
                vec!["10.0.0.1 @there", "10.0.0.2 @here serving-terminating"],
                vec!["10.0.0.1:8080"],
                vec!["10.0.0.2:8080"],
            ),
        ] {
            assert_eq!(
                one(&endpoints),
                (strings(&cluster), strings(&local)),
                "{endpoints:?}"
            );
        }
    }

    #[test]
    fn slices_of_one_service_may_have_different_ports_for_one_name() {
        let mut second = slice("default/web-2", "web", &["10.0.0.1", "10.0.0.2"]);
        second.ports[0].port = 9090;
        let (cluster, _) = lists(&[slice("default/web-1", "web", &["10.0.0.1"]), second], "");
        assert_eq!(cluster, ["10.0.0.1:8080", "10.0.0.1:9090", "10.0.0.2:9090"]);
    }

    #[test]
    fn ports_join_by_name_and_protocol() {
        let mut both = slice("default/web-1", "web", &["10.0.0.1"]);
        both.ports = [
            ("http", Protocol::Tcp, 1),
            ("http", Protocol::Udp, 2),
            ("other", Protocol::Tcp, 3),
        ]
        .map(|(name, protocol, port)| SlicePort {
            name: name.to_owned(),
            protocol,
            port,
        })
        .into();
        assert_eq!(lists(&[both], "http").0, ["10.0.0.1:1"]);
    }

    #[test]
    fn of_the_entries_for_one_address_the_last_that_does_not_terminate_counts_else_the_first() {
        for (entries, cluster, local) in [
            (vec!["unready", "ready"], true, false),
            (vec!["ready", "unready"], false, false),
            (vec!["@there", "@here"], true, true),
            (vec!["@here", "@there"], true, false),
            (vec!["@here serving-terminating", "@there"], true, false),
            (vec!["@there", "@here serving-terminating"], true, false),
            (vec!["@here", "@there terminating"], true, true),
            (vec!["@here serving-terminating", "@here terminating"], true, true),
            (
                vec!["@here terminating", "@here serving-terminating"],
                false,
                false,
            ),
            (vec!["terminating", "@here", "@there terminating"], true, true),
        ] {
            let entries: Vec<String> = entries.iter().map(|state| format!("10.0.0.1 {state}")).collect();
            let entries: Vec<&str> = entries.iter().map(String::as_str).collect();
            let list = |is_used| {
                if is_used {
                    strings(&["10.0.0.1:8080"])
                } else {
                    Vec::new()
                }
            };
            let expected = (list(cluster), list(local));
            assert_eq!(one(&entries), expected, "{entries:?} in one slice");
            let slices = entries.iter().zip(["a", "b", "c"]);
            let slices = slices.map(|(entry, name)| slice(&format!("default/{name}"), "web", &[*entry]));
            assert_eq!(
                lists(&slices.collect::<Vec<_>>(), ""),
                expected,
                "{entries:?} in a slice each"
            );
        }
    }

    #[test]
    fn hints_narrow_only_the_ready_endpoints_of_scope_cluster() {
        let hinted = |state: &str| {
            let mut slice = slice(
                "default/web-1",
                "web",
                &["10.0.0.1 @here", "10.0.0.2 @here", "10.0.0.3"],
            );
            for (endpoint, node) in slice.endpoints.iter_mut().zip([HERE, "there", "there"]) {
                endpoint.node_hints = thin_vec![node.to_owned()];
                endpoint.ready = state == "ready";
                endpoint.terminating = state != "ready";
            }
            lists(&[slice], "")
        };
        let (one, two) = (vec!["10.0.0.1:8080"], vec!["10.0.0.1:8080", "10.0.0.2:8080"]);
        let three = vec!["10.0.0.1:8080", "10.0.0.2:8080", "10.0.0.3:8080"];
        assert_eq!(hinted("ready"), (strings(&one), strings(&two)));
        assert_eq!(hinted("terminating"), (strings(&three), strings(&two)));
    }

    /// Address and weight of the endpoints in scope Cluster, with rules in the form `ADDRESS=WEIGHT`.
    fn weighted(endpoints: &[&str], rules: &[(&str, u16)]) -> Vec<(String, u16)> {
        let rule = |(address, weight): &(&str, u16)| WeightRule {
            selector: EndpointSelector::address(address.parse().unwrap()),
            weight: *weight,
        };
        let weights = Weights::new(rules.iter().map(rule).collect());
        let sources: Vec<SliceEndpoint> = endpoints.iter().map(|text| samples::endpoint(text)).collect();
        let node = NodeContext::default();
        let here = Here::new(&node, None);
        let candidates: Vec<_> = sources.iter().map(|source| candidate(source, 80, here)).collect();
        let list = usable(&candidates, Scope::Cluster, here, &weights);
        list.endpoints
            .iter()
            .map(|at| (at.address.to_string(), at.weight))
            .collect()
    }

    #[test]
    fn an_endpoint_has_the_weight_of_its_rule_and_1_without_one() {
        let weights = weighted(
            &["10.0.0.1", "10.0.0.2", "10.0.0.3"],
            &[("10.0.0.1", 65_535), ("10.0.0.3", 0)],
        );
        let expected = [("10.0.0.1", 65_535), ("10.0.0.2", 1), ("10.0.0.3", 0)];
        assert_eq!(
            weights,
            expected.map(|(address, weight)| (address.to_owned(), weight))
        );
    }

    #[test]
    fn where_all_weights_are_0_they_are_all_1() {
        let rules = [("10.0.0.1", 0), ("10.0.0.2", 0), ("10.0.0.3", 5)];
        for (third, expected) in [("ready", vec![0, 0, 5]), ("unready", vec![1, 1])] {
            let third = format!("10.0.0.3 {third}");
            let weights = weighted(&["10.0.0.1", "10.0.0.2", &third], &rules);
            let weights: Vec<u16> = weights.into_iter().map(|(_, weight)| weight).collect();
            assert_eq!(weights, expected, "{third}");
        }
    }

    #[test]
    fn slices_of_the_other_family_are_left_out() {
        let slices = [
            slice("default/a", "web", &["fd00::1"]),
            slice("default/b", "web", &["10.0.0.1"]),
        ];
        assert_eq!(lists(&slices, "").0, ["10.0.0.1:8080"]);
    }

    #[test]
    fn only_a_ready_or_a_serving_terminating_endpoint_counts_as_usable() {
        for (state, expected) in [
            ("ready", true),
            ("serving-terminating", true),
            ("terminating", false),
            ("unready", false),
        ] {
            let source = samples::endpoint(&format!("10.0.0.1 {state}"));
            let candidates = [candidate(&source, 80, Here::new(&NodeContext::default(), None))];
            assert_eq!(any_usable(&candidates), expected, "{state}");
        }
    }
}
