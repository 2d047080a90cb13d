//! Cgroups that vanish with their owner: what programs on sockets are attached to, and whose threads make such sockets.
//!
//! A node of a topology is one of many on a machine, whose own cgroups are none of a test's business. So each node has a threaded
//! cgroup, and single threads of this process enter it to make sockets of that node:
//!
//! ```text
//! (root of the hierarchy)
//!  └─ kp-<pid>              threaded domain: this process, from the first join on
//!      ├─ 0-node1           threaded: threads and children while they run in a namespace of node1
//!      └─ 1-node2
//! ```

mod domain;

use std::{
    fs::{self, File},
    io::{self, Write as _},
    path::{Path, PathBuf},
    sync::atomic::{AtomicU32, Ordering},
    time::Duration,
};

use anyhow::{Context as _, Result};

use crate::wait;
pub(crate) use domain::mount_point;

/// The kernel counts a thread as gone a moment after whoever joins it does.
const EMPTY: Duration = Duration::from_secs(2);

/// A cgroup of our own. It is removed on drop; programs that are attached to it are detached by that.
#[derive(Debug)]
pub struct Cgroup {
    // Fields are dropped from top to bottom: the domain may go with its last child.
    directory: Directory,
    threads: File,
    _share: domain::Share,
}

/// Removed on drop.
#[derive(Debug)]
struct Directory(PathBuf);

impl Cgroup {
    /// Makes one whose name ends with `label`. No thread is in it.
    ///
    /// # Errors
    ///
    /// Not root, or no cgroup v2 hierarchy is mounted.
    pub fn create(label: &str) -> Result<Self> {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let share = domain::Share::take()?;
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let path = share.directory().join(format!("{number}-{label}"));
        fs::create_dir(&path).with_context(|| format!("cannot make the cgroup {}", path.display()))?;
        let directory = Directory(path);
        let file = |name: &str| {
            let path = directory.0.join(name);
            let opened = File::options().write(true).open(&path);
            opened.with_context(|| format!("cannot open {}", path.display()))
        };
        file("cgroup.type")?
            .write_all(b"threaded")
            .context("the cgroup cannot be threaded")?;
        Ok(Self {
            threads: file("cgroup.threads")?,
            directory,
            _share: share,
        })
    }

    /// Its directory, for `--cgroup-root`.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.directory.0
    }

    /// What a thread writes `0` to in order to enter, for which this process has to be in the domain.
    ///
    /// # Errors
    ///
    /// The process cannot be moved there.
    pub(crate) fn door(&self) -> Result<File> {
        domain::move_in()?;
        Ok(self.threads.try_clone()?)
    }
}

/// Moves the thread that calls, which then makes its sockets there. One system call on what [`Cgroup::door`] gave.
pub(crate) fn enter(mut door: &File) -> io::Result<()> {
    door.write(b"0").map(drop)
}

/// Removes a cgroup once its last thread is gone.
fn remove(directory: &Path) -> Result<()> {
    wait::until("no thread is in the cgroup", EMPTY, || {
        match fs::remove_dir(directory) {
            Err(error) if error.kind() == io::ErrorKind::ResourceBusy => Err(error.into()),
            // Any other failure will not pass.
            other => Ok(other),
        }
    })?
    .map_err(Into::into)
}

impl Drop for Directory {
    fn drop(&mut self) {
        if let Err(error) = remove(&self.0) {
            eprintln!("cgroup {} is left behind: {error:#}", self.0.display());
        }
    }
}
