//! Who serves a client that opens a connection, on a device or by a socket.

use proxy_common::{Counter, Frontend, FrontendFlags, List, Port};

use crate::{
    Family, affinity, client,
    family::Client,
    lookup::{self, Pick},
};

/// What a frontend has for a client.
pub(crate) enum Choice<A> {
    /// This endpoint, which is in that list.
    Endpoint((A, Port), List),
    /// Nobody serves the frontend: the client is to be told.
    Refused,
    /// Nothing that the client may know of.
    Silence(Counter),
    /// The list is going or coming.
    SlotMissing,
}

/// Chooses for a client: a local pod or process of the node, or not; by its address, if the frontend asks for that; and by what its
/// affinity is remembered by.
#[inline(always)]
pub(crate) fn choose<F: Family, C: Client<F>>(
    frontend: &Frontend,
    is_internal: bool,
    address: &F::Address,
    client: &C,
) -> Choice<F::Address> {
    let list = frontend.list_for(is_internal);
    let is_silent = frontend.flags().has(FrontendFlags::SILENT);
    if list.len == 0 && !is_silent {
        return Choice::Refused;
    }
    // Ranges guard what is served: where nothing is, everyone is told so.
    if !client::is_let_in::<F>(frontend, address) {
        return Choice::Silence(Counter::SourceRange);
    }
    match endpoint::<F, C>(frontend, list, client) {
        Pick::Endpoint(endpoint) => Choice::Endpoint(endpoint, list),
        Pick::Empty => Choice::Silence(Counter::NoLocalEndpoints),
        Pick::SlotMissing => Choice::SlotMissing,
    }
}

/// The one that the client had, else one by chance.
#[inline(always)]
fn endpoint<F: Family, C: Client<F>>(
    frontend: &Frontend,
    list: List,
    client: &C,
) -> Pick<(F::Address, Port)> {
    let has_affinity = frontend.affinity_timeout() != 0;
    if has_affinity && let Some(endpoint) = affinity::endpoint::<F, C>(frontend, list, client) {
        affinity::remember::<F, C>(frontend, client, &endpoint);
        return Pick::Endpoint(endpoint);
    }
    let endpoint = match lookup::pick::<F>(list) {
        Pick::Endpoint(endpoint) => (endpoint.address(), endpoint.port()),
        Pick::Empty => return Pick::Empty,
        Pick::SlotMissing => return Pick::SlotMissing,
    };
    if has_affinity {
        affinity::remember::<F, C>(frontend, client, &endpoint);
    }
    Pick::Endpoint(endpoint)
}
