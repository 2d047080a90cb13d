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

    /// The rules of the chains, with comments if the Service port's name for them is given.
    pub(super) fn write(&self, out: &mut String, name: Option<&str>) {
        out.push_str(&self.entry);
        for (list, kind) in CHOOSING.into_iter().enumerate() {
            let hash = self.hash;
            let chain = ChainName { kind, hash }.to_string();
            let choice = Choice { chain, name };
            self.write_affinity(out, list, &choice);
            self.write_balancing(out, list, &choice);
        }
        for member in &self.endpoints {
            self.write_endpoint(out, member, name);
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
    fn write_affinity(&self, out: &mut String, list: usize, choice: &Choice<'_>) {
        let Some(seconds) = self.affinity else { return };
        for (member, _) in self.members(list) {
            let chain = member.chain();
            choice.write(out, member);
            let _ = writeln!(
                out,
                " -m recent --name {chain} --rcheck --seconds {seconds} --reap -j {chain}"
            );
        }
    }

    fn write_balancing(&self, out: &mut String, list: usize, choice: &Choice<'_>) {
        let mut left: u64 = self.weights(list).map(u64::from).sum();
        for (member, weight) in self.members(list).filter(|(_, weight)| *weight > 0) {
            choice.write(out, member);
            if u64::from(weight) < left {
                let share = Probability { weight, of: left };
                let _ = write!(out, " -m statistic --mode random --probability {share}");
            }
            let _ = writeln!(out, " -j {}", member.chain());
            left -= u64::from(weight);
        }
    }

    fn write_endpoint(&self, out: &mut String, member: &Member, name: Option<&str>) {
        let (chain, protocol, start) = (member.chain(), self.protocol, out.len());
        let _ = write!(out, "-A {chain}");
        if let Some(name) = name {
            let _ = write!(out, " -m comment --comment {name}");
        }
        let beginning = start..out.len();
        let _ = writeln!(out, " -s {} -j {MARK_MASQ}", member.address);
        out.extend_from_within(beginning);
        if self.affinity.is_some() {
            let _ = write!(out, " -m recent --name {chain} --set");
        }
        let at = member.at();
        let _ = writeln!(out, " -m {protocol} -p {protocol} -j DNAT --to-destination {at}");
    }
}

/// How the rules of a list begin that may send to an endpoint.
struct Choice<'a> {
    chain: String,
    /// Of the Service port, where there are comments.
    name: Option<&'a str>,
}

impl Choice<'_> {
    fn write(&self, out: &mut String, member: &Member) {
        out.push_str("-A ");
        out.push_str(&self.chain);
        if let Some(name) = self.name {
            let _ = write!(out, " -m comment --comment \"{name} -> {}\"", member.at());
        }
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
            hashed.truncate(start);
            let _ = write!(hashed, "{}", SocketAddr::new(address, port));
            let new = || Member {
                address,
                port,
                hash: Hash::of(&hashed),
                weights: [None; 2],
            };
            let at = hashed[start..].to_owned();
            members.entry(at).or_insert_with(new).weights[list] = Some(weight);
        }
    }
    members.into_values().collect()
}
