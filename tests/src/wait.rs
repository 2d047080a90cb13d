//! Waiting for a condition instead of for a time.

use std::{
    thread,
    time::{Duration, Instant},
};

use anyhow::{Result, bail};

/// How often conditions are looked at.
pub const PAUSE: Duration = Duration::from_millis(10);

/// Calls `probe` until it gives a value. A probe that fails says why; the last reason is in the error.
///
/// # Errors
///
/// `limit` has passed without success.
pub fn until<T>(what: &str, limit: Duration, probe: impl FnMut() -> Result<T>) -> Result<T> {
    until_every(PAUSE, what, limit, probe)
}

/// As [`until`], with this long between two calls of a probe that costs much.
///
/// # Errors
///
/// As [`until`].
pub fn until_every<T>(
    pause: Duration,
    what: &str,
    limit: Duration,
    mut probe: impl FnMut() -> Result<T>,
) -> Result<T> {
    let deadline = Instant::now() + limit;
    loop {
        let reason = match probe() {
            Ok(value) => return Ok(value),
            Err(reason) => reason,
        };
        if Instant::now() >= deadline {
            bail!("{what}: not within {limit:?}: {reason:#}");
        }
        thread::sleep(pause);
    }
}
