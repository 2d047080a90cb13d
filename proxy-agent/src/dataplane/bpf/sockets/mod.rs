//! The programs of sockets: attached to the root of the cgroup hierarchy, so that every process has them, and seen to work.

mod attach;
mod canary;
mod end;
mod hooks;
mod known;
mod links;
mod root;

use std::{mem, path::PathBuf};

use anyhow::{Context as _, Result};
use aya::Ebpf;
use proxy_common::Cookie;
use tokio::sync::watch;

pub use self::{
    attach::PROGRAMS,
    canary::sing_pinned,
    hooks::foreign,
    links::{Link, links},
    root::CgroupRoot,
};
pub(super) use self::{
    end::{Misled, end_known},
    known::{KnownSockets, ends},
};
use super::object::PinDir;
use crate::explain::Complaint;

const UNCAUGHT: &str = "sockets are not translated, so the node's own processes reach no Service, and pods' connections are translated packet by packet";

/// Whether sockets are caught, and what was said about it.
#[derive(Debug)]
pub struct Sockets {
    wanted: Option<PathBuf>,
    /// And whether that had an effect.
    attached: Option<(CgroupRoot, bool)>,
    complaint: Complaint,
    caught: watch::Sender<Option<CgroupRoot>>,
}

impl Sockets {
    /// At this cgroup, else at the root of the hierarchy. Attaches nothing yet. `caught` is told where sockets are known to be caught.
    #[must_use]
    pub fn new(wanted: Option<PathBuf>, caught: watch::Sender<Option<CgroupRoot>>) -> Self {
        Self {
            wanted,
            attached: None,
            complaint: Complaint::default(),
            caught,
        }
    }

    /// Whether they were at the last look.
    #[must_use]
    pub fn are_caught(&self) -> bool {
        self.caught.borrow().is_some()
    }

    /// Sees to it that the sockets of this process are caught, and gives its network namespace; [`Cookie::NONE`] if they are not.
    ///
    /// The first time all programs are attached, beside those of an earlier run, which go then: no socket meets none.
    pub fn attend(&mut self, object: &mut Ebpf, pins: &PinDir) -> Cookie {
        let (root, netns, caught) = match self.catch(object, pins) {
            Ok((root, netns)) => (Some(root), netns, Ok(())),
            Err(error) => (None, Cookie::NONE, Err(error.context(UNCAUGHT))),
        };
        self.complaint.about(caught);
        self.caught.send_if_modified(|known| {
            let before = mem::replace(known, root);
            before != *known
        });
        netns
    }

    fn catch(&mut self, object: &mut Ebpf, pins: &PinDir) -> Result<(CgroupRoot, Cookie)> {
        let root = CgroupRoot::find(self.wanted.as_deref())?;
        let before = self.attached.take_if(|(attached, _)| *attached == root);
        let mut netns = match before {
            Some(_) => canary::sing(object)?,
            None => None,
        };
        // What has never had an effect does not get one by being repeated.
        if netns.is_none() && before.as_ref().is_none_or(|(_, had_effect)| *had_effect) {
            attach::attach(object, pins, &root).with_context(|| format!("cannot attach to cgroup {root}"))?;
            self.tell(&root, before.is_some());
            netns = canary::sing(object)?;
        }
        self.attached = Some((root.clone(), netns.is_some()));
        let netns = netns.with_context(|| {
            format!("the programs are attached to cgroup {root}, and this process is not in it; give the root of the hierarchy as the host has it to --cgroup-root")
        });
        Ok((root, netns?))
    }

    fn tell(&self, root: &CgroupRoot, again: bool) {
        if again {
            tracing::warn!(cgroup = %root, "somebody else has removed our programs of sockets; they are back");
        } else {
            tracing::info!(cgroup = %root, "translating sockets");
        }
        if !root.is_outermost() && self.wanted.is_none() {
            tracing::warn!(cgroup = %root, "this is not the root of the cgroup hierarchy: processes outside of it reach no Service; mount the host's hierarchy and name it by --cgroup-root");
        }
    }
}
