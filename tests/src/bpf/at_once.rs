//! Two threads that do something at the same time, each on a CPU of its own.

use std::{
    array, hint,
    panic::resume_unwind,
    sync::atomic::{AtomicUsize, Ordering},
    thread,
};

use nix::{
    sched::{CpuSet, sched_getaffinity, sched_setaffinity},
    unistd::Pid,
};

/// Runs `what` with 0 and 1 at the same time. On a machine with one CPU one waits for the other.
///
/// # Panics
///
/// When `what` does.
pub(super) fn at_once<T: Send>(what: impl Fn(usize) -> T + Sync) -> [T; 2] {
    let (cpus, ready) = (usable_cpus(), AtomicUsize::new(0));
    let start = |which: usize| {
        keep_to(cpus[which % cpus.len()]);
        ready.fetch_add(1, Ordering::SeqCst);
        // Woken threads would start too far apart.
        while ready.load(Ordering::SeqCst) < 2 {
            hint::spin_loop();
        }
        what(which)
    };
    thread::scope(|scope| {
        let threads = array::from_fn::<_, 2, _>(|which| {
            scope.spawn({
                let start = &start;
                move || start(which)
            })
        });
        threads.map(|thread| thread.join().unwrap_or_else(|panic| resume_unwind(panic)))
    })
}

fn usable_cpus() -> Vec<usize> {
    let set = sched_getaffinity(Pid::from_raw(0)).expect("a thread knows its CPUs");
    let usable = |cpu: &usize| set.is_set(*cpu).unwrap_or(false);
    (0..CpuSet::count()).filter(usable).collect()
}

fn keep_to(cpu: usize) {
    let mut set = CpuSet::new();
    set.set(cpu).expect("one of the CPUs of the set");
    sched_setaffinity(Pid::from_raw(0), &set).expect("a thread may choose among its CPUs");
}
