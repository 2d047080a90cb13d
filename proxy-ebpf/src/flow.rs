//! Finding, noting and storing the entries of the two flow tables.

use aya_ebpf::bindings::{BPF_ANY, BPF_NOEXIST};
use proxy_common::{
    Counter, Flow, FlowFlags, FlowKey, TCP,
    tcp_state::{Direction, TcpFlags},
};

use crate::{Family, clock::now, count, hints, lookup, parse::Packet, rewrite::Side};

/// A living entry, and the time that it was found at: traffic without flows does not pay for the clock.
pub(crate) struct Hit<A: 'static> {
    pub(crate) flow: &'static mut Flow<A>,
    now: u32,
}

/// The entry of `key`, unless it has expired. For packets that most likely have none.
#[inline(always)]
pub(crate) fn find<F: Family>(hook: Side, key: &FlowKey<F::Address>) -> Option<Hit<F::Address>> {
    if hints::may_have::<F>(hook, key) {
        find_again::<F>(hook, key)
    } else {
        None
    }
}

/// The same for a key that most likely has one.
#[inline(always)]
pub(crate) fn find_again<F: Family>(hook: Side, key: &FlowKey<F::Address>) -> Option<Hit<F::Address>> {
    let entry = F::flows(hook).get_ptr_mut(key)?;
    // SAFETY: the element stays allocated while the program runs. Another CPU may write it at the same time; its fields
    // are then from either write, and every one of them is valid on its own.
    let flow = unsafe { &mut *entry };
    let now = now();
    (!flow.is_expired(key.protocol(), now)).then_some(Hit { flow, now })
}

impl<A: Copy + Eq> Hit<A> {
    /// Whether the packet asks for a new connection on the tuple of a closed one.
    #[inline(always)]
    fn is_reopened_by(&self, packet: &Packet<'_, A>) -> bool {
        packet.tuple.protocol() == TCP && packet.flags.opens() && self.flow.state().is_closed()
    }

    /// Notes a packet. `tell_twin` is called when the state changes, and else once a second.
    #[inline(always)]
    pub(crate) fn note(&mut self, flags: TcpFlags, tell_twin: impl FnOnce(&Flow<A>)) {
        let request = self.flow.flags().has(FlowFlags::REQUEST);
        let state = self.flow.state().after(
            flags,
            if request {
                Direction::Request
            } else {
                Direction::Reply
            },
        );
        if state == self.flow.state() && self.now == self.flow.last_seen() {
            return;
        }
        self.flow.note(state, self.now);
        tell_twin(self.flow);
    }
}

/// Tells the entry at egress what its twin of `key` at ingress has seen, and rebuilds it if it was evicted. Keeps the source
/// binding of a request.
///
/// Not inlined, as everything that few packets need: with stack frames of their own they fit beside the hook's.
#[inline(never)]
pub(crate) fn tell_egress<F: Family>(key: &FlowKey<F::Address>, flow: &Flow<F::Address>) {
    let (twin_key, entry) = flow.egress_twin(key);
    share::<F>(Side::Source, &twin_key, &entry);
    if flow.flags().has(FlowFlags::REQUEST) {
        // A full table is counted where the flow is opened; here the next second tries again.
        let _ = keep_source_binding::<F>(key, flow);
    }
}

/// Sees to it that the request `key` of a masqueraded flow finds a source binding at egress: the one that it has, else one
/// that the egress hook is to make, because that knows the interface. Packets that never get to egress keep the flow, but
/// not its source binding.
#[inline(always)]
pub(crate) fn keep_source_binding<F: Family>(
    key: &FlowKey<F::Address>,
    flow: &Flow<F::Address>,
) -> Result<(), Counter> {
    if !flow.flags().has(FlowFlags::MASQUERADED) {
        return Ok(());
    }
    let key = key.with_destination(flow);
    let now = now();
    if let Some(binding) = F::egress_flows().get_ptr_mut(key) {
        // SAFETY: as in `find`.
        let binding = unsafe { &mut *binding };
        if !binding.is_about_to_expire(key.protocol(), now) {
            if binding.flags().has(FlowFlags::PENDING) {
                binding.note(binding.state(), now);
            }
            return Ok(());
        }
    }
    let flags = FlowFlags::REQUEST.with(FlowFlags::PENDING);
    let mut pending =
        Flow::new(key.source(), key.destination().1, flags, now).of(flow.service(), flow.list());
    pending.note(flow.state(), now);
    store::<F>(Side::Source, &key, &pending)
}

/// Tells the entry at ingress what its twin of `key` at egress has seen, and rebuilds it if it was evicted.
#[inline(never)]
pub(crate) fn tell_ingress<F: Family>(key: &FlowKey<F::Address>, flow: &Flow<F::Address>) {
    let (key, entry) = flow.ingress_twin(key);
    share::<F>(Side::Destination, &key, &entry);
}

