//! Sockets by which the agent sees that sockets are caught, and whose.

use aya_ebpf::programs::SockAddrContext;
use proxy_common::Cookie;

use super::netns;
use crate::{Family, maps::CANARIES};

/// Whether it is one. Notes its network namespace.
#[inline(always)]
pub(super) fn is_one<F: Family>(ctx: &SockAddrContext, asked: F::Address, socket: Cookie) -> bool {
    if asked != F::CANARY {
        return false;
    }
    let Some(seen) = CANARIES.get_ptr_mut(socket) else {
        return false;
    };
    // SAFETY: the element stays allocated while the program runs, and a socket connects once at a time.
    unsafe { *seen = netns(ctx) };
    true
}
