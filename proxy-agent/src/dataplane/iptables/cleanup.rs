//! Taking away every rule and chain of kube-proxy's, ours or its.

use anyhow::{Context as _, Result};

use super::{backend, tables::Tables};
use crate::netfilter::{
    self,
    iptables::{self, Backend, IptablesError},
};

/// In both worlds of both families. What others have made stays.
///
/// # Errors
/// When an iptables program fails, for example because somebody else's rule leads to one of the chains.
pub fn cleanup() -> Result<()> {
    for (backend, tables) in iptables::each(backend::tables) {
        match tables {
            Ok(tables) => {
                remove(&backend, &tables.removal(None))
                    .with_context(|| format!("the rules of {}", backend.program))?;
            }
            // A kernel without the family has no rules of it.
            Err(error) => eprintln!("not looked at: {error}"),
        }
    }
    Ok(())
}

/// The same where programs serve, but for KUBE-FORWARD while they need it. What cannot be removed is told of: the programs come before it.
pub(in crate::dataplane) fn make_way() {
    for (backend, tables) in iptables::each(backend::tables) {
        let removed = tables.and_then(|tables| remove_but_what_is_needed(&backend, &tables));
        match removed {
            Ok(true) => tracing::info!(
                program = backend.program,
                "programs serve: the rules of kube-proxy are removed"
            ),
            Ok(false) => {}
            Err(error) => tracing::warn!("rules of kube-proxy may still be there: {error}"),
        }
    }
}

fn remove_but_what_is_needed(backend: &Backend, tables: &Tables) -> Result<bool, IptablesError> {
    let needed = netfilter::refuses(backend)?.then_some(netfilter::KUBE_FORWARD);
    remove(backend, &tables.removal(needed))
}

fn remove(backend: &Backend, text: &str) -> Result<bool, IptablesError> {
    if text.is_empty() {
        return Ok(false);
    }
    backend.restore(text).map(|()| true)
}
