//! The bit of the mark by which KUBE-FORWARD lets packets pass where the node's FORWARD policy is DROP: as with kube-proxy, those
//! of flows that are masqueraded.

use aya_ebpf::programs::TcContext;

use crate::maps::SETTINGS;

/// Marks a packet of a masqueraded flow at ingress.
#[inline(always)]
pub(crate) fn set(ctx: &TcContext) {
    let Some(settings) = SETTINGS.get(0) else { return };
    if settings.forward_mark() != 0 {
        write(ctx, read(ctx) | settings.forward_mark());
    }
}

/// Whether a packet is marked.
#[inline(always)]
pub(crate) fn is_set(ctx: &TcContext) -> bool {
    SETTINGS
        .get(0)
        .is_some_and(|settings| read(ctx) & settings.forward_mark() != 0)
}

/// Takes the bit away at egress: whatever is around the packet next, such as a tunnel, is not to be masqueraded for it.
#[inline(always)]
pub(crate) fn clear(ctx: &TcContext) {
    let mark = read(ctx);
    // Packets without any mark, which is most of them, do not pay for the look-up.
    if mark != 0 {
        without_the_bit(ctx, mark);
    }
}

/// Not inlined: the verifier would follow what comes next for each way through this.
#[inline(never)]
fn without_the_bit(ctx: &TcContext, mark: u32) {
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
