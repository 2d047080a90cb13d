//! Programs, and iptables rules for what they do not serve. Where there is nothing of that, rules of kube-proxy's that somebody has left are
//! taken away: they would cost every packet, and serve what was there when they were written.

use super::{
    Applied, ApplyError, Dataplane, Status,
    bpf::BpfDataplane,
    iptables::{self, IptablesDataplane},
};
use crate::{
    explain::explain,
    model::{Delta, Desired, FrontendKey, Protocol},
    node::NodeFacts,
};

/// What the programs leave to rules.
const OF_RULES: Protocol = Protocol::Sctp;
/// What [`Status::unserved`] calls it.
const UNSERVED: &str = "sctp";

/// The programs, and the rules beside them.
pub struct ProgramsWithRules {
    programs: BpfDataplane,
    options: iptables::Options,
    rules: Option<IptablesDataplane>,
    facts: NodeFacts,
}

impl ProgramsWithRules {
    /// The rules will be as `options` say, which are those of iptables mode.
    #[must_use]
    pub fn new(programs: BpfDataplane, options: iptables::Options) -> Self {
        Self {
            programs,
            options: options.beside_programs(OF_RULES),
            rules: None,
            facts: NodeFacts::default(),
        }
    }

    fn write_all(&mut self, desired: &Desired) -> Result<Applied, ApplyError> {
        if !desired.frontends.keys().any(is_of_rules) {
            self.rules = None;
            iptables::make_way();
            return Ok(Applied::default());
        }
        if self.rules.is_none() {
            self.rules = self.start();
        }
        match &mut self.rules {
            Some(rules) => rules.apply_all(desired),
            None => Ok(Applied::default()),
        }
    }

    /// A node without iptables serves all else.
    fn start(&self) -> Option<IptablesDataplane> {
        let rules = IptablesDataplane::new(self.options).map_err(ApplyError);
        let rules = rules.and_then(|mut rules| rules.apply_node(&self.facts).map(|()| rules));
        rules
            .inspect_err(|error| {
                let why = explain(&error.0);
                tracing::warn!("SCTP is not served (kube-portal inspect limits names the Services): {why}");
            })
            .ok()
    }

    fn write(&mut self, desired: &Desired, delta: &Delta) -> Result<Applied, ApplyError> {
        let has_changed = delta.frontends.iter().any(is_of_rules);
        match &mut self.rules {
            Some(rules) if !has_changed => rules.apply_delta(desired, delta),
            Some(_) => self.write_all(desired),
            None if has_changed || delta.node => self.write_all(desired),
            None => Ok(Applied::default()),
        }
    }
}

fn is_of_rules(key: &FrontendKey) -> bool {
    key.protocol == OF_RULES
}

/// The sum of both; the earlier one of their times.
fn both(programs: Applied, rules: Applied) -> Applied {
    Applied {
        updates: programs.updates + rules.updates,
        deletes: programs.deletes + rules.deletes,
        again_in: programs.again_in.into_iter().chain(rules.again_in).min(),
    }
}

impl Dataplane for ProgramsWithRules {
    fn apply_all(&mut self, desired: &Desired) -> Result<Applied, ApplyError> {
        let programs = self.programs.apply_all(desired)?;
        Ok(both(programs, self.write_all(desired)?))
    }

    fn apply_delta(&mut self, desired: &Desired, delta: &Delta) -> Result<Applied, ApplyError> {
        let programs = self.programs.apply_delta(desired, delta)?;
        Ok(both(programs, self.write(desired, delta)?))
    }

    fn count_drift(&mut self) -> Result<usize, ApplyError> {
        let rules = self.rules.as_mut().map(Dataplane::count_drift);
        Ok(self.programs.count_drift()? + rules.transpose()?.unwrap_or_default())
    }

    fn apply_node(&mut self, facts: &NodeFacts) -> Result<(), ApplyError> {
        self.facts = facts.clone();
        let rules = self
            .rules
            .as_mut()
            .map_or(Ok(()), |rules| rules.apply_node(facts));
        self.programs.apply_node(facts).and(rules)
    }

    fn status(&self) -> Status {
        let mut status = self.programs.status();
        if self.rules.is_some() {
            status.unserved.insert(UNSERVED, 0);
        }
        status
    }
}
