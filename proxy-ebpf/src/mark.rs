//! The bit of the mark by which KUBE-FORWARD lets packets pass where the node's FORWARD policy is DROP: as with kube-proxy, those
//! of flows that are masqueraded.

use aya_ebpf::programs::TcContext;
use proxy_common::{Flow, FlowFlags};

use crate::maps::SETTINGS;

/// Marks a packet at ingress that `flow` has been applied to, if it is of a masqueraded flow. All replies that have an entry there
/// are.
#[inline(always)]
pub(crate) fn set<A: Copy + Eq>(ctx: &TcContext, flow: &Flow<A>) {
    let flags = flow.flags();
    if flags.has(FlowFlags::REQUEST) && !flags.has(FlowFlags::MASQUERADED) {
        return;
    }
    let Some(settings) = SETTINGS.get(0) else { return };
    if settings.forward_mark() != 0 {
        write(ctx, read(ctx) | settings.forward_mark());
    }
}

/// Takes the bit away at egress: whatever is around the packet next, such as a tunnel, is not to be masqueraded for it.
#[inline(always)]
pub(crate) fn clear(ctx: &TcContext) {
    let mark = read(ctx);
    // Packets without any mark, which is most of them, do not pay for the look-up.
    if mark == 0 {
        return;
    }
    let Some(settings) = SETTINGS.get(0) else { return };
    if mark & settings.forward_mark() != 0 {
        write(ctx, mark & !settings.forward_mark());
    }
}

#[inline(always)]
fn read(ctx: &TcContext) -> u32 {
    // SAFETY: the context is the kernel's, valid while the program runs.
    unsafe { (*ctx.skb.skb).mark }
}

#[inline(always)]
fn write(ctx: &TcContext, mark: u32) {
    // SAFETY: as in `read`; programs at TC may write this field.
    unsafe { (*ctx.skb.skb).mark = mark };
}
