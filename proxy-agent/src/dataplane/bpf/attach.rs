//! Attaching the programs to devices, so that exactly one is on each hook, from run to run.

use std::{
    collections::BTreeSet,
    fs, io,
    path::{Path, PathBuf},
};

use anyhow::{Context, Result};
use aya::{
    Ebpf,
    programs::{
        ProgramError, SchedClassifier, TcAttachType,
        links::{FdLink, LinkOrder, PinnedLink},
        tc::{NlOptions, SchedClassifierLink, TcAttachOptions, TcHandle, qdisc_add_clsact},
    },
};

use super::object::{PinDir, program};
use crate::node::Layer;

/// How programs are attached to a device.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
pub enum TcAttach {
    /// TCX if the kernel has it, else clsact.
    #[default]
    Auto,
    /// BPF links of Linux 6.6 and newer.
    Tcx,
    /// Filters of the clsact qdisc, for older kernels.
    Clsact,
}

/// A hook of a device.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Hook {
    /// Packets that arrive.
    Ingress,
    /// Packets that leave.
    Egress,
}

impl Hook {
    /// Both.
    pub const ALL: [Self; 2] = [Self::Ingress, Self::Egress];

    const fn name(self) -> &'static str {
        match self {
            Self::Ingress => "ingress",
            Self::Egress => "egress",
        }
    }

    const fn attach_type(self) -> TcAttachType {
        match self {
            Self::Ingress => TcAttachType::Ingress,
            Self::Egress => TcAttachType::Egress,
        }
    }

    const fn program(self, layer: Layer) -> &'static str {
        match (self, layer) {
            (Self::Ingress, Layer::Ethernet) => "tc_ingress",
            (Self::Egress, Layer::Ethernet) => "tc_egress",
            (Self::Ingress, Layer::Ip) => "tc_ingress_l3",
            (Self::Egress, Layer::Ip) => "tc_egress_l3",
        }
    }
}

/// "KP", where nobody else's filter is likely to be: what makes a clsact filter ours.
const PRIORITY: u16 = 0x4b50;
const HANDLE: TcHandle = TcHandle::new(0, 0x4b50);

/// What came of attaching.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Attached {
    /// A program was there and has been replaced, by the same one or by another.
    Again,
    /// None was there.
    Anew,
}

/// Attaches the program of `hook` to the device, replacing the one of an earlier run without a gap. To repeat it costs little: so
/// what somebody else has removed comes back.
///
/// # Errors
/// When the kernel refuses; the message names the device.
pub fn attach(
    object: &mut Ebpf,
    pins: &PinDir,
    how: TcAttach,
    device: (u32, &str, Layer),
    hook: Hook,
) -> Result<Attached> {
    let (ifindex, name, layer) = device;
    let program = program(object, hook.program(layer))?;
    let context = || format!("cannot attach to {} of {name}", hook.name());
    match how {
        TcAttach::Tcx => tcx(program, &pin(pins, ifindex, hook), name, hook).with_context(context),
        TcAttach::Clsact => clsact(program, name, hook).with_context(context),
        TcAttach::Auto => match tcx(program, &pin(pins, ifindex, hook), name, hook) {
            Err(error) if is_unsupported(&error) => clsact(program, name, hook).with_context(context),
            result => result.with_context(context),
        },
    }
}

/// Removes the pins of links to devices that are not in `ifindexes`.
///
/// # Errors
/// When one can't be removed.
pub fn forget_others(pins: &PinDir, ifindexes: &BTreeSet<u32>) -> Result<()> {
    for entry in fs::read_dir(pins.links()).context("cannot list the pinned links")? {
        let path = entry?.path();
        let ifindex = path
            .file_name()
            .and_then(|name| name.to_str()?.split_once('-')?.0.parse().ok());
        if !ifindex.is_some_and(|ifindex| ifindexes.contains(&ifindex)) {
            fs::remove_file(&path).with_context(|| format!("cannot remove {}", path.display()))?;
        }
    }
    Ok(())
}

/// Removes our clsact filters from a device, if there are any.
///
/// # Errors
/// When the kernel refuses to remove one that is there.
pub fn detach_clsact(device: &str) -> Result<()> {
    for hook in Hook::ALL {
        let link = SchedClassifierLink::attached(device, hook.attach_type(), PRIORITY, HANDLE, None);
        match link {
            // Dropping the link removes the filter; one that was never there is no error.
            Ok(link) => drop(link),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            // The device has gone since it was listed, and its filters with it.
            Err(error) if error.raw_os_error() == Some(nix::libc::ENODEV) => {}
            Err(error) => return Err(error).with_context(|| format!("cannot detach from {device}")),
        }
    }
    Ok(())
}

fn pin(pins: &PinDir, ifindex: u32, hook: Hook) -> PathBuf {
    pins.links().join(format!("{ifindex}-{}", hook.name()))
}

fn tcx(program: &mut SchedClassifier, pin: &Path, device: &str, hook: Hook) -> Result<Attached> {
    if pin.exists() {
        match replace(program, pin) {
            Ok(()) => return Ok(Attached::Again),
            // The device of the link is gone, and its index used again; or somebody has detached it.
            Err(error) => tracing::debug!(pin = %pin.display(), %error, "a pinned link can't be used on"),
        }
        fs::remove_file(pin)?;
    }
    let id = program.attach_with_options(
        device,
        hook.attach_type(),
        TcAttachOptions::TcxOrder(LinkOrder::default()),
    )?;
    let link: FdLink = program.take_link(id)?.try_into()?;
    link.pin(pin)?;
    Ok(Attached::Anew)
}

fn replace(program: &mut SchedClassifier, pin: &Path) -> Result<()> {
    let link = FdLink::from(PinnedLink::from_pin(pin)?);
    let id = program.attach_to_link(link.try_into()?)?;
    // The pin alone holds the link from here on.
    drop(program.take_link(id)?);
    Ok(())
}

fn clsact(program: &mut SchedClassifier, device: &str, hook: Hook) -> Result<Attached> {
    // It says that it exists if it does, which is as good.
    let _ = qdisc_add_clsact(device);
    let known = SchedClassifierLink::attached(device, hook.attach_type(), PRIORITY, HANDLE, None)?;
    let (id, attached) = match program.attach_to_link(known) {
        Ok(id) => (id, Attached::Again),
        Err(_) => {
            let options = NlOptions {
                priority: PRIORITY,
                handle: HANDLE,
                classid: None,
            };
            let id =
                program.attach_with_options(device, hook.attach_type(), TcAttachOptions::Netlink(options))?;
            (id, Attached::Anew)
        }
    };
    // Dropping it would detach the program.
    std::mem::forget(program.take_link(id)?);
    Ok(attached)
}

/// `EINVAL`: a kernel without TCX does not know the attach type.
fn is_unsupported(error: &anyhow::Error) -> bool {
    let Some(ProgramError::SyscallError(error)) = error.downcast_ref() else {
        return false;
    };
    error.io_error.raw_os_error() == Some(nix::libc::EINVAL)
}

#[cfg(test)]
mod tests {
    use super::detach_clsact;

    #[test]
    fn a_device_that_has_gone_meanwhile_is_nothing_to_detach_from() {
        detach_clsact("kp-no-such-dev").unwrap();
    }
}
