//! Puts an answer into the place of the packet.

use aya_ebpf::{
    bindings::{BPF_F_RECOMPUTE_CSUM, bpf_adj_room_mode::BPF_ADJ_ROOM_MAC},
    helpers::generated::{bpf_skb_adjust_room, bpf_skb_change_tail, bpf_skb_load_bytes, bpf_skb_store_bytes},
    programs::TcContext,
};

use super::Answer;
use crate::packet::{Layer, done};

/// More than there is before any transport checksum.
const SHED: i32 = 256;

/// Makes the packet `len` bytes of the answer, behind its Ethernet header with source and destination swapped.
///
/// A local sender leaves the transport checksum to the device, which would spoil the answer's: the kernel would sum up what
/// is at that place now. It forgets about it when the place is cut off, so the packet is made longer first and loses its
/// beginning then. That also makes it linear and ends segmentation offload.
#[inline(always)]
pub(super) fn packet(ctx: &TcContext, answer: &mut Answer, len: u32, layer: Layer) -> Result<(), i64> {
    let skb = ctx.skb.skb;
    let ip = layer.header_len();
    if layer == Layer::Ethernet {
        swapped_macs(ctx, answer)?;
    }
    // SAFETY: the helpers check every length, and the verifier that the answer has `len` bytes.
    unsafe {
        done(bpf_skb_change_tail(skb, ip + len + SHED.unsigned_abs(), 0))?;
        done(bpf_skb_adjust_room(skb, -SHED, BPF_ADJ_ROOM_MAC, 0))?;
        // A sum over the packet that the device has made is kept right. It is one without the Ethernet header.
        let flags = u64::from(BPF_F_RECOMPUTE_CSUM);
        done(bpf_skb_store_bytes(
            skb,
            ip,
            answer.words.as_ptr().cast(),
            len,
            flags,
        ))?;
        if layer == Layer::Ethernet {
            done(bpf_skb_store_bytes(skb, 0, answer.macs.as_ptr().cast(), 12, 0))?;
        }
    }
    Ok(())
}

#[inline(always)]
fn swapped_macs(ctx: &TcContext, answer: &mut Answer) -> Result<(), i64> {
    let skb = ctx.skb.skb.cast_const().cast();
    let (destination, source) = answer.macs.split_at_mut(6);
    // SAFETY: each half has six bytes.
    unsafe {
        done(bpf_skb_load_bytes(skb, 6, destination.as_mut_ptr().cast(), 6))?;
        done(bpf_skb_load_bytes(skb, 0, source.as_mut_ptr().cast(), 6))
    }
}
