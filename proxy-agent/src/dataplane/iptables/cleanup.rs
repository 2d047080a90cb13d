//! Taking away every rule and chain of kube-proxy's, ours or its.

use anyhow::{Context as _, Result};

use super::backend;
use crate::netfilter::iptables::{BACKENDS, IptablesError, ONLY_ONES};

/// In both worlds of both families. What others have made stays.
///
/// # Errors
/// When an iptables program fails, for example because somebody else's rule leads to one of the chains.
pub fn cleanup() -> Result<()> {
    let is_missing = |error: &IptablesError| matches!(error, IptablesError::NotInstalled(_));
    let mut found = false;
    for backend in BACKENDS.into_iter().chain(ONLY_ONES) {
        if found && ONLY_ONES.contains(&backend) {
            break;
        }
        if backend.version().is_err_and(|error| is_missing(&error)) {
            continue;
        }
        found = true;
        // A family or a world that the kernel does not have has no rules.
        let Ok(tables) = backend::tables(&backend) else {
            continue;
        };
        let text = tables.removal();
        if !text.is_empty() {
            backend
                .restore(&text)
                .with_context(|| format!("{}'s rules", backend.program))?;
        }
    }
    Ok(())
}
