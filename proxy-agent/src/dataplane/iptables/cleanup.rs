//! Taking away every rule and chain of kube-proxy's, ours or its.

use anyhow::{Context as _, Result};

use super::{
    backend, counters,
    tables::{CONNTRACK, Tables},
};
use crate::{
    model::Family,
    netfilter::{
        self,
        conntrack::{Flow, Table},
        iptables::{self, Backend, IptablesError},
    },
};

/// In both worlds of both families. What others have made stays.
///
/// # Errors
/// When an iptables program fails, for example because somebody else's rule leads to one of the chains.
pub fn cleanup() -> Result<()> {
    for (backend, tables) in iptables::each(backend::tables) {
        match tables {
            Ok(tables) => {
                remove(&backend, &tables.removal(&[]))
                    .with_context(|| format!("the rules of {}", backend.program))?;
            }
            // A kernel without the family has no rules of it.
            Err(error) => eprintln!("not looked at: {error}"),
        }
    }
    counters::remove();
    Ok(())
}

/// The same where programs serve, but for what is needed: KUBE-FORWARD where the node forwards nothing else, and while netfilter carries
/// connections of Services a rule that has it go on with that. Whether there is such a rule now. What cannot be removed is told of: the
/// programs come before it.
pub(in crate::dataplane) fn make_way() -> bool {
    let mut holds = false;
    for (backend, tables) in iptables::each(backend::tables) {
        match tables.and_then(|tables| make_way_in(&backend, &tables)) {
            Ok(held) => holds |= held,
            Err(error) => tracing::warn!("rules of kube-proxy may still be there: {error}"),
        }
    }
    holds
}

fn make_way_in(backend: &Backend, tables: &Tables) -> Result<bool, IptablesError> {
    let forwards = netfilter::refuses(backend)?.then_some(netfilter::KUBE_FORWARD);
    let without =
        |needed: [Option<&str>; 2]| tables.removal(&needed.into_iter().flatten().collect::<Vec<_>>());
    if without([forwards, None]).is_empty() {
        return Ok(false);
    }
    let carries = carries_connections(backend.family());
    let removal = without([forwards, carries.then_some(CONNTRACK)]);
    if !removal.is_empty() {
        let hold = if carries { tables.hold() } else { String::new() };
        backend.restore(&(hold + &removal))?;
        let program = backend.program;
        tracing::info!(program, "programs serve: rules of kube-proxy are removed");
    }
    Ok(carries)
}

/// Whether conntrack has connections whose destination somebody has changed. Where nobody can tell, it may.
fn carries_connections(family: Family) -> bool {
    let table = Table::open(family);
    let flows = table.and_then(|table| table.flows(Flow::has_another_destination));
    flows.map_or(true, |flows| !flows.is_empty())
}

fn remove(backend: &Backend, text: &str) -> Result<(), IptablesError> {
    if text.is_empty() {
        return Ok(());
    }
    backend.restore(text)
}
