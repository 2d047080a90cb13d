//! Weights of endpoints, as the annotation of their Service gives them.

use std::net::IpAddr;

use ipnet::IpNet;

use super::SliceEndpoint;

/// The weight of an endpoint that no rule selects.
const DEFAULT: u16 = 1;

/// What gives each endpoint of a Service its weight. Small, because hardly any Service has the annotation.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Weights(Option<Box<Annotation>>);

#[derive(Clone, Debug, PartialEq, Eq)]
enum Annotation {
    Rules(Vec<WeightRule>),
    Malformed(String),
}

/// One entry of the annotation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WeightRule {
    /// The endpoints that it is about.
    pub selector: EndpointSelector,
    /// Their weight.
    pub weight: u16,
}

/// Which endpoints a rule is about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum EndpointSelector {
    /// Every one.
    All,
    /// Those whose address is in the network; a single address is a network of one.
    Network(IpNet),
    /// The Pod of this name, in the namespace of the Service.
    Pod(String),
    /// The Pods whose names begin so.
    PodPrefix(String),
    /// Those on the Node of this name.
    Node(String),
}

impl Weights {
    /// The first rule that selects an endpoint counts.
    #[must_use]
    pub fn new(rules: Vec<WeightRule>) -> Self {
        Self(Some(Box::new(Annotation::Rules(rules))))
    }

    /// Those of an annotation that cannot be used: all the same. `fault` says what is wrong with it.
    #[must_use]
    pub fn malformed(fault: String) -> Self {
        Self(Some(Box::new(Annotation::Malformed(fault))))
    }

    /// What is wrong with the annotation.
    #[must_use]
    pub fn fault(&self) -> Option<&str> {
        match self.0.as_deref() {
            Some(Annotation::Malformed(fault)) => Some(fault),
            _ => None,
        }
    }

    /// The weight of an endpoint.
    #[must_use]
    pub fn weight_of(&self, endpoint: &SliceEndpoint) -> u16 {
        let rules = match self.0.as_deref() {
            Some(Annotation::Rules(rules)) => rules.as_slice(),
            _ => &[],
        };
        let rule = rules.iter().find(|rule| rule.selector.selects(endpoint));
        rule.map_or(DEFAULT, |rule| rule.weight)
    }
}

impl EndpointSelector {
    /// Exactly this address.
    #[must_use]
    pub fn address(address: IpAddr) -> Self {
        Self::Network(address.into())
    }

    fn selects(&self, endpoint: &SliceEndpoint) -> bool {
        let pod = endpoint.pod.as_deref();
        match self {
            Self::All => true,
            Self::Network(network) => network.contains(&endpoint.address),
            Self::Pod(name) => pod == Some(name),
            Self::PodPrefix(prefix) => pod.is_some_and(|pod| pod.starts_with(prefix)),
            Self::Node(name) => endpoint.node_name.as_deref() == Some(name),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::samples;

    fn weight(selector: EndpointSelector, endpoint: &str, pod: Option<&str>) -> u16 {
        let endpoint = SliceEndpoint {
            pod: pod.map(Box::from),
            ..samples::endpoint(endpoint)
        };
        Weights::new(vec![WeightRule { selector, weight: 7 }]).weight_of(&endpoint)
    }

    #[test]
    fn a_selector_selects_by_address_network_pod_or_node() {
        let network = |text: &str| EndpointSelector::Network(text.parse().unwrap());
        let pod = |text: &str| EndpointSelector::Pod(text.to_owned());
        let prefix = |text: &str| EndpointSelector::PodPrefix(text.to_owned());
        let node = |text: &str| EndpointSelector::Node(text.to_owned());
        let v4 = EndpointSelector::address([10, 0, 0, 1].into());
        for (selector, selected, left) in [
            (v4, ("10.0.0.1", None), ("10.0.0.2", None)),
            (network("10.1.0.0/16"), ("10.1.255.255", None), ("10.2.0.0", None)),
            (network("::/0"), ("fd00::1", None), ("10.0.0.1", None)),
            (
                pod("web-1"),
                ("10.0.0.1", Some("web-1")),
                ("10.0.0.1", Some("web-10")),
            ),
            (pod("web-1"), ("10.0.0.1", Some("web-1")), ("10.0.0.1", None)),
            (
                prefix("web-"),
                ("10.0.0.1", Some("web-1")),
                ("10.0.0.1", Some("web")),
            ),
            (prefix(""), ("10.0.0.1", Some("web-1")), ("10.0.0.1", None)),
            (node("a"), ("10.0.0.1 @a", None), ("10.0.0.1 @ab", None)),
            (node("a"), ("10.0.0.1 @a", None), ("10.0.0.1", Some("a"))),
        ] {
            assert_eq!(
                weight(selector.clone(), selected.0, selected.1),
                7,
                "{selector:?}"
            );
            assert_eq!(weight(selector.clone(), left.0, left.1), 1, "{selector:?}");
        }
        assert_eq!(weight(EndpointSelector::All, "10.0.0.1", None), 7);
    }

    #[test]
    fn the_first_rule_that_selects_an_endpoint_counts() {
        let rules = [("10.0.0.1/32", 0), ("10.0.0.0/24", 5), ("0.0.0.0/0", 9)];
        let rule = |(network, weight): (&str, u16)| WeightRule {
            selector: EndpointSelector::Network(network.parse().unwrap()),
            weight,
        };
        let weights = Weights::new(rules.map(rule).into());
        let endpoints = ["10.0.0.1", "10.0.0.2", "10.9.9.9", "fd00::1"];
        assert_eq!(
            endpoints.map(|at| weights.weight_of(&samples::endpoint(at))),
            [0, 5, 9, 1]
        );
    }

    #[test]
    fn a_malformed_annotation_gives_every_endpoint_the_same_weight() {
        let weights = Weights::malformed("odd".to_owned());
        assert_eq!(weights.weight_of(&samples::endpoint("10.0.0.1")), 1);
        assert_eq!(weights.fault(), Some("odd"));
    }
}
