//! Taking everything away again.

use anyhow::Result;

use super::{attach::detach_clsact, object::PinDir};
use crate::node::NodeFacts;

/// Detaches the programs from every device of this network namespace and removes what is pinned. Established connections
/// through a Service end with it. Safe to repeat.
///
/// # Errors
/// When something could not be removed.
pub fn cleanup(pins: &PinDir, facts: &NodeFacts) -> Result<()> {
    for link in facts.links.values() {
        detach_clsact(&link.name)?;
    }
    pins.remove()
}
