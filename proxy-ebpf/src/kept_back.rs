//! Packets of the node's own sockets to frontends that have nothing for them, and must not be told so: they leave with the frontend's
//! address and end at egress, as silence.

use proxy_common::{Counter, FlowKey, Frontend, FrontendFlags, NODE_PORTS, Port, Settings};

use crate::{Family, client, hints, lookup, maps::SETTINGS, rewrite::Side};

/// Has egress look for packets to a frontend.
#[inline(never)]
pub(crate) fn expect<F: Family>(frontend: (F::Address, Port)) {
    hints::note_end::<F>(Side::Source, frontend);
}

/// Why a packet that no flow knows is not to leave, if it is not.
///
/// Not inlined: few packets need it.
#[inline(never)]
pub(crate) fn reason<F: Family>(request: &FlowKey<F::Address>) -> Option<Counter> {
    let found = lookup::frontend::<F>(request.destination(), request.protocol(), NODE_PORTS)?;
    if SETTINGS.get(0).is_some_and(Settings::is_draining) {
        return None;
    }
    let source = request.source().0;
    if is_silent(found.frontend) {
        Some(Counter::NoLocalEndpoints)
    } else if !client::is_let_in::<F>(found.frontend, &source) {
        Some(Counter::SourceRange)
    } else {
        None
    }
}

/// Whether it has nothing for processes of the node.
#[inline(always)]
fn is_silent(frontend: &Frontend) -> bool {
    frontend.flags().has(FrontendFlags::SILENT) && frontend.list_for(true).len == 0
}
