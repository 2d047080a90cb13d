//! Taking away every rule and chain of kube-proxy's, ours or its.

use anyhow::{Context as _, Result};

use super::{backend, counters};
use crate::netfilter::iptables;

/// In both worlds of both families. What others have made stays.
///
/// # Errors
/// When an iptables program fails, for example because somebody else's rule leads to one of the chains.
pub fn cleanup() -> Result<()> {
    for (backend, tables) in iptables::each(backend::tables) {
        let program = backend.program;
        match tables {
            Ok(tables) => {
                let text = tables.removal();
                if !text.is_empty() {
                    backend
                        .restore(&text)
                        .with_context(|| format!("the rules of {program}"))?;
                }
            }
            // A kernel without the family has no rules of it.
            Err(error) => eprintln!("not looked at: {error}"),
        }
    }
    counters::remove();
    Ok(())
}
