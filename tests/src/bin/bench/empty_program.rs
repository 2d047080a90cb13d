//! A program that does nothing: the time that the kernel counts for it is that of the measuring, and what it costs where
//! kube-portal has its programs is the price of the hooks.

use std::os::fd::OwnedFd;

use anyhow::{Context as _, Result};
use aya::programs::loaded_programs;
use harness::foreign_program::ForeignProgram;

/// The row of it.
pub(crate) const MEASURING: &str = "the kernel's measuring itself, taken off";
/// Runs of it.
const RUNS: u32 = 100_000;
const PACKET: [u8; 64] = [0; 64];
const NAME: &[u8; 16] = b"kp_bench_empty\0\0";

/// Puts one at both hooks of every device of this network namespace; it stays while the links are held.
pub(crate) fn attach_everywhere() -> Result<Vec<OwnedFd>> {
    load()?
        .attach_everywhere()
        .context("cannot attach an empty program")
}

/// Nanoseconds that each run of a program seems longer than it is. The statistics must be on.
pub(crate) fn nanoseconds() -> Result<f64> {
    let program = load()?;
    program
        .run(&PACKET, RUNS)
        .context("cannot run an empty program")?;
    let name = NAME.split(|byte| *byte == 0).next();
    let counted = loaded_programs()
        .filter_map(Result::ok)
        .filter(|program| Some(program.name()) == name && program.run_count() >= u64::from(RUNS))
        .last()
        .context("the kernel has not counted the runs of an empty program")?;
    Ok(counted.run_time().as_secs_f64() * 1e9 / counted.run_count() as f64)
}

fn load() -> Result<ForeignProgram> {
    ForeignProgram::load(*NAME, &ForeignProgram::NOTHING).context("cannot load an empty program")
}
