//! What depends on who the client is.

use aya_ebpf::{btf_maps::lpm_trie::Key, programs::TcContext};
use proxy_common::{Frontend, FrontendFlags, Interface, SourceRange};

use crate::{
    Family,
    maps::{INTERFACES, SETTINGS},
};

/// Whether the client is a local pod, as `--detect-local-mode` has it: by its address, or by where its packet arrives.
#[inline(always)]
pub(crate) fn is_pod<F: Family>(ctx: &TcContext, client: F::Address) -> bool {
    SETTINGS
        .get(0)
        .is_some_and(|settings| F::pods(settings).contains(client))
        || interface(ctx).is_some_and(|interface| interface.flags().has(F::PODS))
}

/// The interface of the hook.
#[inline(always)]
pub(crate) fn interface(ctx: &TcContext) -> Option<&'static Interface> {
    // SAFETY: the context is the kernel's, valid while the program runs.
    let ifindex = unsafe { (*ctx.skb.skb).ifindex };
    // SAFETY: the agent replaces values as a whole; this one stays as it is until the program has ended.
    unsafe { INTERFACES.get(ifindex) }
}

/// Whether the frontend lets the client in.
///
/// Not inlined: with a stack frame of its own it fits beside the hook's.
#[inline(never)]
pub(crate) fn is_let_in<F: Family>(frontend: &Frontend, client: &F::Address) -> bool {
    if !frontend.flags().has(FrontendFlags::SOURCE_RANGES) {
        return true;
    }
    let asked = SourceRange::new(frontend.service(), *client);
    #[expect(clippy::cast_possible_truncation, reason = "160 at most")]
    let bits = size_of::<SourceRange<F::Address>>() as u32 * 8;
    F::source_ranges().get(&Key::new(bits, asked)).is_some()
}
