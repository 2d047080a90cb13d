//! What `iptables-restore --noflush --counters` is to read, from what the dataplane shall do: kube-proxy's rules to the letter.
//!
//! ```text
//! Desired ─▶ Facts of a Service port ─┬─▶ captures: its lines in the chains that all share ── written every time
//!                                     └─▶ Chains: its own ── written if something in them is different
//! NodeRules, Settings ─▶ Fixed: the rest ── written every time
//! ```
//! Names, comments, order and numbers are those of kube-proxy 1.36, which finds its own rules when it comes after us. Services
//! come in the order of their names, their addresses of a kind in ascending order, so equal input gives equal bytes; kube-proxy
//! has them in no order. Weights are ours: where all are equal the rules are kube-proxy's.
//!
//! Pure: no clock, no files, nothing random.
#![forbid(unsafe_code)]

mod capture;
mod chains;
mod claimants;
mod entry;
mod facts;
mod fixed;
pub mod jumps;
mod lines;
pub mod names;
mod probability;
mod text;

use std::{
    collections::{BTreeMap, BTreeSet},
    net::IpAddr,
    sync::{Arc, OnceLock},
};

pub(super) use self::{capture::LOCALHOST_COUNTER, fixed::INVALID_COUNTER};
use self::{
    capture::captures, chains::Chains, claimants::Claimants, facts::Facts, fixed::Fixed, lines::Lines,
    names::ChainName,
};
use crate::model::{Delta, Desired, Family, FamilyRules, FrontendKey, Protocol, ServicePortId};

/// With more endpoints than these the rules that choose among them have no comments. Counted are those that this node sends to;
/// kube-proxy counts the others, too.
const LARGE_CLUSTER: usize = 1000;

/// More than the rules of most Service ports take, those of endpoints not counted: a text that grows moves.
const EXPECTED_BYTES: usize = 256;

/// What the rules depend on beside the cluster.
#[derive(Clone, Debug, PartialEq, Eq)]
#[expect(
    clippy::struct_excessive_bools,
    reason = "each is a rule, or a word of a rule, of its own"
)]
pub struct Settings {
    /// The family that is rendered.
    pub family: Family,
    /// Only the Services of this protocol, if not all.
    pub only: Option<Protocol>,
    /// The bit of the packet mark that asks for masquerading.
    pub mark: u32,
    /// The iptables program knows `--random-fully`.
    pub random_fully: bool,
    /// Node ports are served at the node's loopback addresses, where `--nodeport-addresses` includes them. Only IPv4.
    pub localhost_node_ports: bool,
    /// Packets that belong to no connection are not forwarded: unless `nf_conntrack_tcp_be_liberal` is set.
    pub drops_invalid: bool,
    /// The nfacct counter of such packets is there.
    pub invalid_counter: bool,
    /// The nfacct counter of packets to node ports at loopback addresses is there.
    pub localhost_counter: bool,
}

/// How much a text is to hold of the chains of Services; the others are always whole.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Extent {
    /// All of them.
    Full,
    /// Those that are not as they were when a text was last written.
    Partial,
}

/// How many rules a text has, those that delete stale chains not counted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct RuleCounts {
    /// In table filter.
    pub filter: usize,
    /// In table nat.
    pub nat: usize,
}

/// The rules of one family, kept up to date change by change.
#[derive(Debug)]
pub struct Renderer {
    settings: Settings,
    fixed: Fixed,
    claimants: Claimants,
    /// By table, of winners and of those who come after all winners.
    filter: [Lines; 2],
    nat: [Lines; 2],
    chains: BTreeMap<Arc<ServicePortId>, Chains>,
    /// Those whose chains are not written yet.
    pending: BTreeSet<Arc<ServicePortId>>,
    /// Found when somebody asks: changes come and go without.
    active: OnceLock<BTreeSet<ChainName>>,
    /// Those that may be in the kernel and are not needed any more.
    left: BTreeSet<ChainName>,
    endpoints: usize,
}

impl Renderer {
    /// Of a cluster without Services.
    #[must_use]
    pub fn new(settings: Settings) -> Self {
        let fixed = Fixed::new(&settings, &FamilyRules::default(), &[]);
        Self {
            settings,
            fixed,
            claimants: Claimants::default(),
            filter: Default::default(),
            nat: Default::default(),
            chains: BTreeMap::new(),
            pending: BTreeSet::new(),
            active: OnceLock::new(),
            left: BTreeSet::new(),
            endpoints: 0,
        }
    }

    /// Renders every Service port anew. `node_addresses` are all that the node has, of both families.
    pub fn render_all(&mut self, desired: &Desired, node_addresses: &[IpAddr]) {
        let mut new = Self::new(self.settings.clone());
        let rules = desired.node.of(new.settings.family);
        new.fixed = Fixed::new(&new.settings, rules, node_addresses);
        new.render_changed(
            desired,
            desired.frontends.keys().chain(desired.refused.keys()),
            BTreeSet::new(),
        );
        *self = new;
    }

