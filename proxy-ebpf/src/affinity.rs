//! Session affinity: a client's new connections go where its last one went.

use aya_ebpf::bindings::BPF_ANY;
use proxy_common::{Affinity, AffinityKey, Frontend, List, Port};

use crate::{Family, clock, family::Client, lookup};

/// Where the client's last new connection went, if that is not too long ago and the endpoint is still in the list.
#[inline(always)]
pub(crate) fn endpoint<F: Family, C: Client<F>>(
    frontend: &Frontend,
    list: List,
    client: &C,
) -> Option<(F::Address, Port)> {
    last::<F, C>(frontend, client).filter(|endpoint| is_member::<F>(list.id, endpoint))
}

/// Not inlined, as the others: with a stack frame of its own it fits beside the hook's.
#[inline(never)]
fn is_member<F: Family>(list: u32, endpoint: &(F::Address, Port)) -> bool {
    lookup::is_member::<F>(list, *endpoint)
}

#[inline(never)]
fn last<F: Family, C: Client<F>>(frontend: &Frontend, client: &C) -> Option<(F::Address, Port)> {
    let key = AffinityKey::new(frontend.service(), *client);
    // SAFETY: another CPU may write the entry at the same time; whatever it then holds is checked against the list.
    let known = unsafe { C::affinities().get(key) }?;
    known
        .is_fresh(frontend.affinity_timeout(), clock::now())
        .then(|| known.endpoint())
}

/// Remembers where a new connection goes. Without room the next one goes where chance has it.
#[inline(never)]
pub(crate) fn remember<F: Family, C: Client<F>>(
    frontend: &Frontend,
    client: &C,
    endpoint: &(F::Address, Port),
) {
    let key = AffinityKey::new(frontend.service(), *client);
    let entry = Affinity::new(*endpoint, clock::now());
    let _ = C::affinities().insert(key, entry, BPF_ANY.into());
}
