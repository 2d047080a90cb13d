//! Sockets by which the agent sees that sockets are caught, and whose.

use aya_ebpf::programs::SockAddrContext;

use super::{netns, socket};
use crate::{Family, maps::CANARIES};

/// Whether it is one. Notes its network namespace.
#[inline(always)]
pub(super) fn is_one<F: Family>(ctx: &SockAddrContext, asked: F::Address) -> bool {
    if asked != F::CANARY {
        return false;
    }
    let Some(seen) = CANARIES.get_ptr_mut(socket(ctx)) else {
        return false;
    };
    // SAFETY: the element stays allocated while the program runs, and a socket connects once at a time.
    unsafe { *seen = netns(ctx) };
    true
}
