//! A Service port's own rules before an endpoint is chosen: whose source address is replaced, who may come, which policy holds.

use std::fmt::Write as _;

use super::{
    EXPECTED_BYTES,
    facts::{Facts, FromPods, To},
    names::{ChainKind, MARK_MASQ, PROXY_FIREWALL},
};
use crate::model::{FrontendAddress, FrontendKind, LocalTraffic, Masquerade, TrafficPolicy};

pub(super) fn rules(facts: &Facts<'_>, pods: &LocalTraffic) -> String {
    let mut out = String::with_capacity(EXPECTED_BYTES);
    if facts.has_internal_endpoints() {
        masquerade(&mut out, facts, pods);
    }
    if facts.has_external_chain() {
        external(&mut out, facts, pods);
    }
    if facts.has_firewall_chain() {
        firewall(&mut out, facts);
    }
    out
}

/// At cluster IPs.
fn masquerade(out: &mut String, facts: &Facts<'_>, pods: &LocalTraffic) {
    let chain = facts.policy_chain(facts.port.internal_traffic_policy);
    for claim in facts.of_kind(FrontendKind::ClusterIP) {
        let (name, to) = (&facts.name, To::frontend(facts, claim.key));
        let _ = match claim.frontend.masquerade {
            Masquerade::Always => writeln!(
                out,
                "-A {chain} -m comment --comment \"{name} cluster IP\" {to} -j {MARK_MASQ}"
            ),
            Masquerade::OffCluster => writeln!(
                out,
                "-A {chain} -m comment --comment \"{name} cluster IP\" {to} ! {} -j {MARK_MASQ}",
                FromPods(pods)
            ),
            Masquerade::Never | Masquerade::Node => Ok(()),
        };
    }
}

/// At all other addresses.
fn external(out: &mut String, facts: &Facts<'_>, pods: &LocalTraffic) {
    let (chain, name) = (facts.chain(ChainKind::External), &facts.name);
    let policy = facts.port.external_traffic_policy;
    match policy {
        TrafficPolicy::Cluster => {
            let _ = writeln!(
                out,
                "-A {chain} -m comment --comment \"masquerade traffic for {name} external destinations\" -j {MARK_MASQ}"
            );
        }
        TrafficPolicy::Local => short_cuts(out, facts, pods),
    }
    if facts.has_external_endpoints() {
        let _ = writeln!(out, "-A {chain} -j {}", facts.policy_chain(policy));
    }
}

/// Pods and processes of the node are not bound by policy Local: they are served as by a load balancer that sent them on to any node.
fn short_cuts(out: &mut String, facts: &Facts<'_>, pods: &LocalTraffic) {
    let (chain, name) = (facts.chain(ChainKind::External), &facts.name);
    let cluster = facts.chain(ChainKind::Service);
    if *pods != LocalTraffic::Unknown {
        let _ = writeln!(
            out,
            "-A {chain} -m comment --comment \"pod traffic for {name} external destinations\" {} -j {cluster}",
            FromPods(pods)
        );
    }
    let _ = writeln!(
        out,
        "-A {chain} -m comment --comment \"masquerade LOCAL traffic for {name} external destinations\" \
         -m addrtype --src-type LOCAL -j {MARK_MASQ}\n\
         -A {chain} -m comment --comment \"route LOCAL traffic for {name} external destinations\" \
         -m addrtype --src-type LOCAL -j {cluster}"
    );
}

/// At load balancer IPs.
fn firewall(out: &mut String, facts: &Facts<'_>) {
    let (chain, name) = (facts.chain(ChainKind::Firewall), &facts.name);
    let allowed = facts.chain(ChainKind::External);
    let mut allow = |source: &dyn std::fmt::Display| {
        let _ = writeln!(
            out,
            "-A {chain} -m comment --comment \"{name} loadbalancer IP\" -s {source} -j {allowed}"
        );
    };
    facts.source_ranges().for_each(|range| allow(&range));
    if lets_node_in(facts) {
        for claim in facts.of_kind(FrontendKind::LoadBalancer) {
            if let FrontendAddress::Ip(address) = claim.key.address {
                allow(&address);
            }
        }
    }
    let _ = writeln!(
        out,
        "-A {chain} -m comment --comment \"other traffic to {name} will be dropped by {PROXY_FIREWALL}\""
    );
}

/// A packet that the node sends to a load balancer IP that is its own has that address as its source, too. Where the node is let
/// in, the model has added it to the ranges of the Service.
fn lets_node_in(facts: &Facts<'_>) -> bool {
    facts.of_kind(FrontendKind::LoadBalancer).any(|claim| {
        let allowed = &claim.frontend.source_ranges;
        allowed
            .iter()
            .any(|range| facts.source_ranges().all(|of_service| of_service != *range))
    })
}
