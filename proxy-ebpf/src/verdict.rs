//! What becomes of a packet, and the one place that says it in a hook's words.

use aya_ebpf::{helpers::generated::bpf_redirect, programs::TcContext};
use proxy_common::Counter;

/// The packet goes on: untouched, or rewritten.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    /// To the next program and the stack.
    Next,
    /// It has become its own answer: out of the device that it came by.
    Back,
}

/// Why a packet was dropped; each is a [`Counter`] of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Drop(pub Counter);

// `TC_ACT_UNSPEC` for clsact and `TCX_NEXT` for TCX are one number: later programs see the packet too.
const TC_NEXT: i32 = -1;
const TC_SHOT: i32 = 2;

/// In TC's words. Counts the drop.
#[inline(always)]
pub fn of(ctx: &TcContext, result: Result<Action, Drop>) -> i32 {
    match result {
        Ok(Action::Next) => TC_NEXT,
        Ok(Action::Back) => back(ctx),
        Err(Drop(why)) => {
            crate::count::add(why);
            TC_SHOT
        }
    }
}

#[inline(always)]
fn back(ctx: &TcContext) -> i32 {
    // SAFETY: the context is the kernel's, valid while the program runs; the helper takes any number.
    let verdict = unsafe { bpf_redirect((*ctx.skb.skb).ifindex, 0) };
    #[expect(
        clippy::cast_possible_truncation,
        reason = "`TC_ACT_REDIRECT`, or `TC_ACT_SHOT`"
    )]
    let verdict = verdict as i32;
    verdict
}
