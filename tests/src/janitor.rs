//! Clears what a run that was killed with SIGKILL could not: namespaces, cgroups, mounts and directories named `kp-<pid>…`
//! whose process is gone, and agents that still run in such a namespace.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
    sync::Once,
};

use nix::{
    mount::{MntFlags, umount2},
    sys::signal::{Signal, kill},
    unistd::Pid,
};

use crate::{cgroup, exec, netns};

/// Clears leftovers, once per process.
pub(crate) fn sweep_once() {
    static ONCE: Once = Once::new();
    ONCE.call_once(sweep);
}

fn sweep() {
    for path in leftovers(Path::new(netns::DIRECTORY)) {
        remove_namespace(&path);
    }
    for path in cgroup::mount_point().iter().flat_map(|root| leftovers(root)) {
        remove_cgroups(&path);
    }
    for path in leftovers(&std::env::temp_dir()) {
        // Not mounted is the usual case.
        let _ = umount2(&path.join("bpffs"), MntFlags::MNT_DETACH);
        let _ = fs::remove_dir_all(&path);
    }
}

fn leftovers(directory: &Path) -> Vec<PathBuf> {
    let Ok(entries) = fs::read_dir(directory) else {
        return Vec::new();
    };
    entries
        .flatten()
        .map(|entry| entry.path())
        .filter(|path| is_orphan(path))
        .collect()
}

fn is_orphan(path: &Path) -> bool {
    let owner = path
        .file_name()
        .and_then(|name| name.to_str())
        .and_then(|name| name.strip_prefix("kp-")?.split('-').next()?.parse::<i32>().ok());
    owner.is_some_and(|pid| !Path::new("/proc").join(pid.to_string()).exists())
}

fn remove_namespace(path: &Path) {
    let Some(name) = path.file_name().and_then(|name| name.to_str()) else {
        return;
    };
    let pids = exec::output(Command::new("ip").args(["netns", "pids", name])).unwrap_or_default();
    for pid in pids.lines().filter_map(|line| line.trim().parse().ok()) {
        let _ = kill(Pid::from_raw(pid), Signal::SIGKILL);
    }
    let _ = exec::output(Command::new("ip").args(["netns", "delete", name]));
}

/// One that a process is still in stays for the next sweep.
fn remove_cgroups(domain: &Path) {
    let children = fs::read_dir(domain).into_iter().flatten().flatten();
    for child in children.filter(|entry| entry.path().is_dir()) {
        let _ = fs::remove_dir(child.path());
    }
    let _ = fs::remove_dir(domain);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_names_with_a_dead_pid_are_orphans() {
        let own = format!("/run/netns/kp-{}-0-node", std::process::id());
        assert!(!is_orphan(Path::new(&own)));
        assert!(!is_orphan(Path::new("/run/netns/kp-node-1")));
        assert!(!is_orphan(Path::new("/run/netns/blue")));
        assert!(is_orphan(Path::new("/sys/fs/cgroup/kp-4194305")));
        // Above the largest pid_max the kernel allows (2^22).
        assert!(is_orphan(Path::new("/run/netns/kp-4194305-0-node")));
    }

    #[test]
    fn cgroups_go_with_those_below_them() {
        let directory = tempfile::tempdir().unwrap();
        let domain = directory.path().join("kp-4194305");
        for child in ["0-node1", "1-node2"] {
            fs::create_dir_all(domain.join(child)).unwrap();
        }
        remove_cgroups(&domain);
        assert!(!domain.exists());
    }
}
