//! What makes the kernel do what the model says. A dataplane sees neither Kubernetes types nor sources.

use std::{collections::BTreeMap, time::Duration};

use crate::{
    model::{Delta, Desired},
    node::NodeFacts,
};

pub mod after_programs;
pub mod bpf;
pub mod iptables;
mod udp;
pub mod with_rules;

/// A dataplane. Blocking on purpose: `sync` gives it a thread of its own.
pub trait Dataplane: Send {
    /// Makes the kernel match all of `desired`, deleting what is not in it. Idempotent.
    ///
    /// Never called before all sources have been listed, so leftovers of an earlier run are safe to delete here.
    ///
    /// # Errors
    /// When anything could not be written; what was written stays, and the next call writes the rest.
    fn apply_all(&mut self, desired: &Desired) -> Result<Applied, ApplyError>;

    /// Makes the kernel match `desired`, of which only what `delta` names is different since the last call of this or
    /// [`Self::apply_all`], which must have succeeded. The work is that of `delta`. An empty one does what was left for later.
    ///
    /// # Errors
    /// As [`Self::apply_all`], which has to be called next.
    fn apply_delta(&mut self, desired: &Desired, delta: &Delta) -> Result<Applied, ApplyError>;

    /// Reads what the kernel holds and tells in how many entries it is not what was written: somebody else's doing, which
    /// [`Self::apply_all`] repairs.
    ///
    /// # Errors
    /// When something could not be read.
    fn count_drift(&mut self) -> Result<usize, ApplyError>;

    /// Follows the node's addresses and interfaces. Idempotent.
    ///
    /// # Errors
    /// When an interface could not be served; the others are.
    fn apply_node(&mut self, facts: &NodeFacts) -> Result<(), ApplyError>;

    /// How things stand after the last pass.
    fn status(&self) -> Status;
}

impl<D: Dataplane + ?Sized> Dataplane for Box<D> {
    fn apply_all(&mut self, desired: &Desired) -> Result<Applied, ApplyError> {
        (**self).apply_all(desired)
    }

    fn apply_delta(&mut self, desired: &Desired, delta: &Delta) -> Result<Applied, ApplyError> {
        (**self).apply_delta(desired, delta)
    }

    fn count_drift(&mut self) -> Result<usize, ApplyError> {
        (**self).count_drift()
    }

    fn apply_node(&mut self, facts: &NodeFacts) -> Result<(), ApplyError> {
        (**self).apply_node(facts)
    }

    fn status(&self) -> Status {
        (**self).status()
    }
}

/// What a dataplane serves, and what not.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Status {
    /// How many frontends are not served, or not in all they ask for, by reason. Every reason that there can be is in it.
    pub unserved: BTreeMap<&'static str, usize>,
    /// How full the tables are.
    pub maps: Vec<MapUse>,
}

/// How full a table is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MapUse {
    /// Its name.
    pub name: &'static str,
    /// So many entries are in it.
    pub entries: usize,
    /// It has room for so many.
    pub size: u32,
}

/// What a pass did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Applied {
    /// Entries written.
    pub updates: usize,
    /// Entries deleted.
    pub deletes: usize,
    /// Something is left that can only be done after this time: call again.
    pub again_in: Option<Duration>,
}

/// Why a pass did not do everything. The next one tries again.
#[derive(Debug, thiserror::Error)]
#[error(transparent)]
pub struct ApplyError(#[from] pub anyhow::Error);
