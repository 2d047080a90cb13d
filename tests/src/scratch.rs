//! A directory for one run: manifests, logs, and a bpffs that nobody else pins in.

use std::{
    fs,
    path::{Path, PathBuf},
    process,
};

use anyhow::{Context as _, Result};
use nix::mount::{MntFlags, MsFlags, mount, umount2};
use tempfile::TempDir;

use crate::janitor;

/// The directory, deleted on drop, and the bpffs mounted in it.
#[derive(Debug)]
pub struct Scratch {
    directory: TempDir,
}

impl Scratch {
    /// Makes the directory and mounts a new bpffs on its `bpffs`.
    ///
    /// # Errors
    ///
    /// Not root, or a kernel without bpffs.
    pub fn create() -> Result<Self> {
        janitor::sweep_once();
        let directory = tempfile::Builder::new()
            .prefix(&format!("kp-{}-", process::id()))
            .tempdir()
            .context("cannot make a temporary directory")?;
        let scratch = Self { directory };
        fs::create_dir(scratch.bpffs())?;
        fs::create_dir(scratch.manifests())?;
        mount(
            Some("bpf"),
            &scratch.bpffs(),
            Some("bpf"),
            MsFlags::empty(),
            None::<&str>,
        )
        .context("cannot mount a bpffs: root and a kernel with CONFIG_BPF_SYSCALL are needed")?;
        Ok(scratch)
    }

    /// The directory itself.
    #[must_use]
    pub fn path(&self) -> &Path {
        self.directory.path()
    }

    /// The mount point of the bpffs.
    #[must_use]
    pub fn bpffs(&self) -> PathBuf {
        self.path().join("bpffs")
    }

    /// An empty directory for manifests.
    #[must_use]
    pub fn manifests(&self) -> PathBuf {
        self.path().join("manifests")
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        // Without the mount the directory can be removed; a detached mount takes its pins with it.
        if let Err(error) = umount2(&self.bpffs(), MntFlags::MNT_DETACH) {
            eprintln!("cannot unmount {}: {error}", self.bpffs().display());
        }
    }
}
