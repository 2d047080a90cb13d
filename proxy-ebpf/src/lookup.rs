//! From a destination to a frontend, and from a frontend to an endpoint.

use aya_ebpf::helpers::generated::bpf_get_prandom_u32;
use proxy_common::{
    Endpoint, EndpointKey, Frontend, FrontendKey, FrontendKind, List, MemberKey, ON_DEVICE, Port, select,
};

use crate::Family;

/// A frontend, and whether it was found as a NodePort.
pub(crate) struct Found {
    pub(crate) frontend: &'static Frontend,
    pub(crate) node_port: bool,
}

/// The frontend of a destination: exactly its address, else a NodePort if the address is this node's.
///
/// `addresses` are the bits of addresses that serve NodePorts to whoever asks. A ClusterIP that is also the address of a device
/// belongs to whoever has put it there, as NodeLocal DNSCache does.
#[inline(always)]
pub(crate) fn frontend<F: Family>(
    destination: (F::Address, Port),
    protocol: u8,
    addresses: u32,
) -> Option<Found> {
    let (address, port) = destination;
    if let Some(frontend) = exact::<F>(&FrontendKey::new(address, port, protocol)) {
        let is_taken =
            frontend.kind() == Some(FrontendKind::ClusterIP) && is_on_node::<F>(address, ON_DEVICE);
        return (!is_taken).then_some(Found {
            frontend,
            node_port: false,
        });
    }
    if !is_on_node::<F>(address, addresses) {
        return None;
    }
    let frontend = exact::<F>(&FrontendKey::node_port(port, protocol))?;
    Some(Found {
        frontend,
        node_port: true,
    })
}

#[inline(always)]
fn is_on_node<F: Family>(address: F::Address, how: u32) -> bool {
    // SAFETY: a number, which the agent replaces as a whole.
    unsafe { F::node_addresses().get(address) }.is_some_and(|bits| bits & how != 0)
}

/// The frontend that a flow was opened by, as it is today.
#[inline(always)]
pub(crate) fn frontend_again<F: Family>(
    destination: (F::Address, Port),
    protocol: u8,
    node_port: bool,
) -> Option<&'static Frontend> {
    let (address, port) = destination;
    if node_port {
        exact::<F>(&FrontendKey::node_port(port, protocol))
    } else {
        exact::<F>(&FrontendKey::new(address, port, protocol))
    }
}

#[inline(always)]
fn exact<F: Family>(key: &FrontendKey<F::Address>) -> Option<&'static Frontend> {
    // SAFETY: a change by the agent is another element; this one stays as it is until the program has ended.
    unsafe { F::frontends().get(key) }
}

/// What came of picking an endpoint.
pub(crate) enum Pick<E> {
    /// This one.
    Endpoint(E),
    /// The list is empty.
    Empty,
    /// The list is going or coming.
    SlotMissing,
}

/// Picks an endpoint for a new flow. Only what unequal weights leave to another slot costs a second look-up.
#[inline(always)]
pub(crate) fn pick<F: Family>(list: List) -> Pick<&'static Endpoint<F::Address>> {
    // SAFETY: the helper has no preconditions.
    let Some(draw) = select::draw(unsafe { bpf_get_prandom_u32() }, list.len) else {
        return Pick::Empty;
    };
    let found = match slot::<F>(list.id, draw.slot()) {
        Some(endpoint) if !draw.is_kept(endpoint.threshold()) => slot::<F>(list.id, endpoint.alias()),
        found => found,
    };
    found.map_or(Pick::SlotMissing, Pick::Endpoint)
}

#[inline(always)]
fn slot<F: Family>(list: u32, slot: u32) -> Option<&'static Endpoint<F::Address>> {
    // SAFETY: lists are immutable, and their elements stay allocated while the program runs.
    unsafe { F::endpoints().get(EndpointKey::new(list, slot)) }
}

/// Whether an endpoint is in the list.
#[inline(always)]
pub(crate) fn is_member<F: Family>(list: u32, endpoint: (F::Address, Port)) -> bool {
    // SAFETY: the value is only tested for presence.
    unsafe { F::list_members().get(MemberKey::new(list, endpoint.0, endpoint.1)) }.is_some()
}
