//! The counters that kube-proxy's rules have where the kernel has nfacct, and what they say.

use super::{
    figures::Counted,
    render::{INVALID_COUNTER, LOCALHOST_COUNTER},
};
use crate::netfilter::{iptables::Backend, nfacct};

const ALL: [&str; 2] = [INVALID_COUNTER, LOCALHOST_COUNTER];

/// Makes both, and tells whether rules can count into both: a rule that cannot would keep all of them from being written.
pub(super) fn make(backend: &Backend) -> bool {
    let made = again();
    if let Err(error) = &made {
        tracing::info!("rules count nothing, because the kernel has no nfacct: {error}");
    }
    made.is_ok() && backend.knows_match("nfacct")
}

/// Makes those that somebody has deleted.
pub(super) fn again() -> std::io::Result<()> {
    ALL.iter().try_for_each(|name| nfacct::make(name))
}

/// What they say at present.
pub(super) fn counted() -> Counted {
    let packets = |name| nfacct::packets(name).unwrap_or_default();
    Counted {
        dropped_invalid: packets(INVALID_COUNTER),
        accepted_localhost: packets(LOCALHOST_COUNTER),
    }
}

/// Deletes those that no rule counts into.
pub(super) fn remove() {
    for name in ALL {
        if let Err(error) = nfacct::remove(name) {
            eprintln!("the nfacct counter {name} is left: {error}");
        }
    }
}
