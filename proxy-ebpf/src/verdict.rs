//! What becomes of a packet, and the one place that says it in a hook's words.

use aya_ebpf::{helpers::generated::bpf_redirect, programs::TcContext};
use proxy_common::Counter;

/// What becomes of a packet.
///
/// One word, unlike a `Result` of two enums: what a function that is not inlined returns must not have parts that nobody has set.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// To the next program and the stack: untouched, or rewritten.
    Next,
    /// It has become its own answer: out of the device that it came by.
    Back,
    /// Not yet decided: what a step of the way says that has nothing to say.
    Open,
    /// It is gone, for a reason that has a counter of its own.
    Drop(Counter),
}

/// Why a packet is dropped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Drop(pub Counter);

impl From<Result<Self, Drop>> for Verdict {
    #[inline(always)]
    fn from(result: Result<Self, Drop>) -> Self {
        match result {
            Ok(verdict) => verdict,
            Err(Drop(why)) => Self::Drop(why),
        }
    }
}

// `TC_ACT_UNSPEC` for clsact and `TCX_NEXT` for TCX are one number: later programs see the packet too.
const TC_NEXT: i32 = -1;
const TC_SHOT: i32 = 2;

/// In TC's words. Counts the drop.
#[inline(always)]
pub fn of(ctx: &TcContext, verdict: Verdict) -> i32 {
    match verdict {
        Verdict::Next | Verdict::Open => TC_NEXT,
        Verdict::Back => back(ctx),
        Verdict::Drop(why) => {
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
