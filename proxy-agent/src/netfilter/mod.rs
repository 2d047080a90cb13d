//! KUBE-FORWARD: where the node forwards nothing that no rule accepts, Service traffic is let through as kube-proxy does it.
//!
//! ```text
//! iptables -S FORWARD ──▶ refuses? ──▶ iptables-restore: KUBE-FORWARD ──▶ mark for the programs
//! ```
//!
//! Rules of netfilter cost every packet of the node, those of conntrack most of all, so there is none where the policy is ACCEPT.

pub(crate) mod conntrack;
pub(crate) mod iptables;
mod rules;

use std::{collections::BTreeSet, convert::Infallible, time::Duration};

use tokio::{sync::watch::Sender, task, time};

pub(crate) use self::rules::KUBE_FORWARD;
use self::{
    iptables::{Backend, IptablesError},
    rules::Forward,
};

/// Where it is, all of kube-proxy's rules are.
const CANARY: &str = "KUBE-PROXY-CANARY";

/// Policies change without telling anybody.
const LOOK: Duration = Duration::from_secs(30);

const NO_IPTABLES: &str = "no iptables program is installed: if the node's FORWARD policy is DROP, clients from outside do not reach \
    endpoints; install iptables, or accept their packets";

/// Keeps KUBE-FORWARD where FORWARD refuses packets and nowhere else, and sends the mark that packets need to pass: `mark`, or 0.
/// In the network namespace of the process. Never ends but with an error of the runtime.
///
/// # Errors
/// When a look panics.
pub async fn watch(mark: u32, marks: Sender<Option<u32>>) -> Result<Infallible, task::JoinError> {
    let mut guard = Guard::default();
    let mut looks = time::interval(LOOK);
    loop {
        looks.tick().await;
        let look = move || {
            let needed = guard.look(mark);
            (guard, needed)
        };
        let needed;
        (guard, needed) = task::spawn_blocking(look).await?;
        marks.send_if_modified(|current| current.replace(needed) != Some(needed));
    }
}

/// Looks after the rules, and says everything once.
#[derive(Debug, Default)]
struct Guard {
    warned: BTreeSet<String>,
}

impl Guard {
    /// Makes the rules those that are needed, and tells the mark that packets have to carry.
    fn look(&mut self, mark: u32) -> u32 {
        let chains = iptables::each(|backend| backend.list("FORWARD"));
        if chains.is_empty() {
            self.warn(NO_IPTABLES.to_owned());
        }
        let mut needed = 0;
        for (backend, listing) in chains {
            match listing.and_then(|listing| apply(&backend, Forward::parse(&listing), mark)) {
                Ok(true) => needed = mark,
                Ok(false) => {}
                Err(error) => self.warn(format!("cannot look after {KUBE_FORWARD}: {error}")),
            }
        }
        needed
    }

    fn warn(&mut self, warning: String) {
        if !self.warned.contains(&warning) {
            tracing::warn!("{warning}");
            self.warned.insert(warning);
        }
    }
}

/// Whether packets need the mark; the rules are there if so.
fn apply(backend: &Backend, forward: Forward, mark: u32) -> Result<bool, IptablesError> {
    if !forward.refuses {
        if forward.jumps {
            remove_from(backend)?;
        }
        return Ok(false);
    }
    if !forward.jumps || !backend.chain_is(KUBE_FORWARD, |chain| rules::is_for(chain, mark)) {
        backend.restore(&rules::install(mark, forward.jumps))?;
        let program = backend.program;
        tracing::info!(
            program,
            "FORWARD refuses packets: {KUBE_FORWARD} lets those of Services pass"
        );
    }
    Ok(true)
}

/// Whether the node forwards nothing that no rule accepts, by this world's rules.
pub(crate) fn refuses(backend: &Backend) -> Result<bool, IptablesError> {
    Ok(Forward::parse(&backend.list("FORWARD")?).refuses)
}

/// What the jump leads to may be kube-proxy's, or belong to rules that are written beside the programs.
fn remove_from(backend: &Backend) -> Result<(), IptablesError> {
    if !backend.has_chain("filter", CANARY) && backend.chain_is(KUBE_FORWARD, rules::is_ours) {
        backend.restore(&rules::remove())?;
        tracing::info!(program = backend.program, "{KUBE_FORWARD} is removed");
    }
    Ok(())
}
