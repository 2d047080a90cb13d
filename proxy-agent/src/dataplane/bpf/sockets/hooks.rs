//! Whose programs are at the hooks of a cgroup beside ours: they may have translated, or refuse, what ours are asked for.

use std::{collections::BTreeSet, fs::File, io, os::fd::AsRawFd as _};

use anyhow::{Context as _, Result};
use aya::programs::loaded_programs;
use aya_obj::generated::{bpf_attach_type as Hook, bpf_cmd};
use nix::libc::{SYS_bpf, syscall};

use super::{CgroupRoot, Link};

/// Those of our programs.
const HOOKS: [Hook; 9] = [
    Hook::BPF_CGROUP_INET4_CONNECT,
    Hook::BPF_CGROUP_INET6_CONNECT,
    Hook::BPF_CGROUP_UDP4_SENDMSG,
    Hook::BPF_CGROUP_UDP6_SENDMSG,
    Hook::BPF_CGROUP_UDP4_RECVMSG,
    Hook::BPF_CGROUP_UDP6_RECVMSG,
    Hook::BPF_CGROUP_INET4_GETPEERNAME,
    Hook::BPF_CGROUP_INET6_GETPEERNAME,
    Hook::BPF_CGROUP_INET_SOCK_RELEASE,
];

/// The kernel allows so many at a hook.
const MOST: u32 = 64;

/// What `BPF_PROG_QUERY` reads and writes (`union bpf_attr` of linux/bpf.h).
#[repr(C)]
struct Query {
    target: u32,
    attach_type: u32,
    query_flags: u32,
    attach_flags: u32,
    ids: u64,
    len: u32,
    reserved: u32,
}

/// The names of programs at the same hooks of the cgroup that are none of `ours`.
///
/// # Errors
/// When the kernel does not tell.
pub fn foreign(root: &CgroupRoot, ours: &[Link]) -> Result<BTreeSet<String>> {
    let cgroup = File::open(root.path()).with_context(|| format!("cannot open {root}"))?;
    let mut ids = BTreeSet::new();
    for hook in HOOKS {
        ids.extend(at(&cgroup, hook).with_context(|| format!("programs at {hook:?} of {root}"))?);
    }
    let is_foreign = |id: &u32| !ours.iter().any(|link| link.id == *id);
    let ids: BTreeSet<u32> = ids.into_iter().filter(is_foreign).collect();
    let programs = loaded_programs()
        .flatten()
        .filter(|program| ids.contains(&program.id()));
    Ok(programs
        .map(|program| format!("{} (id {})", program.name_as_str().unwrap_or("?"), program.id()))
        .collect())
}

fn at(cgroup: &File, hook: Hook) -> io::Result<Vec<u32>> {
    let mut ids = [0_u32; MOST as usize];
    let mut query = Query {
        target: u32::try_from(cgroup.as_raw_fd()).map_err(io::Error::other)?,
        attach_type: hook as u32,
        query_flags: 0,
        attach_flags: 0,
        ids: ids.as_mut_ptr() as u64,
        len: MOST,
        reserved: 0,
    };
    // SAFETY: the kernel reads and writes no more than the size of `query`, and at most `len` numbers of `ids`, which both outlive the call.
    let result = unsafe {
        syscall(
            SYS_bpf,
            bpf_cmd::BPF_PROG_QUERY,
            &raw mut query,
            size_of::<Query>(),
        )
    };
    if result < 0 {
        return Err(io::Error::last_os_error());
    }
    Ok(ids.into_iter().take(query.len as usize).collect())
}
