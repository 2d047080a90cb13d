//! What the kernel's measuring costs: the time that it counts for a program that does nothing.
//!
//! aya loads programs from ELF files only; this one is two instructions.

use std::{
    io,
    os::fd::{AsRawFd as _, FromRawFd as _, OwnedFd},
};

use anyhow::{Context as _, Result};
use aya::programs::loaded_programs;
use nix::libc;

/// Runs of it.
const RUNS: u32 = 100_000;
/// `r0 = 0; exit`, as `struct bpf_insn`.
const NOTHING: [u64; 2] = [0xb7, 0x95];
const LICENSE: &std::ffi::CStr = c"GPL";
const PACKET: [u8; 64] = [0; 64];
const NAME: &[u8; 16] = b"kp_bench_empty\0\0";

const BPF_PROG_LOAD: libc::c_int = 5;
const BPF_PROG_TEST_RUN: libc::c_int = 10;
const BPF_PROG_TYPE_SCHED_CLS: u32 = 3;

/// Beginning of `union bpf_attr` for `BPF_PROG_LOAD`.
#[repr(C)]
#[derive(Default)]
struct Load {
    prog_type: u32,
    insn_cnt: u32,
    insns: u64,
    license: u64,
    log_level: u32,
    log_size: u32,
    log_buf: u64,
    kern_version: u32,
    prog_flags: u32,
    prog_name: [u8; 16],
}

/// Beginning of `union bpf_attr` for `BPF_PROG_TEST_RUN`.
#[repr(C)]
#[derive(Default)]
struct TestRun {
    prog_fd: u32,
    retval: u32,
    data_size_in: u32,
    data_size_out: u32,
    data_in: u64,
    data_out: u64,
    repeat: u32,
    duration: u32,
}

/// Nanoseconds that each run of a program seems longer than it is. The statistics must be on.
pub(super) fn nanoseconds() -> Result<f64> {
    let program = load().context("cannot load an empty program")?;
    let mut run = TestRun {
        prog_fd: u32::try_from(program.as_raw_fd())?,
        data_size_in: u32::try_from(PACKET.len())?,
        data_in: PACKET.as_ptr() as u64,
        repeat: RUNS,
        ..TestRun::default()
    };
    bpf(BPF_PROG_TEST_RUN, &mut run).context("cannot run an empty program")?;
    let name = NAME.split(|byte| *byte == 0).next();
    let counted = loaded_programs()
        .filter_map(Result::ok)
        .filter(|program| Some(program.name()) == name && program.run_count() >= u64::from(RUNS))
        .last()
        .context("the kernel has not counted the runs of an empty program")?;
    Ok(counted.run_time().as_secs_f64() * 1e9 / counted.run_count() as f64)
}

fn load() -> io::Result<OwnedFd> {
    let mut load = Load {
        prog_type: BPF_PROG_TYPE_SCHED_CLS,
        insn_cnt: 2,
        insns: NOTHING.as_ptr() as u64,
        license: LICENSE.as_ptr() as u64,
        prog_name: *NAME,
        ..Load::default()
    };
    let file = bpf(BPF_PROG_LOAD, &mut load)?;
    // SAFETY: the kernel has just opened it for nobody else.
    Ok(unsafe { OwnedFd::from_raw_fd(file) })
}

fn bpf<T>(command: libc::c_int, attributes: &mut T) -> io::Result<libc::c_int> {
    // SAFETY: `attributes` begins as the kernel's `union bpf_attr` does for these commands, and its pointers lead to constants
    // that are as long as it says.
    let result = unsafe {
        libc::syscall(
            libc::SYS_bpf,
            command,
            std::ptr::from_mut(attributes),
            size_of::<T>(),
        )
    };
    if result < 0 {
        return Err(io::Error::last_os_error());
    }
    libc::c_int::try_from(result).map_err(io::Error::other)
}
