//! Opening a flow: an endpoint is picked and every tuple of the flow reserved before the first packet is touched.

use proxy_common::{Counter, Flow, FlowFlags, FlowKey, Frontend};

use crate::{
    Family, count, flow,
    lookup::{self, Found, Pick},
    snat,
    verdict::Drop,
};

/// Opens a flow for a packet at ingress, if its destination is a frontend; whether it did.
///
/// Not inlined: with a stack frame of its own it fits beside the hook's.
#[inline(never)]
pub(crate) fn flow<F: Family>(request: &FlowKey<F::Address>) -> Result<bool, Drop> {
    let Some(Found { frontend, node_port }) =
        lookup::frontend::<F>(request.destination(), request.protocol())
    else {
        return Ok(false);
    };
    let endpoint = match lookup::pick::<F>(frontend) {
        Pick::Endpoint(endpoint) => (endpoint.address(), endpoint.port()),
        Pick::Empty => return Err(Drop(Counter::NoEndpoints)),
        Pick::SlotMissing => return Ok(passed(Counter::SlotMissing)),
    };
    let kind = if node_port {
        FlowFlags::REQUEST.with(FlowFlags::NODE_PORT)
    } else {
        FlowFlags::REQUEST
    };
    let to =
        Flow::new(endpoint, request.source().1, kind, flow::now()).of(frontend.service(), frontend.list().0);
    let Some(to) = snat::reserve_reply::<F>(request, to) else {
        return Ok(passed(Counter::FlowTableFull));
    };
    if let Err(why) = commit::<F>(request, &to, frontend) {
        return Ok(passed(why));
    }
    count::add(Counter::FlowsOpened);
    Ok(true)
}

#[inline(always)]
fn commit<F: Family>(
    request: &FlowKey<F::Address>,
    to: &Flow<F::Address>,
    frontend: &Frontend,
) -> Result<(), Counter> {
    if lookup::is_masqueraded(frontend, request.source().0, to.put().0) {
        ask_for_source_binding::<F>(&request.with_destination(to), to)?;
    }
    flow::store(F::ingress_flows(), request, to)
}

/// Leaves it to the egress hook to find an address and a port, unless the tuple has a living binding: a client that uses
/// its port again is the endpoint's to judge.
#[inline(always)]
fn ask_for_source_binding<F: Family>(
    key: &FlowKey<F::Address>,
    to: &Flow<F::Address>,
) -> Result<(), Counter> {
    if flow::find(F::egress_flows(), key).is_some() {
        return Ok(());
    }
    let pending = Flow::new(
        key.source(),
        key.destination().1,
        FlowFlags::REQUEST.with(FlowFlags::PENDING),
        flow::now(),
    )
    .of(to.service(), to.list());
    flow::store(F::egress_flows(), key, &pending)
}

#[inline(always)]
fn passed(why: Counter) -> bool {
    count::add(why);
    false
}
