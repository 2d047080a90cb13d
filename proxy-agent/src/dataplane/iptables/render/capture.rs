//! The rules in the chains that all Services share: where a Service port's packets are caught, or refused.

use std::fmt::Write as _;

use super::{
    EXPECTED_BYTES,
    facts::{Claim, Facts, To},
    names::{ChainKind, ChainName, EXTERNAL_SERVICES, NODE_PORTS, PROXY_FIREWALL, SERVICES},
};
use crate::model::FrontendKind;

/// The counter of packets to node ports at loopback addresses.
pub(in super::super) const LOCALHOST_COUNTER: &str = "localhost_nps_accepted_pkts";

/// The rules of one Service port, by table.
#[derive(Debug, Default)]
pub(super) struct Captures {
    pub(super) filter: String,
    pub(super) nat: String,
}

/// The rules of the frontends that are the Service port's, and those of the frontends that another one is served at: they have
/// to come after those of all winners, for the first rule that matches counts.
pub(super) fn captures(facts: &Facts<'_>, counts_localhost: bool) -> [Captures; 2] {
    let mut writer = Writer {
        facts,
        captures: <[Captures; 2]>::default(),
    };
    writer.captures[0].nat.reserve(EXPECTED_BYTES);
    writer.cluster_ips();
    writer.external_ips();
    writer.load_balancer_ips();
    writer.node_ports(counts_localhost);
    writer.health_check();
    writer.captures
}

struct Writer<'a> {
    facts: &'a Facts<'a>,
    captures: [Captures; 2],
}

impl<'a> Writer<'a> {
    fn at(&mut self, claim: &Claim<'_>) -> &mut Captures {
        &mut self.captures[usize::from(!claim.won)]
    }

    fn cluster_ips(&mut self) {
        let facts = self.facts;
        let chain = facts.policy_chain(facts.port.internal_traffic_policy);
        for claim in facts.of_kind(FrontendKind::ClusterIP) {
            if facts.has_internal_endpoints() {
                self.caught(claim, "cluster IP", chain);
            } else {
                self.refused(claim, SERVICES, "");
            }
        }
    }

    fn external_ips(&mut self) {
        let facts = self.facts;
        for claim in facts.of_kind(FrontendKind::ExternalIP) {
            if facts.has_endpoints {
                self.caught(claim, "external IP", facts.chain(ChainKind::External));
            }
            self.refused_from_outside(claim, "");
        }
    }

    fn load_balancer_ips(&mut self) {
        let facts = self.facts;
        let guarded = facts.has_firewall_chain();
        let kind = if guarded {
            ChainKind::Firewall
        } else {
            ChainKind::External
        };
        let chain = facts.chain(kind);
        for claim in facts.of_kind(FrontendKind::LoadBalancer) {
            if facts.has_endpoints {
                self.caught(claim, "loadbalancer IP", chain);
            }
            if guarded {
                self.kept_out(claim, chain);
            }
        }
        for claim in facts.of_kind(FrontendKind::LoadBalancer) {
            self.refused_from_outside(claim, "");
        }
    }

    fn node_ports(&mut self, counts_localhost: bool) {
        let facts = self.facts;
        for claim in facts.of_kind(FrontendKind::NodePort) {
            if facts.has_endpoints && counts_localhost {
                self.counted_at_node(claim);
            }
            if facts.has_endpoints {
                self.caught_at_node(claim);
            }
            self.refused_from_outside(claim, "-m addrtype --dst-type LOCAL ");
        }
    }

    fn health_check(&mut self) {
        let Some(port) = self.facts.port.health_check_node_port else {
            return;
        };
        let name = &self.facts.name;
        let _ = writeln!(
            self.captures[0].filter,
            "-A {NODE_PORTS} -m comment --comment \"{name} health check node port\" -m tcp -p tcp --dport {port} -j ACCEPT"
        );
    }

    fn caught(&mut self, claim: &Claim<'_>, what: &str, chain: ChainName) {
        let (name, to) = (&self.facts.name, To::frontend(self.facts, claim.key));
        let _ = writeln!(
            self.at(claim).nat,
            "-A {SERVICES} -m comment --comment \"{name} {what}\" {to} -j {chain}"
        );
    }

    fn caught_at_node(&mut self, claim: &Claim<'_>) {
        let (name, to) = (&self.facts.name, To::frontend(self.facts, claim.key));
        let chain = self.facts.chain(ChainKind::External);
        let _ = writeln!(
            self.at(claim).nat,
            "-A {NODE_PORTS} -m comment --comment {name} {to} -j {chain}"
        );
    }

    fn counted_at_node(&mut self, claim: &Claim<'_>) {
        let Facts { name, protocol, .. } = self.facts;
        let (port, chain) = (claim.key.port, self.facts.chain(ChainKind::External));
        let _ = writeln!(
            self.at(claim).nat,
            "-A {NODE_PORTS} -m comment --comment {name} -m {protocol} -p {protocol} -d 127.0.0.0/8 --dport {port} \
             -m nfacct --nfacct-name {LOCALHOST_COUNTER} -j {chain}"
        );
    }

    fn kept_out(&mut self, claim: &Claim<'_>, chain: ChainName) {
        let (name, to) = (&self.facts.name, To::frontend(self.facts, claim.key));
        let _ = writeln!(
            self.at(claim).filter,
            "-A {PROXY_FIREWALL} -m comment --comment \"{name} traffic not accepted by {chain}\" {to} -j DROP"
        );
    }

    fn refused_from_outside(&mut self, claim: &Claim<'_>, condition: &str) {
        if !self.facts.has_external_endpoints() {
            self.refused(claim, EXTERNAL_SERVICES, condition);
        }
    }

    /// Silence if another node may answer, else an error at once.
    fn refused(&mut self, claim: &Claim<'_>, chain: &str, condition: &str) {
        let (name, to) = (&self.facts.name, To::frontend(self.facts, claim.key));
        let (reason, target) = if self.facts.has_endpoints {
            ("has no local endpoints", "DROP")
        } else {
            ("has no endpoints", "REJECT")
        };
        let _ = writeln!(
            self.at(claim).filter,
            "-A {chain} -m comment --comment \"{name} {reason}\" {condition}{to} -j {target}"
        );
    }
}
