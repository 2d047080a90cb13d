//! Counters, one slot per CPU: no lock, no shared cache line. Those of sockets have slots of their own: a packet may interrupt a process.
//! A process that is preempted in the middle may lose what others have counted meanwhile, which costs less than an atomic would.

use proxy_common::Counter;

use crate::maps::COUNTERS;

/// Adds one.
#[inline(always)]
pub(crate) fn add(counter: Counter) {
    if let Some(slot) = COUNTERS.get_ptr_mut(counter as u32) {
        // SAFETY: the slot is this CPU's own, and TC programs do not interrupt one another; what sockets count is as described above.
        unsafe { *slot = (*slot).wrapping_add(1) };
    }
}
