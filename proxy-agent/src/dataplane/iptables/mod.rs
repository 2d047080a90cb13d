//! The dataplane of nodes without usable BPF: kube-proxy's own iptables rules.
//!
//! ```text
//! Desired, Delta ──render──▶ restore text ──▶ iptables-restore (nft or legacy, each family)
//! iptables-save ──saved──▶ tables: stale chains, jumps and canaries that are missing
//! ```

mod backend;
mod clean;
mod cleanup;
mod family;
pub mod render;
mod saved;
mod tables;

use std::{fs, net::IpAddr, time::Duration};

use anyhow::{Context as _, Result, bail};

pub use self::cleanup::cleanup;
pub(super) use self::cleanup::make_way;
use self::{
    family::Rules,
    render::{Renderer, Settings},
};
use super::{Applied, ApplyError, Dataplane, Status};
use crate::{
    model::{Delta, Desired, Family, Protocol},
    netfilter::iptables::IptablesError,
    node::NodeFacts,
};

/// How often it is looked whether somebody has flushed the rules.
const CANARY_PERIOD: Duration = Duration::from_secs(30);
const TCP_BE_LIBERAL: &str = "/proc/sys/net/netfilter/nf_conntrack_tcp_be_liberal";
const ROUTE_LOCALNET: &str = "/proc/sys/net/ipv4/conf/all/route_localnet";

/// How the rules are set up.
#[derive(Clone, Copy, Debug)]
pub struct Options {
    /// The bit of the packet mark that asks for masquerading.
    pub mark: u32,
    /// Node ports are served at IPv4 loopback addresses.
    pub localhost_node_ports: bool,
    /// Time between two looks at whether somebody has flushed the rules.
    pub canary_period: Option<Duration>,
    /// Only the Services of this protocol, because programs serve the others.
    pub only: Option<Protocol>,
}

impl Options {
    /// For the Services of one protocol, where programs serve all others.
    #[must_use]
    pub const fn beside_programs(self, only: Protocol) -> Self {
        Self {
            only: Some(only),
            ..self
        }
    }
}

/// The rules on this node.
#[derive(Debug)]
pub struct IptablesDataplane {
    rules: Vec<Rules>,
    addresses: Vec<IpAddr>,
    canary_period: Duration,
    serves_udp: bool,
}

impl IptablesDataplane {
    /// Finds the node's iptables programs, and lets loopback addresses be routed if node ports are to be served there. A family
    /// that has no iptables is not served.
    ///
    /// # Errors
    /// When no family has any.
    pub fn new(options: Options) -> Result<Self> {
        let mut rules = Vec::new();
        let mut failed = None;
        for family in Family::ALL {
            match of_family(family, options) {
                Ok(of_family) => rules.push(of_family),
                Err(error) => {
                    tracing::warn!(?family, "not served: {error}");
                    failed = Some(error);
                }
            }
        }
        if let (true, Some(error)) = (rules.is_empty(), failed) {
            bail!("no iptables is usable: {error}; install iptables");
        }
        if options.localhost_node_ports {
            route_loopback_addresses()?;
        }
        Ok(Self {
            rules,
            addresses: Vec::new(),
            canary_period: options.canary_period.unwrap_or(CANARY_PERIOD),
            serves_udp: options.only.is_none_or(|only| only == Protocol::Udp),
        })
    }

    fn each(
        &mut self,
        mut apply: impl FnMut(&mut Rules, &[IpAddr]) -> Result<Applied, IptablesError>,
    ) -> Result<Applied, ApplyError> {
        let mut applied = Applied {
            again_in: Some(self.canary_period),
            ..Applied::default()
        };
        let mut failed = None;
        for rules in &mut self.rules {
            match apply(rules, &self.addresses) {
                Ok(of_family) => {
                    applied.updates += of_family.updates;
                    applied.deletes += of_family.deletes;
                }
                Err(error) => failed = Some(error),
            }
        }
        failed.map_or(Ok(applied), |error| Err(anyhow::Error::new(error).into()))
    }
}

fn of_family(family: Family, options: Options) -> Result<Rules> {
    let backend = backend::choose(family)?;
    let version = backend.version()?;
    // A kernel without the family, or without its NAT, says so here and not at every pass.
    backend.save("nat")?;
    tracing::info!(?family, version, "iptables");
    let settings = Settings {
        mark: options.mark,
        random_fully: backend::knows_random_fully(&version),
        localhost_node_ports: options.localhost_node_ports,
        // What programs have translated before conntrack sees it, it may not make sense of.
        drops_invalid: options.only.is_none()
            && fs::read_to_string(TCP_BE_LIBERAL).is_ok_and(|text| text.trim() == "0"),
        only: options.only,
        ..Settings::of(family)
    };
    Ok(Rules::new(family, backend, Renderer::new(settings)))
}

/// As kube-proxy does it; the rule in KUBE-FIREWALL keeps others out.
fn route_loopback_addresses() -> Result<()> {
    if fs::read_to_string(ROUTE_LOCALNET).is_ok_and(|text| text.trim() == "1") {
        return Ok(());
    }
    tracing::info!("setting route_localnet, so that node ports can be reached at 127.0.0.1");
    fs::write(ROUTE_LOCALNET, "1").with_context(|| {
        format!("cannot write {ROUTE_LOCALNET}; --iptables-localhost-nodeports=false does without")
    })
}

/// After the rules are written: a packet that comes in between meets the new ones. A kernel that does not let its flows be seen is
/// no reason to write the rules again.
fn clean_flows(desired: &Desired) {
    match clean::clean(desired) {
        Ok(0) => {}
        Ok(deleted) => {
            tracing::info!(
                deleted,
                "UDP flows of conntrack went elsewhere than their Services do now"
            );
        }
        Err(error) => tracing::warn!("UDP flows stay where they are until they are idle: {error}"),
    }
}

impl Dataplane for IptablesDataplane {
    fn apply_all(&mut self, desired: &Desired) -> Result<Applied, ApplyError> {
        let applied = self.each(|rules, addresses| rules.apply_all(desired, addresses))?;
        if self.serves_udp {
            clean_flows(desired);
        }
        Ok(applied)
    }

    fn apply_delta(&mut self, desired: &Desired, delta: &Delta) -> Result<Applied, ApplyError> {
        let applied = self.each(|rules, addresses| rules.apply_delta(desired, addresses, delta))?;
        if self.serves_udp && clean::is_needed(delta) {
            clean_flows(desired);
        }
        Ok(applied)
    }

    fn count_drift(&mut self) -> Result<usize, ApplyError> {
        let mut drift = 0;
        for rules in &self.rules {
            drift += rules.count_drift().map_err(anyhow::Error::new)?;
        }
        Ok(drift)
    }

    fn apply_node(&mut self, facts: &NodeFacts) -> Result<(), ApplyError> {
        let addresses = facts.addresses.values().flatten();
        self.addresses = addresses.map(|address| address.net.addr()).collect();
        for rules in &mut self.rules {
            rules
                .set_node_addresses(&self.addresses)
                .map_err(anyhow::Error::new)?;
        }
        Ok(())
    }

    fn status(&self) -> Status {
        Status::default()
    }
}
