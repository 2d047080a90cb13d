//! Replies between two ports of a bridge: the request went through the node's stack, and the reply would not. conntrack, which
//! sees a connection that is never answered, then takes what comes next for invalid.

use aya_ebpf::programs::TcContext;
use proxy_common::FlowKey;

use crate::{Family, client, flow, rewrite::Side};

/// `PACKET_HOST` of `<linux/if_packet.h>`.
const HOST: u32 = 0;
/// `PACKET_OTHERHOST`: the frame has the MAC address of somebody else than the device that it arrives on.
const OTHER_HOST: u32 = 3;

/// Whether the frame is addressed to another device than this one, as all that a bridge port gets is.
#[inline(always)]
pub(crate) fn is_for_another_host(ctx: &TcContext) -> bool {
    // SAFETY: the context is the kernel's, valid while the program runs.
    unsafe { (*ctx.skb.skb).pkt_type == OTHER_HOST }
}

/// Addresses the reply of a Service's endpoint to the bridge itself, which gives it to the stack; that routes it to the client.
///
/// A failure leaves it to the bridge, as without a Service.
#[inline(never)]
pub(crate) fn send_up<F: Family>(ctx: &TcContext, key: &FlowKey<F::Address>) {
    if flow::find::<F>(Side::Source, key).is_some() {
        readdress(ctx);
    }
}

/// Whether a frame between these ends has been addressed to the bridge.
#[inline(always)]
pub(crate) fn was_sent_up<F: Family>(ctx: &TcContext, key: &FlowKey<F::Address>) -> bool {
    client::interface(ctx).is_some_and(|interface| interface.bridge_mac().is_some())
        && !is_for_another_host(ctx)
        && flow::find::<F>(Side::Source, key).is_some()
}

/// Addresses a frame to the bridge itself.
#[inline(always)]
pub(crate) fn readdress(ctx: &TcContext) {
    let Some(mac) = client::interface(ctx).and_then(|interface| interface.bridge_mac()) else {
        return;
    };
    if ctx.store(0, mac, 0).is_ok() {
        let _ = ctx.change_type(HOST);
    }
}
