//! Fragments and packets with IPv6 extension headers: what is too dear to be looked for in every packet, and rare.

use core::mem::MaybeUninit;

use aya_ebpf::programs::TcContext;
use proxy_common::{Counter, FlowKey, TCP};

use crate::{
    Family,
    chain::{self, Chain},
    count,
    fragment::{self, FirstFragment},
    icmp,
    maps::CHAIN,
    packet::{Copied, Load},
    parse::{self, Header, Packet},
    rewrite::Side,
    verdict::Verdict,
};

/// The packet, if it has ports, else what becomes of it.
#[inline(always)]
pub(crate) fn packet<'a, F: Family>(
    ctx: &TcContext,
    l3: usize,
    place: &'a mut MaybeUninit<FlowKey<F::Address>>,
    first: &mut FirstFragment,
    side: Side,
) -> Result<Packet<'a, F::Address>, Verdict> {
    match read::<F>(ctx, l3, place.as_mut_ptr(), side) {
        Verdict::Open => {}
        // From here, because its stack frame does not fit beside `read`'s.
        Verdict::Next => return Err(icmp::quoting::<F>(ctx, l3, side)),
        verdict => return Err(verdict),
    }
    // SAFETY: `read` has filled the chain and the tuple. The chain stays as it is while this packet is here.
    let (chain, tuple) = unsafe {
        let chain: &'static Chain = &*CHAIN.get_ptr(0).ok_or(Verdict::Next)?;
        (chain, place.assume_init_ref())
    };
    let (l4, is_tcp) = (l3 + chain.header.len, tuple.protocol() == TCP);
    let flags = if is_tcp {
        Copied(ctx).load(l4 + 13).ok_or(Verdict::Next)?
    } else {
        0
    };
    first.set(chain.header.fragment != 0);
    let Header { ttl, check, .. } = chain.header;
    Ok(Packet::new(tuple, flags, (l3, l4), (ttl, check)))
}

/// Fills this CPU's chain and the packet's tuple at `place`; `Open` if it could.
///
/// A pointer: kernels refuse the name that a function's parameter of type `MaybeUninit` has in BTF.
#[inline(never)]
fn read<F: Family>(ctx: &TcContext, l3: usize, place: *mut FlowKey<F::Address>, side: Side) -> Verdict {
    // SAFETY: it points to the caller's place, of which there is no other use.
    let place = unsafe { &mut *place.cast::<MaybeUninit<_>>() };
    let Some(chain) = chain::read::<F>(ctx, l3) else {
        count::add(Counter::ExtensionHeader);
        return Verdict::Next;
    };
    let header = &chain.header;
    if header.is_later_fragment() {
        return fragment::later::<F>(ctx, chain, side);
    }
    if header.has_ports() && parse::transport::<F>(&Copied(ctx), l3, header, place).is_ok() {
        return Verdict::Open;
    }
    if header.fragment != 0 {
        return fragment::without_ports::<F>(ctx, chain, side);
    }
    Verdict::Next
}
