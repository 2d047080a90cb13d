//! The rules that are there whatever Services there are.

use std::{fmt::Write as _, net::IpAddr};

use super::{
    Settings,
    names::{
        EXTERNAL_SERVICES, FORWARD, KUBELET_FIREWALL, MARK_MASQ, NODE_PORTS, POSTROUTING, PROXY_FIREWALL,
        SERVICES,
    },
};
use crate::model::{Family, FamilyRules, LocalTraffic, NodePorts};

/// The counter of packets that belong to no connection.
pub(in super::super) const INVALID_COUNTER: &str = "ct_state_invalid_dropped_pkts";

/// What holds for all Services, as rules.
#[derive(Debug)]
pub(super) struct Fixed {
    /// How the node's pods are known.
    pub(super) pods: LocalTraffic,
    /// Whether node ports are served at the node's loopback addresses.
    pub(super) localhost: bool,
    node_ports: NodePorts,
    pub(super) filter: Part,
    pub(super) nat: Part,
}

/// Of one table.
#[derive(Debug, Default)]
pub(super) struct Part {
    pub(super) chains: String,
    /// The rules before the Services', and those after.
    pub(super) first: String,
    pub(super) last: String,
}

impl Part {
    pub(super) fn rules(&self) -> usize {
        self.first.lines().chain(self.last.lines()).count()
    }
}

impl Fixed {
    pub(super) fn new(settings: &Settings, rules: &FamilyRules, node_addresses: &[IpAddr]) -> Self {
        let localhost = settings.family == Family::V4
            && settings.localhost_node_ports
            && includes_loopback(&rules.node_ports);
        let mut fixed = Self {
            pods: rules.local_traffic.clone(),
            localhost,
            node_ports: rules.node_ports.clone(),
            filter: filter(settings, localhost),
            nat: nat(settings),
        };
        fixed.set_node_addresses(settings.family, node_addresses);
        fixed
    }

    /// Whether that makes a difference.
    pub(super) fn set_node_addresses(&mut self, family: Family, addresses: &[IpAddr]) -> bool {
        let localhost = self.localhost;
        let last = if matches_all(&self.node_ports) {
            all_addresses(family, localhost)
        } else {
            let is_served = |address: &&IpAddr| {
                Family::of(**address) == family
                    && self.node_ports.serves(**address)
                    && (localhost || !address.is_loopback())
            };
            let mut served: Vec<IpAddr> = addresses.iter().filter(is_served).copied().collect();
            served.sort_unstable();
            served.dedup();
            served
                .into_iter()
                .map(|address| at(&format!("-d {address}")))
                .collect()
        };
        let is_different = self.nat.last != last;
        self.nat.last = last;
        is_different
    }
}

fn filter(settings: &Settings, localhost: bool) -> Part {
    let mut part = Part::default();
    chain_lines(
        &mut part.chains,
        &[SERVICES, EXTERNAL_SERVICES, FORWARD, NODE_PORTS, PROXY_FIREWALL],
    );
    if localhost {
        chain_lines(&mut part.chains, &[KUBELET_FIREWALL]);
        let _ = writeln!(
            part.first,
            "-A {KUBELET_FIREWALL} -m comment --comment \"block incoming localnet connections\" -d 127.0.0.0/8 \
             ! -s 127.0.0.0/8 -m conntrack ! --ctstate RELATED,ESTABLISHED,DNAT -j DROP"
        );
    }
    part.last = forward(settings);
    part
}

fn forward(settings: &Settings) -> String {
    let (mut out, mark) = (String::new(), mark(settings));
    if settings.drops_invalid {
        let _ = write!(out, "-A {FORWARD} -m conntrack --ctstate INVALID");
        if settings.invalid_counter {
            let _ = write!(out, " -m nfacct --nfacct-name {INVALID_COUNTER}");
        }
        out.push_str(" -j DROP\n");
    }
    let _ = writeln!(
        out,
        "-A {FORWARD} -m comment --comment \"kubernetes forwarding rules\" -m mark --mark {mark}/{mark} -j ACCEPT\n\
         -A {FORWARD} -m comment --comment \"kubernetes forwarding conntrack rule\" \
         -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT"
    );
    out
}

fn nat(settings: &Settings) -> Part {
    let (mut part, mark) = (Part::default(), mark(settings));
    chain_lines(&mut part.chains, &[SERVICES, NODE_PORTS, POSTROUTING, MARK_MASQ]);
    let randomly = if settings.random_fully {
        " --random-fully"
    } else {
        ""
    };
    let _ = writeln!(
        part.first,
        "-A {POSTROUTING} -m mark ! --mark {mark}/{mark} -j RETURN\n\
         -A {POSTROUTING} -j MARK --xor-mark {mark}\n\
         -A {POSTROUTING} -m comment --comment \"kubernetes service traffic requiring SNAT\" -j MASQUERADE{randomly}\n\
         -A {MARK_MASQ} -j MARK --or-mark {mark}"
    );
    part
}

fn mark(settings: &Settings) -> String {
    format!("{:#010x}", settings.mark)
}

pub(super) fn chain_lines<T: std::fmt::Display>(out: &mut String, chains: &[T]) {
    for chain in chains {
        let _ = writeln!(out, ":{chain} - [0:0]");
    }
}

fn all_addresses(family: Family, localhost: bool) -> String {
    let except = match family {
        Family::V6 => " ! -d ::1/128",
        Family::V4 if !localhost => " ! -d 127.0.0.0/8",
        Family::V4 => "",
    };
    at(&format!("-m addrtype --dst-type LOCAL{except}"))
}

fn at(destination: &str) -> String {
    format!(
        "-A {SERVICES} -m comment --comment \"kubernetes service nodeports; NOTE: this must be the last rule in this chain\" \
         {destination} -j {NODE_PORTS}\n"
    )
}

fn matches_all(node_ports: &NodePorts) -> bool {
    match node_ports {
        NodePorts::Any => true,
        NodePorts::Within(ranges) => ranges.iter().any(|range| range.prefix_len() == 0),
    }
}

fn includes_loopback(node_ports: &NodePorts) -> bool {
    match node_ports {
        NodePorts::Any => true,
        NodePorts::Within(ranges) => ranges
            .iter()
            .any(|range| range.network().is_loopback() || range.contains(&IpAddr::from([127, 0, 0, 0]))),
    }
}
