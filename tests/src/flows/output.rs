//! Where kube-proxy's rules do otherwise than the table, and sockets.

use std::collections::BTreeMap;

use proxy_agent::model::Protocol;

use super::{Case, Client, Door, Endpoint, Outcome, Source};

/// What was found with rules of iptables, in the table's words: kube-proxy refuses in `KUBE-EXTERNAL-SERVICES`, which OUTPUT does not call.
/// What the node itself sends to an address outside of the cluster that belongs to a Service without endpoints goes out as it is, and
/// nothing else in the table.
#[must_use]
pub fn but_for_output(Case { flow, .. }: Case<'_>, found: Outcome) -> Outcome {
    let is_external = matches!(flow.destination.door, Door::ExternalIp | Door::LoadBalancerIp);
    let is_refused_nowhere = flow.client == Client::Node && is_external && flow.expected == Outcome::Refused;
    match found {
        Outcome::LeftAlone if is_refused_nowhere => Outcome::Refused,
        found if is_refused_nowhere => Outcome::Odd(format!("{found}, but OUTPUT calls nobody")),
        found => found,
    }
}

/// What was found with sockets that are translated at connect, in the table's words: nobody knows at that time that an endpoint is the
/// client itself, which sees its own address then. By UDP, which is left to devices, it sees the node as the table says.
#[must_use]
pub fn but_for_hairpin(Case { flow, variant }: Case<'_>, found: Outcome) -> Outcome {
    let itself = |at: &Endpoint| at.pod() == flow.client.name();
    let in_words = |mut all: BTreeMap<Endpoint, Source>| {
        for (_, source) in all.iter_mut().filter(|(at, _)| itself(at)) {
            *source = Source::Masqueraded;
        }
        all
    };
    match found {
        Outcome::Any(all) if flow.protocol(variant) == Protocol::Tcp => Outcome::Any(in_words(all)),
        found => found,
    }
}
