//! Reserving tuples: inserting the reply's entry with `NOEXIST` is the lock, on whichever CPU.

use core::{ffi::c_void, ptr};

use aya_ebpf::{
    EbpfContext,
    bindings::BPF_NOEXIST,
    helpers::generated::{bpf_get_prandom_u32, bpf_sk_lookup_udp, bpf_sk_release, bpf_skc_lookup_tcp},
    programs::TcContext,
};
use proxy_common::{Address, Counter, Flow, FlowKey, Port, TCP, snat::DRAWS};

use crate::{Family, client, count, flow, maps::SETTINGS, rewrite::Side, verdict::Drop};

/// `BPF_F_CURRENT_NETNS`: sockets of the device's own network namespace.
const CURRENT_NETNS: u64 = u64::MAX;

/// Draws for a flow whose client's port another frontend owns: of the few ports that are taken between one client and one endpoint
/// four in a row are not met, and the verifier, whom the start of the agent waits for, follows each draw.
const REPLY_DRAWS: u32 = 4;

/// Opens the destination binding of `request` (client → virtual IP) to `to.put()`; whether there was room. `to` is its entry for ingress.
///
/// The client keeps its port unless another frontend owns the reply's tuple; then `to` gets another one.
#[inline(always)]
pub(crate) fn reserve_reply<F: Family>(request: &FlowKey<F::Address>, to: &mut Flow<F::Address>) -> bool {
    let (mut reply, twin) = to.egress_twin(request);
    if reserve::<F>(Side::Source, &reply, &twin) {
        return true;
    }
    for _ in 0..REPLY_DRAWS {
        let Some(port) = draw() else { return false };
        reply.set_destination_port(Port::new(port));
        if flow::insert::<F>(Side::Source, &reply, &twin, BPF_NOEXIST) {
            to.set_peer_port(Port::new(port));
            count::add(Counter::SourcePortsChanged);
            return true;
        }
    }
    false
}

/// Times that a port is reserved, which fails if a socket holds it or another CPU was faster.
const ROUNDS: u32 = 5;

/// Opens the source binding of `key` (client → endpoint) for packets that leave by the context's interface.
///
/// Not inlined: with a stack frame of its own it fits beside the hook's.
#[inline(never)]
pub(crate) fn masquerade<F: Family>(
    ctx: &TcContext,
    key: &FlowKey<F::Address>,
    pending: &Flow<F::Address>,
) -> Result<(), Drop> {
    let address = address::<F>(ctx).ok_or(Drop(Counter::NoSourceAddress))?;
    let own = key.source().1;
    let (mut reply, twin) = pending.bound_to((address, own)).ingress_twin(key);
    let mut keeps_its_own = is_in_pool(own.get());
    for _ in 0..ROUNDS {
        if !keeps_its_own {
            draw_free::<F>(&mut reply);
        }
        keeps_its_own = false;
        if !is_held_by_a_socket(ctx, &reply) && reserve::<F>(Side::Destination, &reply, &twin) {
            let bound = pending.bound_to(reply.destination());
            flow::store::<F>(Side::Source, key, &bound).map_err(Drop)?;
            count::add(Counter::FlowsMasqueraded);
            return Ok(());
        }
    }
    Err(Drop(Counter::NoSourcePort))
}

/// Gives the reply ports at random until one has no owner, or there were enough draws. Whether it is free then, its reservation tells.
#[inline(always)]
fn draw_free<F: Family>(reply: &mut FlowKey<F::Address>) {
    for _ in 0..DRAWS {
        let Some(port) = draw() else { return };
        reply.set_destination_port(Port::new(port));
        if flow::find_again::<F>(Side::Destination, reply).is_none() {
            return;
        }
    }
}

/// Whether the entry is ours: new, an expired one taken over, or this very binding's.
#[inline(always)]
fn reserve<F: Family>(hook: Side, key: &FlowKey<F::Address>, entry: &Flow<F::Address>) -> bool {
    if flow::insert::<F>(hook, key, entry, BPF_NOEXIST) {
        return true;
    }
    match flow::find_again::<F>(hook, key) {
        Some(owner) => owner.flow.begin_again_as(entry),
        None => take_over::<F>(hook, key, entry),
    }
}

/// Whether an expired entry is now ours. Of several CPUs that have found it, the one that holds its claim looks again and replaces it.
///
/// Not inlined: with a stack frame of its own it fits beside its callers'.
#[inline(never)]
fn take_over<F: Family>(hook: Side, key: &FlowKey<F::Address>, entry: &Flow<F::Address>) -> bool {
    let claim = key.claim();
    if !flow::insert_again::<F>(hook, &claim, entry, BPF_NOEXIST) {
        return false;
    }
    let is_ours = flow::find_again::<F>(hook, key).is_none() && {
        flow::remove::<F>(hook, key);
        flow::insert_again::<F>(hook, key, entry, BPF_NOEXIST)
    };
    flow::remove::<F>(hook, &claim);
    is_ours
}

#[inline(always)]
fn address<F: Family>(ctx: &TcContext) -> Option<F::Address> {
    let address = F::snat_address(client::interface(ctx)?);
    (address != F::Address::ANY).then_some(address)
}

#[inline(always)]
fn draw() -> Option<u16> {
    // SAFETY: the helper has no preconditions.
    SETTINGS
        .get(0)?
        .snat_ports()
        .draw(unsafe { bpf_get_prandom_u32() })
}

#[inline(always)]
fn is_in_pool(port: u16) -> bool {
    SETTINGS
        .get(0)
        .is_some_and(|settings| settings.snat_ports().contains(port))
}

/// Whether a socket of this node would get the reply: one connected on this tuple, or one that listens on the port.
#[inline(always)]
fn is_held_by_a_socket<A: Copy>(ctx: &TcContext, reply: &FlowKey<A>) -> bool {
    // A flow key begins with what `struct bpf_sock_tuple` is: source, destination, source port, destination port.
    let tuple = ptr::from_ref(reply).cast_mut().cast();
    #[expect(clippy::cast_possible_truncation, reason = "36 at most")]
    let size = (2 * size_of::<A>() + 2 * size_of::<Port>()) as u32;
    // SAFETY: the tuple is readable for `size` bytes; the reference that a hit returns is given back.
    unsafe {
        let socket = match reply.protocol() {
            TCP => bpf_skc_lookup_tcp(ctx.as_ptr(), tuple, size, CURRENT_NETNS, 0).cast::<c_void>(),
            _ => bpf_sk_lookup_udp(ctx.as_ptr(), tuple, size, CURRENT_NETNS, 0).cast(),
        };
        if socket.is_null() {
            return false;
        }
        bpf_sk_release(socket);
        true
    }
}
