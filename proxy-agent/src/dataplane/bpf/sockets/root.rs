//! Where the cgroup v2 hierarchy is: `/sys/fs/cgroup`, `/sys/fs/cgroup/unified` beside hierarchies of version 1, or wherever a container
//! has the host's.

use std::{
    fmt, fs,
    os::unix::fs::MetadataExt as _,
    path::{Path, PathBuf},
};

use anyhow::{Context as _, Result, ensure};
use nix::sys::statfs::{CGROUP2_SUPER_MAGIC, statfs};

/// The file number of the hierarchy's root, wherever it is mounted; another cgroup has another one, also where a namespace shows it as
/// the root.
const OUTERMOST: u64 = 1;

/// The cgroup that programs are attached to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CgroupRoot {
    path: PathBuf,
    /// Another cgroup may get the same path.
    number: u64,
}

impl CgroupRoot {
    /// The one that is wanted, else the root as the mounts of this process have it.
    ///
    /// # Errors
    /// When there is none, or it is not one of version 2.
    pub fn find(wanted: Option<&Path>) -> Result<Self> {
        match wanted {
            Some(path) => Self::at(path).with_context(|| format!("--cgroup-root {}", path.display())),
            None => {
                let mounts = fs::read_to_string("/proc/self/mountinfo").context("/proc/self/mountinfo")?;
                Self::among(mounted(&mounts))
            }
        }
    }

    fn among(paths: impl Iterator<Item = PathBuf>) -> Result<Self> {
        let mut all: Vec<Self> = paths.filter_map(|path| Self::at(&path).ok()).collect();
        all.sort_by_key(|root| !root.is_outermost());
        all.into_iter().next().context(
            "no cgroup v2 hierarchy is mounted; mount one (mount -t cgroup2 none /sys/fs/cgroup/unified) or name it by --cgroup-root",
        )
    }

    fn at(path: &Path) -> Result<Self> {
        let number = fs::metadata(path).context("no such cgroup")?.ino();
        let kind = statfs(path)
            .context("cannot tell its file system")?
            .filesystem_type();
        ensure!(kind == CGROUP2_SUPER_MAGIC, "not in a cgroup v2 hierarchy");
        Ok(Self {
            path: path.to_owned(),
            number,
        })
    }

    /// Its directory.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// What the kernel knows it by.
    #[must_use]
    pub const fn number(&self) -> u64 {
        self.number
    }

    /// Whether every process is in it.
    #[must_use]
    pub const fn is_outermost(&self) -> bool {
        self.number == OUTERMOST
    }
}

impl fmt::Display for CgroupRoot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.path.display().fmt(f)
    }
}

/// The mount points of version 2 in the words of proc(5).
fn mounted(mounts: &str) -> impl Iterator<Item = PathBuf> {
    mounts.lines().filter_map(|line| {
        let (mount, file_system) = line.split_once(" - ")?;
        let path = mount.split(' ').nth(4)?;
        file_system.starts_with("cgroup2 ").then(|| unescaped(path))
    })
}

/// Blanks and the like are octal numbers there.
fn unescaped(path: &str) -> PathBuf {
    let mut text = String::new();
    let mut rest = path;
    while let Some((before, after)) = rest.split_once('\\') {
        text.push_str(before);
        let digits = after.get(..3).unwrap_or(after);
        match u8::from_str_radix(digits, 8) {
            Ok(byte) => text.push(char::from(byte)),
            Err(_) => text.push_str(digits),
        }
        rest = &after[digits.len()..];
    }
    text.push_str(rest);
    text.into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_hierarchies_of_version_2_count_wherever_they_are_mounted() {
        let mounts = "\
22 1 0:21 / /sys/fs/cgroup rw - tmpfs tmpfs rw,mode=755
23 22 0:22 / /sys/fs/cgroup/cpu rw,relatime shared:9 - cgroup cgroup rw,cpu
24 22 0:23 / /sys/fs/cgroup/unified rw,relatime shared:4 master:1 - cgroup2 cgroup2 rw
25 22 0:23 /../.. /host/my\\040cgroups rw,relatime - cgroup2 none rw
torn line";
        let found: Vec<PathBuf> = mounted(mounts).collect();
        let expected = ["/sys/fs/cgroup/unified", "/host/my cgroups"].map(PathBuf::from);
        assert_eq!(found, expected);
    }

    #[test]
    fn what_is_no_cgroup_is_refused_with_its_name() {
        let error = CgroupRoot::find(Some(Path::new("/proc"))).unwrap_err();
        assert_eq!(
            format!("{error:#}"),
            "--cgroup-root /proc: not in a cgroup v2 hierarchy"
        );
        let error = CgroupRoot::find(Some(Path::new("/no/such"))).unwrap_err();
        assert!(format!("{error:#}").starts_with("--cgroup-root /no/such: no such cgroup"));
    }

    #[test]
    fn without_any_the_remedy_is_told() {
        let error = CgroupRoot::among(std::iter::empty()).unwrap_err();
        assert!(error.to_string().contains("mount -t cgroup2"));
    }
}
