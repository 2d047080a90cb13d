//! Programs of others, a few instructions long. aya loads programs from ELF files only.

use std::{
    ffi::CStr,
    io,
    os::fd::{AsRawFd as _, FromRawFd as _, OwnedFd},
};

use nix::{libc, net::if_::if_nameindex};

const LICENSE: &CStr = c"GPL";
const BPF_PROG_LOAD: libc::c_int = 5;
const BPF_PROG_TEST_RUN: libc::c_int = 10;
const BPF_LINK_CREATE: libc::c_int = 28;
const BPF_PROG_TYPE_SCHED_CLS: u32 = 3;
const BPF_TCX_INGRESS: u32 = 46;
const BPF_TCX_EGRESS: u32 = 47;

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

/// Beginning of `union bpf_attr` for `BPF_LINK_CREATE`.
#[repr(C)]
struct CreateLink {
    prog_fd: u32,
    target_ifindex: u32,
    attach_type: u32,
    flags: u32,
}

/// A program for TC hooks.
pub struct ForeignProgram(OwnedFd);

impl ForeignProgram {
    /// `r0 = 0; exit`: passes every packet.
    pub const NOTHING: [u64; 2] = [0xb7, 0x95];

    /// From instructions as `struct bpf_insn` lays them out.
    ///
    /// # Errors
    ///
    /// The kernel refuses it.
    pub fn load(name: [u8; 16], instructions: &[u64]) -> io::Result<Self> {
        let mut load = Load {
            prog_type: BPF_PROG_TYPE_SCHED_CLS,
            insn_cnt: u32::try_from(instructions.len()).map_err(io::Error::other)?,
            insns: instructions.as_ptr() as u64,
            license: LICENSE.as_ptr() as u64,
            prog_name: name,
            ..Load::default()
        };
        bpf(BPF_PROG_LOAD, &mut load).map(owned).map(Self)
    }

    /// Runs it on a packet so many times.
    ///
    /// # Errors
    ///
    /// The kernel refuses the packet.
    pub fn run(&self, packet: &[u8], times: u32) -> io::Result<()> {
        let mut run = TestRun {
            prog_fd: self.number()?,
            data_size_in: u32::try_from(packet.len()).map_err(io::Error::other)?,
            data_in: packet.as_ptr() as u64,
            repeat: times,
            ..TestRun::default()
        };
        bpf(BPF_PROG_TEST_RUN, &mut run).map(drop)
    }

    /// Puts it by TCX at both hooks of every device of the thread's network namespace but the loopback's, where it stays while the
    /// links are held.
    ///
    /// # Errors
    ///
    /// The kernel has no TCX, or a device has gone.
    pub fn attach_everywhere(&self) -> io::Result<Vec<OwnedFd>> {
        let mut links = Vec::new();
        for device in &if_nameindex()? {
            if device.name() == c"lo" {
                continue;
            }
            for attach_type in [BPF_TCX_INGRESS, BPF_TCX_EGRESS] {
                let mut create = CreateLink {
                    prog_fd: self.number()?,
                    target_ifindex: device.index(),
                    attach_type,
                    flags: 0,
                };
                links.push(owned(bpf(BPF_LINK_CREATE, &mut create)?));
            }
        }
        Ok(links)
    }

    fn number(&self) -> io::Result<u32> {
        u32::try_from(self.0.as_raw_fd()).map_err(io::Error::other)
    }
}

fn owned(descriptor: libc::c_int) -> OwnedFd {
    // SAFETY: the kernel has just opened it for nobody else.
    unsafe { OwnedFd::from_raw_fd(descriptor) }
}

fn bpf<T>(command: libc::c_int, attributes: &mut T) -> io::Result<libc::c_int> {
    // SAFETY: `attributes` begins as the kernel's `union bpf_attr` does for these commands, and its pointers lead to what is as long
    // as it says.
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
