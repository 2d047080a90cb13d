//! What ingress tells egress about a packet that passes both: that its source stays as it is, which spares it the look-up.
//!
//! It is a bit of `skb->tc_index`, which the stack carries along and does not read, and which ends with the packet or at egress.

use aya_ebpf::programs::TcContext;

/// Far from the bits that other users of the field are known to take.
const KEEPS_ITS_SOURCE: u32 = 1 << 14;

/// Tells egress.
#[inline(always)]
pub(crate) fn keeps_its_source(ctx: &TcContext) {
    write(ctx, read(ctx) | KEEPS_ITS_SOURCE);
}

/// Forgets what has been told, and says whether it was. Also at ingress: a packet can come from another network namespace with it.
#[inline(always)]
pub(crate) fn take(ctx: &TcContext) -> bool {
    let value = read(ctx);
    let told = value & KEEPS_ITS_SOURCE != 0;
    if told {
        write(ctx, value & !KEEPS_ITS_SOURCE);
    }
    told
}

#[inline(always)]
fn read(ctx: &TcContext) -> u32 {
    // SAFETY: the context is the kernel's, valid while the program runs.
    unsafe { (*ctx.skb.skb).tc_index }
}

#[inline(always)]
fn write(ctx: &TcContext, value: u32) {
    // SAFETY: as in `read`; programs at TC may write this field.
    unsafe { (*ctx.skb.skb).tc_index = value };
}
