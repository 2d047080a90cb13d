//! Where kube-proxy's rules do otherwise than the table.

use super::{Case, Client, Door, Outcome};

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
