//! Attaching the programs of sockets, beside whatever others have attached.

use std::{
    collections::BTreeSet,
    fs::{self, File},
    path::PathBuf,
};

use anyhow::{Context as _, Result, bail};
use aya::{
    Ebpf,
    programs::{CgroupAttachMode, Program, links::FdLink},
};

use super::CgroupRoot;
use crate::dataplane::bpf::object::PinDir;

/// All of them, by name. What answers comes before what asks: no socket is led to an endpoint whose answers it would not know.
pub const PROGRAMS: [&str; 9] = [
    "socket_release",
    "socket_recvmsg4",
    "socket_recvmsg6",
    "socket_getpeername4",
    "socket_getpeername6",
    "socket_sendmsg4",
    "socket_sendmsg6",
    "socket_connect4",
    "socket_connect6",
];

/// Attaches all of them, and then detaches those of before: links to cgroups can't be given another program by aya.
pub(super) fn attach(object: &mut Ebpf, pins: &PinDir, root: &CgroupRoot) -> Result<()> {
    let cgroup = File::open(root.path()).context("cannot open it")?;
    let dir = pins.sockets();
    fs::create_dir_all(&dir).with_context(|| format!("cannot create {}", dir.display()))?;
    let old = pinned(pins)?;
    for name in PROGRAMS {
        let pin = free_pin(pins, name, &old);
        let link = link(object, name, &cgroup).with_context(|| {
            format!("the kernel does not take {name}, for which it must be Linux 5.10 or newer")
        })?;
        link.pin(&pin)
            .with_context(|| format!("cannot pin {}", pin.display()))?;
    }
    for pin in old {
        fs::remove_file(&pin).with_context(|| format!("cannot remove {}", pin.display()))?;
    }
    Ok(())
}

fn pinned(pins: &PinDir) -> Result<BTreeSet<PathBuf>> {
    let entries = fs::read_dir(pins.sockets()).context("cannot list the pinned links of sockets")?;
    entries.map(|entry| Ok(entry?.path())).collect()
}

/// A name of its own: the link of an earlier run has one, too.
fn free_pin(pins: &PinDir, name: &str, taken: &BTreeSet<PathBuf>) -> PathBuf {
    let candidates = (0..=taken.len()).map(|number| pins.sockets().join(format!("{name}-{number}")));
    let mut free = candidates.filter(|path| !taken.contains(path));
    free.next().unwrap_or_else(|| pins.sockets().join(name))
}

fn link(object: &mut Ebpf, name: &str, cgroup: &File) -> Result<FdLink> {
    let program = object
        .program_mut(name)
        .with_context(|| format!("the BPF object lacks program {name}"))?;
    let is_loaded = program.fd().is_ok();
    // A link takes no flags and always stands beside others.
    let mode = CgroupAttachMode::Single;
    Ok(match program {
        Program::CgroupSockAddr(program) => {
            if !is_loaded {
                program.load()?;
            }
            let id = program.attach(cgroup, mode)?;
            program.take_link(id)?.try_into()?
        }
        Program::CgroupSock(program) => {
            if !is_loaded {
                program.load()?;
            }
            let id = program.attach(cgroup, mode)?;
            program.take_link(id)?.try_into()?
        }
        _ => bail!("{name} is of another type"),
    })
}
