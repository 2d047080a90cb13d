//! Tests that this machine cannot run are counted aloud, never passed over in silence.

use std::sync::atomic::{AtomicU32, Ordering};

/// Prints `SKIPPED <test>: <reason>` on standard error and gives the number of skips of this process so far.
pub fn skipped(test: &str, reason: &str) -> u32 {
    static COUNT: AtomicU32 = AtomicU32::new(0);
    eprintln!("SKIPPED {test}: {reason}");
    COUNT.fetch_add(1, Ordering::Relaxed) + 1
}

/// Whether the running kernel is at least `major.minor`.
///
/// # Panics
///
/// When /proc is not mounted.
#[must_use]
pub fn kernel_is_at_least(major: u32, minor: u32) -> bool {
    let release = std::fs::read_to_string("/proc/sys/kernel/osrelease").expect("/proc is mounted");
    let mut numbers = release
        .split(|c: char| !c.is_ascii_digit())
        .map_while(|part| part.parse::<u32>().ok());
    (numbers.next().unwrap_or(0), numbers.next().unwrap_or(0)) >= (major, minor)
}
