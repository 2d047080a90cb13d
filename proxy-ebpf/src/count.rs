//! Counters, one slot per CPU: no lock, no shared cache line.

use proxy_common::Counter;

use crate::maps::COUNTERS;

/// Adds one.
#[inline(always)]
pub(crate) fn add(counter: Counter) {
    if let Some(slot) = COUNTERS.get_ptr_mut(counter as u32) {
        // SAFETY: the slot is this CPU's own, and TC programs do not interrupt one another.
        unsafe { *slot = (*slot).wrapping_add(1) };
    }
}