    /// Renders again what `delta` names: what is different in `desired` since the last call of this or [`Self::render_all`].
    pub fn render(&mut self, desired: &Desired, node_addresses: &[IpAddr], delta: &Delta) {
        if delta.node {
            return self.render_all(desired, node_addresses);
        }
        self.set_node_addresses(node_addresses);
        let lists = delta.lists.iter();
        let of_family = lists.filter(|list| list.family == self.settings.family);
        let ports = of_family
            .map(|list| &list.service_port)
            .chain(&delta.service_ports);
        let touched = ports
            .filter_map(|port| self.claimants.shared(port))
            .cloned()
            .collect();
        self.render_changed(desired, delta.frontends.iter().chain(&delta.conflicts), touched);
    }

    /// Follows the node's addresses, of both families; whether that makes a difference to the rules.
    pub fn set_node_addresses(&mut self, node_addresses: &[IpAddr]) -> bool {
        self.fixed
            .set_node_addresses(self.settings.family, node_addresses)
    }

    /// The text was restored: the chains are as it says.
    pub fn written(&mut self) {
        self.pending.clear();
        self.left.clear();
    }

    /// Whether a chain of table nat is a Service's that is in use.
    #[must_use]
    pub fn is_active(&self, chain: &str) -> bool {
        let active = self.active.get_or_init(|| self.names().collect());
        ChainName::parse(chain).is_some_and(|name| active.contains(&name))
    }

    /// The names of all chains of Services that are in use.
    pub fn active(&self) -> impl Iterator<Item = String> + '_ {
        self.names().map(|name| name.to_string())
    }

    /// The chains of Services that have come out of use since [`Self::written`].
    #[must_use]
    pub fn left(&self) -> Vec<String> {
        self.left.iter().map(ToString::to_string).collect()
    }

    /// Whether there are so many endpoints that kube-proxy spares itself what is not urgent: it looks for stale chains once in a
    /// while only, and does not write everything again from time to time.
    #[must_use]
    pub const fn is_large(&self) -> bool {
        self.endpoints > LARGE_CLUSTER
    }

    fn render_changed<'a>(
        &mut self,
        desired: &Desired,
        keys: impl Iterator<Item = &'a FrontendKey>,
        mut touched: BTreeSet<Arc<ServicePortId>>,
    ) {
        let was_large = self.is_large();
        for key in keys.filter(|key| self.settings.includes(key)).collect::<Vec<_>>() {
            self.claimants.update(desired, key, &mut touched);
        }
        for port in touched {
            self.render_port(desired, &port);
        }
        if was_large != self.is_large() {
            self.pending = self.chains.keys().cloned().collect();
        }
    }

    fn render_port(&mut self, desired: &Desired, port: &Arc<ServicePortId>) {
        self.forget_chains(port);
        let keys = self.claimants.keys(port);
        let facts = Facts::of(desired, port, keys, self.settings.family);
        let counts_localhost = self.fixed.localhost && self.settings.localhost_counter;
        let captures = facts.as_ref().map(|facts| captures(facts, counts_localhost));
        for (at, captures) in captures.unwrap_or_default().iter().enumerate() {
            self.filter[at].set(port, &captures.filter);
            self.nat[at].set(port, &captures.nat);
        }
        if let Some(facts) = facts {
            let chains = Chains::of(&facts, &self.fixed.pods);
            self.keep_chains(port, chains);
        }
    }

    fn names(&self) -> impl Iterator<Item = ChainName> + '_ {
        self.chains.values().flat_map(Chains::names)
    }

    fn keep_chains(&mut self, port: &Arc<ServicePortId>, chains: Chains) {
        self.active.take();
        self.endpoints += chains.endpoints();
        for name in chains.names() {
            self.left.remove(&name);
        }
        self.chains.insert(Arc::clone(port), chains);
        self.pending.insert(Arc::clone(port));
    }

    fn forget_chains(&mut self, port: &Arc<ServicePortId>) {
        let Some(chains) = self.chains.remove(port) else {
            return;
        };
        self.active.take();
        self.endpoints -= chains.endpoints();
        self.left.extend(chains.names());
        self.pending.remove(port);
    }
}

impl Settings {
    /// kube-proxy's, of all Services, where iptables and the kernel have everything but nfacct counters.
    #[must_use]
    pub const fn of(family: Family) -> Self {
        Self {
            family,
            only: None,
            mark: 1 << 14,
            random_fully: true,
            localhost_node_ports: true,
            drops_invalid: true,
            invalid_counter: false,
            localhost_counter: false,
        }
    }

    fn includes(&self, key: &FrontendKey) -> bool {
        key.address.family() == self.family && self.only.is_none_or(|protocol| key.protocol == protocol)
    }
}
