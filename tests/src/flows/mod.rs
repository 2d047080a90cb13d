//! The table of flows in `tests/flows`: who asks where, and what comes of it. Every runner goes through all of it.
//!
//! ```text
//! flows/*.txt ──parse──▶ Flow ─┬─▶ manifests ──▶ the model's tracer, its oracle, the loaded programs, real agents
//!                              └─▶ addresses ──▶ who sends what to where       Outcome ══ what the table says
//! ```
//! A block is a Service and its endpoints, a row one flow to it. Each is tried in both families with TCP and with UDP, through a Service
//! of its own for each of these four variants. `tests/flows/README.md` explains the words.

mod addresses;
mod outcome;
mod output;
mod parse;
mod report;
mod service;
mod table;
mod words;

use std::{collections::BTreeMap, net::SocketAddr, sync::Arc};

use proxy_agent::model::{Protocol, TrafficPolicy};

use crate::{manifests::Condition, world::Variant};
pub use addresses::{address, node_addresses, node_context, pods, virtual_networks};
pub use outcome::Outcome;
pub use output::{but_for_hairpin, but_for_output};
pub use parse::columns;
pub use report::{Case, Report};
pub use service::{TARGET_PORT, services};
pub use table::{VARIANTS, table};
pub use words::{Client, Destination, Door, Endpoint, Node, Part, Source};

/// A row of the table.
#[derive(Clone, Debug)]
pub struct Flow {
    /// Its file and line.
    pub place: String,
    /// The Service.
    pub block: Arc<Block>,
    /// Who asks.
    pub client: Client,
    /// Where.
    pub destination: Destination,
    /// What shall come of it.
    pub expected: Outcome,
}

/// A Service and its endpoints.
#[derive(Clone, Debug)]
pub struct Block {
    /// Counts all blocks of the table, from 1.
    pub number: u16,
    /// The two lines, as they are written.
    pub title: String,
    /// `internalTrafficPolicy`.
    pub internal: TrafficPolicy,
    /// `externalTrafficPolicy`.
    pub external: TrafficPolicy,
    /// Whose addresses are `loadBalancerSourceRanges`; everyone is let in if there are none.
    pub ranges: Vec<Client>,
    /// Whether `sessionAffinity` is ClientIP.
    pub affinity: bool,
    /// Whether the Service has a second port of the same numbers in the other protocol, which no endpoint has.
    pub other_protocol: bool,
    /// The endpoints.
    pub endpoints: BTreeMap<Endpoint, Condition>,
}

impl Flow {
    /// The node that decides: the one that is asked at its own address, else the one that the client's packets meet first.
    #[must_use]
    pub const fn decider(&self) -> Node {
        match self.destination.door {
            Door::NodePort(node) => node,
            _ => self.client.first_node(),
        }
    }

    /// The protocol that the client speaks.
    #[must_use]
    pub const fn protocol(&self, variant: Variant) -> Protocol {
        match (self.destination.part, variant.protocol) {
            (Part::OtherProtocol, Protocol::Tcp) => Protocol::Udp,
            (Part::OtherProtocol, _) => Protocol::Tcp,
            (_, protocol) => protocol,
        }
    }

    /// The address and port that the client asks.
    #[must_use]
    pub fn target(&self, variant: Variant) -> SocketAddr {
        self.block.target(self.destination, variant)
    }

    /// Whether many tries of the flow, each of which met one endpoint or none, were as they shall.
    #[must_use]
    pub fn is_met_by(&self, seen: &Outcome) -> bool {
        match (&self.expected, seen) {
            (Outcome::One(of), Outcome::Any(met)) => {
                met.len() == 1 && met.iter().all(|(at, source)| of.get(at) == Some(source))
            }
            (expected, seen) => expected == seen,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn met(endpoint: Endpoint) -> Outcome {
        Outcome::at(endpoint, Source::Kept)
    }

    #[test]
    fn all_flows_of_a_client_that_is_to_keep_its_endpoint_go_to_one() {
        let text = "service  internal Cluster, external Cluster, affinity\nendpoints  a, c\n\
                    pod here  ClusterIP  one of a kept, c kept";
        let flows = parse::file("x.txt", text, 1).expect("a table");
        assert!(flows[0].is_met_by(&met(Endpoint::C)));
        assert!(!flows[0].is_met_by(&met(Endpoint::B)));
        assert!(!flows[0].is_met_by(&met(Endpoint::A).and(met(Endpoint::C))));
    }
}
