//! The programs: each translates a hook's context and verdict, and does nothing else.
#![cfg_attr(target_arch = "bpf", no_std, no_main)]

use aya_ebpf::{macros::classifier, programs::TcContext};
use proxy_ebpf::{hooks::tc, packet::Layer, verdict};

/// Ingress of a device with Ethernet headers.
#[classifier]
fn tc_ingress(ctx: TcContext) -> i32 {
    verdict::of(&ctx, tc::ingress(&ctx, Layer::Ethernet))
}

/// Egress of a device with Ethernet headers.
#[classifier]
fn tc_egress(ctx: TcContext) -> i32 {
    verdict::of(&ctx, tc::egress(&ctx, Layer::Ethernet))
}

/// Ingress of a device whose packets begin with the IP header, such as tun or WireGuard.
#[classifier]
fn tc_ingress_l3(ctx: TcContext) -> i32 {
    verdict::of(&ctx, tc::ingress(&ctx, Layer::Ip))
}

/// Egress of a device whose packets begin with the IP header.
#[classifier]
fn tc_egress_l3(ctx: TcContext) -> i32 {
    verdict::of(&ctx, tc::egress(&ctx, Layer::Ip))
}

// The helpers that the programs call are for GPL-compatible programs only.
#[cfg(target_arch = "bpf")]
#[unsafe(link_section = "license")]
#[unsafe(no_mangle)]
static LICENSE: [u8; 13] = *b"Dual BSD/GPL\0";

#[cfg(target_arch = "bpf")]
#[panic_handler]
fn panic(_info: &core::panic::PanicInfo<'_>) -> ! {
    // SAFETY: nothing in the programs panics; were it otherwise the verifier would see this and refuse to load them.
    unsafe { core::hint::unreachable_unchecked() }
}

/// On the host there is nothing to run: the crate builds there for `cargo check`, clippy and the library's tests.
#[cfg(not(target_arch = "bpf"))]
fn main() {}
