//! The cgroup that this process lives in while it has others below: it is there as long as one of them is.

use std::{
    fs,
    path::{Path, PathBuf},
    process,
    sync::{Mutex, MutexGuard, PoisonError},
};

use anyhow::{Context as _, Result};

use super::remove;
use crate::janitor;

static DOMAIN: Mutex<Domain> = Mutex::new(Domain {
    shares: 0,
    home: None,
});

struct Domain {
    shares: usize,
    /// Where the process came from, while it is here.
    home: Option<PathBuf>,
}

/// A reason for the domain to exist.
#[derive(Debug)]
pub(super) struct Share(PathBuf);

impl Share {
    pub(super) fn take() -> Result<Self> {
        janitor::sweep_once();
        let mut domain = lock();
        let directory = directory()?;
        if let Err(error) = fs::create_dir(&directory)
            && !directory.is_dir()
        {
            return Err(error).with_context(|| format!("cannot make the cgroup {}", directory.display()));
        }
        domain.shares += 1;
        Ok(Self(directory))
    }

    pub(super) fn directory(&self) -> &Path {
        &self.0
    }
}

impl Drop for Share {
    fn drop(&mut self) {
        let mut domain = lock();
        domain.shares -= 1;
        if domain.shares > 0 {
            return;
        }
        let left = domain.home.take().map_or(Ok(()), |home| move_to(&home));
        // What this process has started and not ended yet stays there; a later process removes it.
        if let Err(error) = left.and_then(|()| remove(&self.0)) {
            eprintln!("cgroup {} is left behind: {error:#}", self.0.display());
        }
    }
}

/// Moves this process, with all of its threads that are nowhere below, into the domain, once.
pub(super) fn move_in() -> Result<()> {
    let mut domain = lock();
    if domain.home.is_none() {
        let home = current()?;
        move_to(&directory()?)?;
        domain.home = Some(home);
    }
    Ok(())
}

/// Where the cgroup v2 hierarchy is mounted.
///
/// # Errors
///
/// It is not.
pub(crate) fn mount_point() -> Result<PathBuf> {
    let mounts = fs::read_to_string("/proc/self/mountinfo").context("cannot read /proc/self/mountinfo")?;
    let found = mounts.lines().find_map(root_of_hierarchy);
    found.context("no cgroup v2 hierarchy is mounted: mount -t cgroup2 none /sys/fs/cgroup/unified")
}

fn root_of_hierarchy(mount: &str) -> Option<PathBuf> {
    let (place, kind) = mount.split_once(" - ")?;
    let mut place = place.split(' ').skip(3);
    let is_it = place.next() == Some("/") && kind.starts_with("cgroup2 ");
    place.next().filter(|_| is_it).map(PathBuf::from)
}

fn directory() -> Result<PathBuf> {
    Ok(mount_point()?.join(format!("kp-{}", process::id())))
}

fn current() -> Result<PathBuf> {
    let cgroups = fs::read_to_string("/proc/self/cgroup").context("cannot read /proc/self/cgroup")?;
    let own = cgroups.lines().find_map(|line| line.strip_prefix("0::/"));
    Ok(mount_point()?.join(own.context("this process is in no cgroup v2")?))
}

fn move_to(cgroup: &Path) -> Result<()> {
    fs::write(cgroup.join("cgroup.procs"), "0")
        .with_context(|| format!("cannot move this process to {}", cgroup.display()))
}

fn lock() -> MutexGuard<'static, Domain> {
    DOMAIN.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_root_of_a_hierarchy_of_version_2_counts() {
        let mount = |root: &str, kind: &str| {
            root_of_hierarchy(&format!(
                "41 31 0:38 {root} /sys/fs/cgroup/unified rw,relatime shared:9 - {kind} none rw"
            ))
        };
        assert_eq!(mount("/", "cgroup2"), Some("/sys/fs/cgroup/unified".into()));
        assert_eq!(mount("/", "cgroup"), None);
        assert_eq!(mount("/kubepods", "cgroup2"), None);
    }
}
