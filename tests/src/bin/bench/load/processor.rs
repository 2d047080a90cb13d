//! The processor that clients and servers share.

use std::io;

use nix::{
    libc,
    sched::{CpuSet, sched_getaffinity, sched_setaffinity},
    unistd::Pid,
};

/// The first of all others: whatever else the machine does waits.
const FIRST: libc::c_int = -20;
const THIS_THREAD: Pid = Pid::from_raw(0);

/// Puts the calling thread on the last processor that it may use, before everything else there.
pub(super) fn take() -> io::Result<()> {
    let allowed = sched_getaffinity(THIS_THREAD)?;
    let last = (0..CpuSet::count())
        .rev()
        .find(|cpu| allowed.is_set(*cpu).unwrap_or(false))
        .ok_or(io::ErrorKind::NotFound)?;
    let mut only = CpuSet::new();
    only.set(last)?;
    sched_setaffinity(THIS_THREAD, &only)?;
    // SAFETY: takes numbers only; 0 is the calling thread.
    let refused = unsafe { libc::setpriority(libc::PRIO_PROCESS, 0, FIRST) };
    if refused == 0 {
        Ok(())
    } else {
        Err(io::Error::last_os_error())
    }
}