#[inline(always)]
fn share<F: Family>(hook: Side, key: &FlowKey<F::Address>, entry: &Flow<F::Address>) {
    match F::flows(hook).get_ptr_mut(key) {
        // SAFETY: as in `find`.
        Some(known) => unsafe { (*known).note(entry.state(), entry.last_seen()) },
        None if insert::<F>(hook, key, entry, BPF_NOEXIST) => count::add(Counter::FlowsHealed),
        None => {}
    }
}

/// What came of a request's look-up.
pub(crate) enum Request<A: 'static> {
    /// Put this.
    Known(&'static Flow<A>),
    /// No Service traffic, or not any more.
    Pass,
    /// A new flow may be opened.
    Unknown,
}

/// Looks up a packet at ingress, and keeps a UDP flow only while its endpoint is in the frontend's list.
#[inline(always)]
pub(crate) fn request<F: Family>(packet: &Packet<'_, F::Address>) -> Request<F::Address> {
    let key = packet.tuple;
    let Some(mut hit) = find::<F>(Side::Destination, key) else {
        return Request::Unknown;
    };
    if hit.is_reopened_by(packet) {
        return Request::Unknown;
    }
    if key.protocol() != TCP && hit.flow.flags().has(FlowFlags::REQUEST) {
        match placement::<F>(hit.flow, key) {
            Placement::Good => {}
            Placement::EndpointGone => {
                count::add(Counter::FlowsRebalanced);
                return Request::Unknown;
            }
            Placement::FrontendGone => {
                remove::<F>(Side::Destination, key);
                return Request::Pass;
            }
        }
    }
    hit.note(packet.flags, |flow| tell_egress::<F>(key, flow));
    Request::Known(hit.flow)
}

enum Placement {
    Good,
    EndpointGone,
    FrontendGone,
}

#[inline(always)]
fn placement<F: Family>(flow: &mut Flow<F::Address>, key: &FlowKey<F::Address>) -> Placement {
    if flow.flags().has(FlowFlags::DIRECT) {
        return Placement::Good;
    }
    let node_port = flow.flags().has(FlowFlags::NODE_PORT);
    let Some(frontend) = lookup::frontend_again::<F>(key.destination(), key.protocol(), node_port) else {
        return Placement::FrontendGone;
    };
    let list = frontend.list(flow.flags().has(FlowFlags::LOCAL_LIST));
    if list.id == flow.list() {
        return Placement::Good;
    }
    if !lookup::is_member::<F>(list.id, flow.put()) {
        return Placement::EndpointGone;
    }
    flow.note_list(list.id);
    Placement::Good
}

/// Stores an entry of a flow that is being opened. What is left of a closed one is used again: another element would have to be
/// found, and most likely lies in memory that no cache holds.
#[inline(always)]
pub(crate) fn store<F: Family>(
    hook: Side,
    key: &FlowKey<F::Address>,
    flow: &Flow<F::Address>,
) -> Result<(), Counter> {
    if begin_again::<F>(hook, key, flow) || insert::<F>(hook, key, flow, BPF_ANY) {
        Ok(())
    } else {
        Err(Counter::FlowTableFull)
    }
}

/// Whether there was an entry that could become `flow` in its place.
///
/// Not inlined: with a stack frame of its own it fits beside its callers'.
#[inline(never)]
fn begin_again<F: Family>(hook: Side, key: &FlowKey<F::Address>, flow: &Flow<F::Address>) -> bool {
    let Some(known) = F::flows(hook).get_ptr_mut(key) else {
        return false;
    };
    // SAFETY: as in `find`.
    unsafe { (*known).begin_again_as(flow) }
}

/// Puts an entry into the flow table of a hook, as `flags` of `bpf_map_update_elem` say; whether it is there.
#[inline(always)]
pub(crate) fn insert<F: Family>(
    hook: Side,
    key: &FlowKey<F::Address>,
    flow: &Flow<F::Address>,
    flags: u32,
) -> bool {
    hints::note::<F>(hook, key, flow);
    insert_again::<F>(hook, key, flow, flags)
}

/// The same for a key whose end the hook knows already.
#[inline(always)]
pub(crate) fn insert_again<F: Family>(
    hook: Side,
    key: &FlowKey<F::Address>,
    flow: &Flow<F::Address>,
    flags: u32,
) -> bool {
    F::flows(hook).insert(key, flow, flags.into()).is_ok()
}

/// Takes an entry out of the flow table of a hook. One that is not there is no error.
#[inline(always)]
pub(crate) fn remove<F: Family>(hook: Side, key: &FlowKey<F::Address>) {
    let _ = F::flows(hook).remove(key);
}
