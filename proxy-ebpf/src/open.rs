//! Opening a flow: an endpoint is picked and every tuple of the flow reserved before the first packet is touched.

use aya_ebpf::programs::TcContext;
use proxy_common::{Counter, Flow, FlowFlags, FlowKey, NODE_PORTS, Settings};

use crate::{
    Family,
    choice::{self, Choice},
    client, clock, count, flow,
    lookup::{self, Found},
    maps::SETTINGS,
    rewrite::Side,
    snat,
};

/// What came of it.
pub(crate) enum Opened {
    /// The flow is in the tables.
    Flow,
    /// No Service traffic, or nothing can be done for it: the packet passes.
    Nothing,
    /// Nobody serves the frontend: the client is to be told.
    Refused,
    /// The packet is to be dropped.
    Dropped(Counter),
}

/// Opens a flow for a packet at ingress, if its destination is a frontend and new flows are the programs'.
///
/// Not inlined: with a stack frame of its own it fits beside the hook's.
#[inline(never)]
pub(crate) fn flow<F: Family>(ctx: &TcContext, request: &FlowKey<F::Address>) -> Opened {
    let Some(Found { frontend, node_port }) =
        lookup::frontend::<F>(request.destination(), request.protocol(), NODE_PORTS)
    else {
        return Opened::Nothing;
    };
    if SETTINGS.get(0).is_some_and(Settings::is_draining) {
        return Opened::Nothing;
    }
    let source = request.source().0;
    let is_pod = frontend.tells_pods_apart() && client::is_pod::<F>(ctx, source);
    let (endpoint, list) = match choice::choose::<F, _>(frontend, is_pod, &source, &source) {
        Choice::Endpoint(endpoint, list) => (endpoint, list),
        Choice::Refused => return Opened::Refused,
        Choice::Silence(why) => return Opened::Dropped(why),
        Choice::SlotMissing => return passed(Counter::SlotMissing),
    };
    let mut flags = FlowFlags::REQUEST;
    if node_port {
        flags = flags.with(FlowFlags::NODE_PORT);
    }
    if list.is_local {
        flags = flags.with(FlowFlags::LOCAL_LIST);
    }
    // A pod that reaches itself would otherwise answer itself directly.
    if frontend.masquerades(is_pod) || source == endpoint.0 {
        flags = flags.with(FlowFlags::MASQUERADED);
    }
    let mut to = Flow::new(endpoint, request.source().1, flags, clock::now()).of(frontend.service(), list.id);
    if !snat::reserve_reply::<F>(request, &mut to) {
        return passed(Counter::FlowTableFull);
    }
    if let Err(why) = commit::<F>(request, &to) {
        return passed(why);
    }
    count::add(Counter::FlowsOpened);
    Opened::Flow
}

/// Opens a flow for a packet that asks an endpoint itself, if the client has asked it through a Service from the same port: the
/// answers are told apart by another source port, as conntrack does it.
#[inline(never)]
pub(crate) fn beside_a_service<F: Family>(request: &FlowKey<F::Address>) -> Opened {
    let Some(answer) = flow::find::<F>(Side::Source, &request.reversed()) else {
        return Opened::Nothing;
    };
    if answer.flow.flags().has(FlowFlags::REQUEST) {
        return Opened::Nothing;
    }
    let flags = FlowFlags::REQUEST.with(FlowFlags::DIRECT);
    let mut to = Flow::new(request.destination(), request.source().1, flags, clock::now());
    if !snat::reserve_reply::<F>(request, &mut to) {
        return passed(Counter::FlowTableFull);
    }
    match flow::store::<F>(Side::Destination, request, &to) {
        Ok(()) => Opened::Flow,
        Err(why) => passed(why),
    }
}

#[inline(always)]
fn commit<F: Family>(request: &FlowKey<F::Address>, to: &Flow<F::Address>) -> Result<(), Counter> {
    flow::keep_source_binding::<F>(request, to)?;
    flow::store::<F>(Side::Destination, request, to)
}

#[inline(always)]
fn passed(why: Counter) -> Opened {
    count::add(why);
    Opened::Nothing
}
