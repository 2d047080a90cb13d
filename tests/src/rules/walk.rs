//! The way through the chains of one table.

use std::{collections::BTreeSet, net::SocketAddr};

use anyhow::{Context as _, Result};

use super::{Node, Packet, Policy, Rule, Side, Table, Target, judge};

/// A packet on its way, and how probable it is that it comes by.
#[derive(Clone, Debug)]
pub(super) struct Traveller {
    pub(super) packet: Packet,
    pub(super) mark: u32,
    pub(super) endpoint: Option<SocketAddr>,
    pub(super) masqueraded_by: Option<String>,
    pub(super) remembered_in: BTreeSet<String>,
    pub(super) probability: f64,
}

/// Where it is, and what the kernel knows there.
#[derive(Clone, Copy, Debug)]
pub(super) struct Place<'a> {
    pub(super) node: &'a Node,
    pub(super) hook: Hook,
}

/// The stations of the kernel, by the names of the chains that are built in there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Hook {
    Prerouting,
    Input,
    Forward,
    Output,
    Postrouting,
}

/// What a hook's chain says to a packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    Accept,
    Drop,
    Reject,
}

/// How far a rule or chain lets a packet come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum End {
    /// To the next rule.
    Rule,
    /// To the rule after the call of this chain.
    Chain,
    /// With this, through the hook.
    Hook(Verdict),
}

impl Traveller {
    pub(super) const fn start(packet: Packet) -> Self {
        Self {
            packet,
            mark: 0,
            endpoint: None,
            masqueraded_by: None,
            remembered_in: BTreeSet::new(),
            probability: 1.0,
        }
    }

    pub(super) fn with_chance(&self, chance: f64) -> Self {
        Self {
            probability: self.probability * chance,
            ..self.clone()
        }
    }
}

impl Hook {
    pub(super) const fn chain(self) -> &'static str {
        match self {
            Self::Prerouting => "PREROUTING",
            Self::Input => "INPUT",
            Self::Forward => "FORWARD",
            Self::Output => "OUTPUT",
            Self::Postrouting => "POSTROUTING",
        }
    }
}

impl<'a> Place<'a> {
    /// The interface that a packet comes from or goes to, as far as it is known at this hook.
    pub(super) fn interface(self, side: Side, packet: &'a Packet) -> Option<&'a str> {
        match (side, self.hook) {
            (Side::Source, Hook::Prerouting | Hook::Forward) => packet.interface.as_deref(),
            // What the node sends to itself comes back by its loopback device.
            (Side::Source, Hook::Input) => Some(packet.interface.as_deref().unwrap_or("lo")),
            (Side::Source, Hook::Output | Hook::Postrouting)
            | (Side::Destination, Hook::Prerouting | Hook::Input) => None,
            (Side::Destination, _) => self.node.route(packet.destination.ip()),
        }
    }
}

/// What the hook's chain in this table says to a packet, and how it then looks.
pub(super) fn hook(
    table: &Table,
    traveller: Traveller,
    place: Place<'_>,
) -> Result<Vec<(Verdict, Traveller)>> {
    let name = place.hook.chain();
    let chain = table.chains.get(name).with_context(|| {
        format!("there is no chain {name}: add what jumps from it, or declare it if an excerpt leaves it out")
    })?;
    let at_end = match chain.policy {
        Policy::Accept | Policy::Return => Verdict::Accept,
        Policy::Drop => Verdict::Drop,
    };
    let walk = Walk { table, place };
    let ends = walk.chain(name, traveller).into_iter();
    let verdict = |end| match end {
        End::Hook(verdict) => verdict,
        End::Rule | End::Chain => at_end,
    };
    Ok(ends.map(|(end, at)| (verdict(end), at)).collect())
}

struct Walk<'a> {
    table: &'a Table,
    place: Place<'a>,
}

impl Walk<'_> {
    fn chain(&self, name: &str, traveller: Traveller) -> Vec<(End, Traveller)> {
        let mut here = vec![traveller];
        let mut done = Vec::new();
        for rule in &self.table.chains[name].rules {
            let ends = here.into_iter().flat_map(|at| self.rule(name, rule, at));
            let (on, off): (Vec<_>, Vec<_>) = ends.partition(|(end, _)| *end == End::Rule);
            here = on.into_iter().map(|(_, at)| at).collect();
            done.extend(off);
        }
        done.extend(here.into_iter().map(|at| (End::Chain, at)));
        done
    }

    fn rule(&self, chain: &str, rule: &Rule, traveller: Traveller) -> Vec<(End, Traveller)> {
        let (taken, missed) = judge::split(rule, traveller, self.place);
        let mut ends: Vec<_> = missed.into_iter().map(|at| (End::Rule, at)).collect();
        match (taken, &rule.target) {
            (Some(taken), Some(target)) => ends.extend(self.target(chain, target, taken)),
            (Some(taken), None) => ends.push((End::Rule, taken)),
            (None, _) => {}
        }
        ends
    }

    fn target(&self, chain: &str, target: &Target, mut at: Traveller) -> Vec<(End, Traveller)> {
        let end = match target {
            Target::Jump(to) => return self.call(to, at),
            Target::Goto(to) => return self.chain(to, at),
            Target::Return => End::Chain,
            Target::Accept => End::Hook(Verdict::Accept),
            Target::Drop => End::Hook(Verdict::Drop),
            Target::Reject => End::Hook(Verdict::Reject),
            Target::Mark { value, mask } => {
                at.mark = (at.mark & !mask) ^ value;
                End::Rule
            }
            Target::Dnat(address, port) => {
                let port = port.unwrap_or(at.packet.destination.port());
                at.packet.destination = SocketAddr::new(*address, port);
                at.endpoint = Some(at.packet.destination);
                End::Hook(Verdict::Accept)
            }
            Target::Masquerade => {
                at.masqueraded_by = Some(chain.to_owned());
                End::Hook(Verdict::Accept)
            }
        };
        vec![(end, at)]
    }

    fn call(&self, chain: &str, at: Traveller) -> Vec<(End, Traveller)> {
        let back = |end| match end {
            End::Chain => End::Rule,
            other => other,
        };
        let ends = self.chain(chain, at).into_iter();
        ends.map(|(end, at)| (back(end), at)).collect()
    }
}
