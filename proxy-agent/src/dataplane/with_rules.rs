//! Programs, and iptables rules for what they do not serve. Where there is nothing of that, rules of kube-proxy's that somebody has left are
//! taken away: they would cost every packet, and serve what was there when they were written.

use std::time::{Duration, Instant};

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

/// Time between two looks at whether netfilter still carries connections.
const LOOK: Duration = Duration::from_secs(30);

/// The programs, and the rules beside them.
pub struct ProgramsWithRules {
    programs: BpfDataplane,
    options: iptables::Options,
    rules: Option<IptablesDataplane>,
    /// When it is looked again whether netfilter still carries connections of Services.
    next_look: Option<Instant>,
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
            next_look: None,
            facts: NodeFacts::default(),
        }
    }

    fn write_all(&mut self, desired: &Desired) -> Result<Applied, ApplyError> {
        if !desired.frontends.keys().any(is_of_rules) {
            self.rules = None;
            return Ok(self.make_way());
        }
        self.next_look = None;
        if self.rules.is_none() {
            self.rules = self.start();
        }
        match &mut self.rules {
            Some(rules) => rules.apply_all(desired),
            None => Ok(Applied::default()),
        }
    }

    fn make_way(&mut self) -> Applied {
        let again_in = iptables::make_way().then_some(LOOK);
        self.next_look = again_in.map(|again| Instant::now() + again);
        Applied {
            again_in,
            ..Applied::default()
        }
    }

    /// What is left of other rules' time.
    fn look_again(&mut self) -> Applied {
        let Some(due) = self.next_look else {
            return Applied::default();
        };
        match due.checked_duration_since(Instant::now()) {
            Some(left) if !left.is_zero() => Applied {
                again_in: Some(left),
                ..Applied::default()
            },
            _ => self.make_way(),
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
            None => Ok(self.look_again()),
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
        if let Some(rules) = &self.rules {
            status.unserved.insert(UNSERVED, 0);
            status.rules = rules.status().rules;
        }
        status
    }
}
