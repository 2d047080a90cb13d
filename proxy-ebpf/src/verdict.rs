//! What becomes of a packet, and the one place that says it in a hook's words.

use proxy_common::Counter;

/// The packet goes on: untouched, or rewritten.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    /// To the next program and the stack.
    Next,
}

/// Why a packet was dropped; each is a [`Counter`] of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Drop(pub Counter);

// `TC_ACT_UNSPEC` for clsact and `TCX_NEXT` for TCX are one number: later programs see the packet too.
const TC_NEXT: i32 = -1;
const TC_SHOT: i32 = 2;

/// In TC's words. Counts the drop.
#[inline(always)]
pub fn of(result: Result<Action, Drop>) -> i32 {
    match result {
        Ok(Action::Next) => TC_NEXT,
        Err(Drop(why)) => {
            crate::count::add(why);
            TC_SHOT
        }
    }
}
