//! The chains in table nat that are one Service port's own.
//!
//! ```text
//! KUBE-SERVICES ─┬──────────────────────────────────────────▶ KUBE-SVC- ─┬─▶ KUBE-SEP-
//!                ├─▶ KUBE-FW- (who may come) ─▶ KUBE-EXT- ─┬─▶ KUBE-SVC- ─┤
//! KUBE-NODEPORTS ┴────────────────────────────▶            └─▶ KUBE-SVL- ─┘
//! ```
//! What is written of them is most of all rules, so it is not kept as text: endpoints are.

use std::{
    collections::BTreeMap,
    fmt::Write as _,
    net::{IpAddr, SocketAddr},
};

use super::{
    entry,
    facts::Facts,
    names::{ChainKind, ChainName, Hash, MARK_MASQ},
    probability::Probability,
};
use crate::model::{Endpoint, LocalTraffic};

/// All that it takes to write a Service port's chains.
#[derive(Debug)]
pub(super) struct Chains {
    /// The rules before an endpoint is chosen.
    entry: Box<str>,
    /// Those that are not of an endpoint, in the order of kube-proxy.
    own: Box<[ChainName]>,
    protocol: &'static str,
    /// In seconds.
    affinity: Option<u32>,
    hash: Hash,
    /// In the order of how they are written: kube-proxy's.
    endpoints: Box<[Member]>,
}

/// An endpoint with its chain and its weights in the lists that it is in.
#[derive(Clone, Copy, Debug)]
struct Member {
    address: IpAddr,
    port: u16,
    hash: Hash,
    /// Under policies Cluster and Local.
    weights: [Option<u16>; 2],
}

impl Member {
    const fn at(&self) -> SocketAddr {
        SocketAddr::new(self.address, self.port)
    }

    const fn chain(&self) -> ChainName {
        ChainName {
            kind: ChainKind::Endpoint,
            hash: self.hash,
        }
    }
}

/// The chains that choose, by their place in [`Member::weights`].
const CHOOSING: [ChainKind; 2] = [ChainKind::Service, ChainKind::ServiceLocal];

impl Chains {
    pub(super) fn of(facts: &Facts<'_>, pods: &LocalTraffic) -> Self {
        let uses = [
            (facts.has_external_chain(), ChainKind::External),
            (facts.has_firewall_chain(), ChainKind::Firewall),
            (!facts.cluster.is_empty(), ChainKind::Service),
            (!facts.local.is_empty(), ChainKind::ServiceLocal),
        ];
        let used = uses.into_iter().filter(|(used, _)| *used);
        Self {
            entry: entry::rules(facts, pods).into(),
            own: used.map(|(_, kind)| facts.chain(kind)).collect(),
            protocol: facts.protocol,
            affinity: facts.port.session_affinity,
            hash: facts.chain(ChainKind::Service).hash,
            endpoints: members(facts),
        }
    }

    pub(super) fn names(&self) -> impl Iterator<Item = ChainName> {
        let own = self.own.iter().copied();
        own.chain(self.endpoints.iter().map(Member::chain))
    }

    pub(super) const fn endpoints(&self) -> usize {
        self.endpoints.len()
    }

    /// How many rules [`Self::write`] writes.
    pub(super) fn rules(&self) -> usize {
        let lists = || (0..CHOOSING.len()).map(|list| self.weights(list));
        let balancing: usize = lists()
            .map(|weights| weights.filter(|weight| *weight > 0).count())
            .sum();
        let affinity: usize = lists().map(Iterator::count).sum();
        let entry = self.entry.lines().count();
        entry + balancing + self.affinity.map_or(0, |_| affinity) + 2 * self.endpoints.len()
    }

    /// The rules of the chains of the Service port of this name, with comments or without.
    pub(super) fn write(&self, out: &mut String, name: &str, comments: bool) {
        out.push_str(&self.entry);
        for list in 0..CHOOSING.len() {
            self.write_affinity(out, list, name, comments);
            self.write_balancing(out, list, name, comments);
        }
        for member in &self.endpoints {
            self.write_endpoint(out, member, name, comments);
        }
    }

    fn weights(&self, list: usize) -> impl Iterator<Item = u16> {
        self.endpoints
            .iter()
            .filter_map(move |member| member.weights[list])
    }

    fn members(&self, list: usize) -> impl Iterator<Item = (&Member, u16)> {
        let endpoints = self.endpoints.iter();
        endpoints.filter_map(move |member| Some((member, member.weights[list]?)))
    }

    /// Who has been here before goes where it was sent before, also to an endpoint that gets nobody new.
    fn write_affinity(&self, out: &mut String, list: usize, name: &str, comments: bool) {
        let Some(seconds) = self.affinity else { return };
        for (member, _) in self.members(list) {
            let chain = member.chain();
            self.write_choice(out, list, member, name, comments);
            let _ = writeln!(
                out,
                " -m recent --name {chain} --rcheck --seconds {seconds} --reap -j {chain}"
            );
        }
    }

    fn write_balancing(&self, out: &mut String, list: usize, name: &str, comments: bool) {
        let mut left: u64 = self.weights(list).map(u64::from).sum();
        for (member, weight) in self.members(list).filter(|(_, weight)| *weight > 0) {
            self.write_choice(out, list, member, name, comments);
            if u64::from(weight) < left {
                let share = Probability { weight, of: left };
                let _ = write!(out, " -m statistic --mode random --probability {share}");
            }
            let _ = writeln!(out, " -j {}", member.chain());
            left -= u64::from(weight);
        }
    }

    /// How a rule begins that may send to an endpoint.
    fn write_choice(&self, out: &mut String, list: usize, member: &Member, name: &str, comments: bool) {
        let chain = ChainName {
            kind: CHOOSING[list],
            hash: self.hash,
        };
        let _ = write!(out, "-A {chain}");
        if comments {
            let _ = write!(out, " -m comment --comment \"{name} -> {}\"", member.at());
        }
    }

    fn write_endpoint(&self, out: &mut String, member: &Member, name: &str, comments: bool) {
        let (chain, protocol) = (member.chain(), self.protocol);
        let begin = |out: &mut String| {
            let _ = write!(out, "-A {chain}");
            if comments {
                let _ = write!(out, " -m comment --comment {name}");
            }
        };
        begin(out);
        let _ = writeln!(out, " -s {} -j {MARK_MASQ}", member.address);
        begin(out);
        if self.affinity.is_some() {
            let _ = write!(out, " -m recent --name {chain} --set");
        }
        let at = member.at();
        let _ = writeln!(out, " -m {protocol} -p {protocol} -j DNAT --to-destination {at}");
    }
}

/// The endpoints of both lists, each once.
fn members(facts: &Facts<'_>) -> Box<[Member]> {
    let mut members: BTreeMap<String, Member> = BTreeMap::new();
    let mut hashed = format!("{}{}", facts.name, facts.protocol);
    let start = hashed.len();
    for (list, endpoints) in [facts.cluster, facts.local].into_iter().enumerate() {
        for Endpoint {
            address,
            port,
            weight,
            ..
        } in endpoints.iter().copied()
        {
            let at = SocketAddr::new(address, port).to_string();
            hashed.truncate(start);
            hashed.push_str(&at);
            let new = || Member {
                address,
                port,
                hash: Hash::of(&hashed),
                weights: [None; 2],
            };
            members.entry(at).or_insert_with(new).weights[list] = Some(weight);
        }
    }
    members.into_values().collect()
}
