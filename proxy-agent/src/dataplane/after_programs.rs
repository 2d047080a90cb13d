//! Rules that serve new connections, while the programs of an earlier run serve those that they have begun.

use std::time::{Duration, Instant};

use super::{
    Applied, ApplyError, Dataplane, Status,
    bpf::{drain::Drain, object::PinDir},
    iptables::IptablesDataplane,
};
use crate::{
    explain::explain,
    model::{Delta, Desired},
    node::NodeFacts,
};

/// Time between two looks at what is left.
const LOOK: Duration = Duration::from_secs(5);

/// The rules, and what may be attached beside them.
pub struct RulesAfterPrograms {
    rules: IptablesDataplane,
    pins: PinDir,
    facts: NodeFacts,
    programs: Programs,
}

/// The programs of an earlier run.
enum Programs {
    /// Nobody has looked yet.
    Unknown,
    /// Until none of their flows is left; when it is looked again.
    Draining(Box<Drain>, Instant),
    /// There are none, or they cannot be had.
    Gone,
}

impl RulesAfterPrograms {
    /// Programs of an earlier run have pinned their maps and links at `pins`.
    #[must_use]
    pub fn new(rules: IptablesDataplane, pins: PinDir) -> Self {
        Self {
            rules,
            pins,
            facts: NodeFacts::default(),
            programs: Programs::Unknown,
        }
    }

    /// The rules are there: the programs need not open flows any more.
    fn tend(&mut self, desired: &Desired, applied: Applied) -> Applied {
        if matches!(self.programs, Programs::Unknown) {
            self.programs = self.begin();
        }
        let Programs::Draining(drain, due) = &mut self.programs else {
            return applied;
        };
        // Not with every change: all flows are looked at.
        if Instant::now() >= *due {
            *due = Instant::now() + LOOK;
            drain.end_misled(desired);
            match drain.look() {
                Ok(left) if left.is_none() => self.finish(),
                Ok(_) => {}
                Err(error) => tracing::warn!("cannot look at the programs' flows: {}", explain(&error)),
            }
        }
        Applied {
            again_in: Some(applied.again_in.map_or(LOOK, |again| again.min(LOOK))),
            ..applied
        }
    }

    fn begin(&self) -> Programs {
        if let Err(error) = self.pins.remove_others() {
            let why = explain(&error);
            tracing::warn!("programs of another version stay attached and go on with what they know: {why}");
        }
        match Drain::begin(&self.pins) {
            Ok(None) => Programs::Gone,
            Ok(Some(drain)) => {
                tracing::info!(
                    "the programs of an earlier run serve their connections until those have ended"
                );
                Programs::Draining(Box::new(drain), Instant::now())
            }
            Err(error) => {
                let why = explain(&error);
                tracing::warn!(
                    "programs of an earlier run stay attached and go on with what they know (kube-portal cleanup removes them): {why}"
                );
                Programs::Gone
            }
        }
    }

    fn finish(&mut self) {
        let Programs::Draining(drain, _) = std::mem::replace(&mut self.programs, Programs::Gone) else {
            return;
        };
        match drain.finish(&self.facts) {
            Ok(()) => tracing::info!("the programs' last connection has ended: they are removed"),
            Err(error) => {
                let why = explain(&error);
                tracing::warn!("cannot remove the programs (kube-portal cleanup --drain tries again): {why}");
            }
        }
    }
}

impl Dataplane for RulesAfterPrograms {
    fn apply_all(&mut self, desired: &Desired) -> Result<Applied, ApplyError> {
        let applied = self.rules.apply_all(desired)?;
        Ok(self.tend(desired, applied))
    }

    fn apply_delta(&mut self, desired: &Desired, delta: &Delta) -> Result<Applied, ApplyError> {
        let applied = self.rules.apply_delta(desired, delta)?;
        Ok(self.tend(desired, applied))
    }

    fn count_drift(&mut self) -> Result<usize, ApplyError> {
        self.rules.count_drift()
    }

    fn apply_node(&mut self, facts: &NodeFacts) -> Result<(), ApplyError> {
        if matches!(self.programs, Programs::Draining(..) | Programs::Unknown) {
            self.facts = facts.clone();
        }
        self.rules.apply_node(facts)
    }

    fn status(&self) -> Status {
        self.rules.status()
    }
}
