//! How the C library's allocator is used.

#[cfg(target_env = "gnu")]
use nix::libc::{M_ARENA_MAX, mallopt};

/// Makes all threads allocate from one arena. Objects are read by several threads and live long, so that each further arena would
/// keep some 15 MiB for itself in a cluster of 10,000 Services; the agent's threads hardly ever allocate at the same time.
#[cfg(target_env = "gnu")]
pub(super) fn use_one_arena() {
    // SAFETY: mallopt takes two integers, and nothing else runs yet. If it fails nothing has changed.
    unsafe { mallopt(M_ARENA_MAX, 1) };
}

/// Other C libraries have no arenas.
#[cfg(not(target_env = "gnu"))]
pub(super) const fn use_one_arena() {}
