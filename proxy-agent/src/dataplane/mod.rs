//! What makes the kernel do what the model says. A dataplane sees neither Kubernetes types nor sources.

use std::time::Duration;

use crate::{
    model::{Changes, Desired},
    node::NodeFacts,
};

pub mod bpf;

/// A dataplane. Blocking on purpose: `sync` gives it a thread of its own.
pub trait Dataplane: Send {
    /// Makes the kernel match `desired`, deleting what is not in it. Idempotent; `changes` is a hint and may be ignored.
    ///
    /// Never called before all sources have been listed, so leftovers of an earlier run are safe to delete here.
    ///
    /// # Errors
    /// When anything could not be written; what was written stays, and the next call writes the rest.
    fn apply(&mut self, desired: &Desired, changes: &Changes) -> Result<Applied, ApplyError>;

    /// Follows the node's addresses and interfaces. Idempotent.
    ///
    /// # Errors
    /// When an interface could not be served; the others are.
    fn apply_node(&mut self, facts: &NodeFacts) -> Result<(), ApplyError>;
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
