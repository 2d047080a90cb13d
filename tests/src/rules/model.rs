//! Rules, taken apart.

use std::{collections::BTreeMap, net::IpAddr, ops::RangeInclusive};

use anyhow::{Context as _, Result, bail, ensure};
use ipnet::IpNet;
use proxy_agent::model::Protocol;

/// The rules of one address family.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Rules {
    pub(super) tables: BTreeMap<String, Table>,
}

/// `nat`, `filter` and the others.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Table {
    /// By their names.
    pub chains: BTreeMap<String, Chain>,
}

/// Rules in their order.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Chain {
    /// What becomes of packets that come to the end.
    pub policy: Policy,
    /// The rules.
    pub rules: Vec<Rule>,
}

/// What the end of a chain does.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Policy {
    /// Goes back to where the chain was called, as each chain does that is not built in.
    #[default]
    Return,
    /// Lets the packet pass.
    Accept,
    /// Drops it.
    Drop,
}

/// What a packet must be, and what is done to it then.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Rule {
    /// All must hold; they are tried in this order.
    pub matches: Vec<Match>,
    /// `None` only counts packets.
    pub target: Option<Target>,
}

/// A test or its opposite.
#[derive(Clone, Debug, PartialEq)]
pub struct Match {
    /// Whether `!` is before it.
    pub negated: bool,
    /// The test.
    pub test: Test,
}

/// One question to a packet.
#[derive(Clone, Debug, PartialEq)]
pub enum Test {
    /// `-s`, `-d`.
    Address(Side, IpNet),
    /// `-p`.
    Protocol(Protocol),
    /// `-i` as source, `-o` as destination; `+` at the end stands for anything.
    Interface(Side, String),
    /// `--sport`, `--dport`.
    Ports(Side, RangeInclusive<u16>),
    /// `-m mark --mark`: the mark's bits within the mask.
    Mark {
        /// What they shall be.
        value: u32,
        /// Those that are looked at.
        mask: u32,
    },
    /// `-m addrtype --src-type LOCAL`, `--dst-type LOCAL`.
    Local(Side),
    /// `-m conntrack --ctstate`: any of these.
    States(Vec<State>),
    /// `-m conntrack --ctdir ORIGINAL`.
    FirstDirection,
    /// `-m statistic --mode random --probability`.
    Random(f64),
    /// `-m recent --rcheck`: the source is on the list, for no more than so many seconds.
    RecentlySeen {
        /// `--name`.
        list: String,
        /// `--seconds`.
        seconds: Option<u32>,
    },
    /// `-m recent --set`: puts the source on the list, always holds.
    Remember(String),
    /// `-m physdev --physdev-is-in`.
    FromBridgePort,
}

/// One end of a flow.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Side {
    /// Who sends.
    Source,
    /// Who receives.
    Destination,
}

/// What conntrack says of a packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    /// Opens a flow: so does every packet that is asked about here.
    New,
    /// Of a flow that has been answered.
    Established,
    /// Of a flow that another has announced.
    Related,
    /// Of no flow that could be.
    Invalid,
    /// Not looked at.
    Untracked,
    /// Its destination has been rewritten.
    Dnat,
    /// Its source has been rewritten.
    Snat,
}

/// What is done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Target {
    /// `-j CHAIN`.
    Jump(String),
    /// `-g CHAIN`: the end of that chain is the end of this one.
    Goto(String),
    /// The packet passes this hook.
    Accept,
    /// Silence.
    Drop,
    /// An answer that nobody is there.
    Reject,
    /// Back to the rule after the call.
    Return,
    /// Clears the bits of the mask and then flips those of the value: all operations on marks can be written so.
    Mark {
        /// Bits to flip.
        value: u32,
        /// Bits to clear.
        mask: u32,
    },
    /// `DNAT --to-destination`; without a port that of the packet stays.
    Dnat(IpAddr, Option<u16>),
    /// The node's address becomes the source.
    Masquerade,
}

impl Rules {
    /// Adds a chain that an excerpt does not show, with nothing in it; a chain that is known stays as it is.
    #[must_use]
    pub fn with_empty_chain(mut self, table: &str, chain: &str) -> Self {
        let table = self.tables.entry(table.to_owned()).or_default();
        table.chains.entry(chain.to_owned()).or_default();
        self
    }

    /// All of these, and the chains of `other` after them.
    ///
    /// # Errors
    ///
    /// Both have rules in the same chain.
    pub fn and(mut self, other: Self) -> Result<Self> {
        for (name, table) in other.tables {
            let own = self.tables.entry(name.clone()).or_default();
            for (chain, rules) in table.chains {
                let place = own.chains.entry(chain.clone()).or_default();
                ensure!(place.rules.is_empty(), "{name} has two chains {chain}");
                *place = rules;
            }
        }
        Ok(self)
    }

    /// The tables by their names.
    #[must_use]
    pub const fn tables(&self) -> &BTreeMap<String, Table> {
        &self.tables
    }

    /// What the kernel sees to when rules are loaded: each chain that is called exists, and none calls itself, directly or not.
    ///
    /// # Errors
    ///
    /// It would refuse them.
    pub fn check(&self) -> Result<()> {
        for (name, table) in &self.tables {
            let mut sound = Vec::new();
            for chain in table.chains.keys() {
                table
                    .follow(chain, &mut Vec::new(), &mut sound)
                    .with_context(|| format!("table {name}"))?;
            }
        }
        Ok(())
    }
}

impl Table {
    fn follow<'a>(
        &'a self,
        chain: &'a str,
        callers: &mut Vec<&'a str>,
        sound: &mut Vec<&'a str>,
    ) -> Result<()> {
        if sound.contains(&chain) {
            return Ok(());
        }
        if callers.contains(&chain) {
            bail!("chain {chain} calls itself by way of {callers:?}");
        }
        let Some(called) = self.chains.get(chain) else {
            bail!(
                "chain {chain}, which {callers:?} call, does not exist: declare it if an excerpt leaves it out"
            );
        };
        callers.push(chain);
        for rule in &called.rules {
            if let Some(Target::Jump(next) | Target::Goto(next)) = &rule.target {
                self.follow(next, callers, sound)?;
            }
        }
        callers.pop();
        sound.push(chain);
        Ok(())
    }
}
