//! The programs' clock.

/// Seconds of CLOCK_MONOTONIC.
pub(super) fn now() -> anyhow::Result<u32> {
    let now = nix::time::clock_gettime(nix::time::ClockId::CLOCK_MONOTONIC)?;
    Ok(u32::try_from(now.tv_sec())?)
}
