//! Opening a flow: an endpoint is picked and every tuple of the flow reserved before the first packet is touched.

use proxy_common::{Counter, Flow, FlowFlags, FlowKey};

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
    let mut flags = FlowFlags::REQUEST;
    if node_port {
        flags = flags.with(FlowFlags::NODE_PORT);
    }
    if lookup::is_masqueraded(frontend, request.source().0, endpoint.0) {
        flags = flags.with(FlowFlags::MASQUERADED);
    }
    let to =
        Flow::new(endpoint, request.source().1, flags, flow::now()).of(frontend.service(), frontend.list().0);
    let Some(to) = snat::reserve_reply::<F>(request, to) else {
        return Ok(passed(Counter::FlowTableFull));
    };
    if let Err(why) = commit::<F>(request, &to) {
        return Ok(passed(why));
    }
    count::add(Counter::FlowsOpened);
    Ok(true)
}

#[inline(always)]
fn commit<F: Family>(request: &FlowKey<F::Address>, to: &Flow<F::Address>) -> Result<(), Counter> {
    flow::keep_source_binding::<F>(request, to)?;
    flow::store(F::ingress_flows(), request, to)
}

#[inline(always)]
fn passed(why: Counter) -> bool {
    count::add(why);
    false
}
