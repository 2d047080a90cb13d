//! Which ready endpoints are close enough, by the hints that the EndpointSlice controller gave them.
//!
//! The Service's `trafficDistribution` is not looked at: it has become hints already. The whole Service port prefers its node, or its
//! zone, or nothing; never one endpoint alone.

use super::{Node, NodeContext, SliceEndpoint};

/// Where this node is.
#[derive(Clone, Copy, Debug)]
pub(super) struct Here<'a> {
    pub(super) node: &'a str,
    zone: Option<&'a str>,
}

impl<'a> Here<'a> {
    pub(super) fn new(node: &'a NodeContext, own: Option<&'a Node>) -> Self {
        Self {
            node: &node.name,
            zone: own.and_then(|node| node.zone.as_deref()),
        }
    }
}

/// What a Service port prefers on this node.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Preference<'a> {
    /// Endpoints whose hints name this node.
    SameNode(&'a str),
    /// Endpoints whose hints name this zone.
    SameZone(&'a str),
    /// Nothing: every endpoint.
    Anywhere,
}

impl<'a> Preference<'a> {
    /// The preference that the hints of a Service port's ready endpoints express: node hints before zone hints.
    ///
    /// Hints of one sort count only if every endpoint has some and some endpoint names us: otherwise they are being written, or
    /// nothing is near.
    pub(super) fn of(ready: &[&SliceEndpoint], here: Here<'a>) -> Self {
        let counts = |hints: fn(&SliceEndpoint) -> &[String], mine: &str| {
            ready.iter().all(|at| !hints(at).is_empty()) && ready.iter().any(|at| names(hints(at), mine))
        };
        match here.zone {
            _ if counts(|at| &at.node_hints, here.node) => Self::SameNode(here.node),
            Some(zone) if counts(|at| &at.zone_hints, zone) => Self::SameZone(zone),
            _ => Self::Anywhere,
        }
    }

    /// Whether the endpoint is among the preferred ones.
    pub(super) fn allows(self, endpoint: &SliceEndpoint) -> bool {
        match self {
            Self::SameNode(node) => names(&endpoint.node_hints, node),
            Self::SameZone(zone) => names(&endpoint.zone_hints, zone),
            Self::Anywhere => true,
        }
    }
}

fn names(hints: &[String], mine: &str) -> bool {
    hints.iter().any(|hint| hint == mine)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::samples::{self, HERE};

    /// Endpoints as `NODES/ZONES`, each a comma-separated list.
    fn preference(zone: Option<&'static str>, hints: &[&str]) -> Preference<'static> {
        let list = |text: &str| {
            text.split(',')
                .filter(|hint| !hint.is_empty())
                .map(str::to_owned)
                .collect()
        };
        let endpoints: Vec<SliceEndpoint> = hints
            .iter()
            .map(|text| {
                let (nodes, zones) = text.split_once('/').expect("nodes/zones");
                let (node_hints, zone_hints) = (list(nodes), list(zones));
                SliceEndpoint {
                    node_hints,
                    zone_hints,
                    ..samples::endpoint("10.0.0.1")
                }
            })
            .collect();
        Preference::of(&endpoints.iter().collect::<Vec<_>>(), Here { node: HERE, zone })
    }

    #[test]
    fn hints_count_only_if_every_endpoint_has_some_and_one_names_us() {
        use Preference::{Anywhere, SameNode, SameZone};
        for (zone, hints, expected) in [
            (Some("a"), vec![], Anywhere),
            (Some("a"), vec!["/"], Anywhere),
            (Some("a"), vec!["/a", "/b"], SameZone("a")),
            (Some("a"), vec!["/a", "/"], Anywhere),
            (Some("c"), vec!["/a", "/b"], Anywhere),
            (None, vec!["/a", "/b"], Anywhere),
            (Some("a"), vec!["/b,a", "/b"], SameZone("a")),
            (Some("a"), vec!["here/a", "there/b"], SameNode(HERE)),
            (None, vec!["here/a", "there/b"], SameNode(HERE)),
            (Some("a"), vec!["here/a", "/b"], SameZone("a")),
            (Some("a"), vec!["there/a", "there/b"], SameZone("a")),
            (Some("c"), vec!["there/a", "there/b"], Anywhere),
        ] {
            assert_eq!(
                preference(zone, &hints),
                expected,
                "zone {zone:?}, hints {hints:?}"
            );
        }
    }
}
