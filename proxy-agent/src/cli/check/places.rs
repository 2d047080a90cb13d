//! Where others' sockets are: cgroups with processes, and network namespaces.

use std::{
    collections::BTreeMap,
    fs, io,
    os::unix::fs::MetadataExt as _,
    path::{Path, PathBuf},
};

/// Cgroups below `root` that have processes, a sample of them.
pub(super) fn cgroups(root: &Path, most: usize) -> Vec<PathBuf> {
    let mut inhabited = below(root);
    inhabited.retain(|cgroup| is_inhabited(cgroup) && !is_frozen(cgroup));
    sample(inhabited, most)
}

/// Network namespaces but for that of this process, a sample of them: those with a name and those of processes.
pub(super) fn netns(most: usize) -> Vec<PathBuf> {
    let named = entries(Path::new("/run/netns"));
    let processes = entries(Path::new("/proc")).into_iter();
    let of_processes = processes.map(|process| process.join("ns/net"));
    sample(others(named.into_iter().chain(of_processes)), most)
}

/// All cgroups below this one, in order.
pub(super) fn below(cgroup: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for child in entries(cgroup).into_iter().filter(|path| path.is_dir()) {
        let further = below(&child);
        found.push(child);
        found.extend(further);
    }
    found
}

/// One path for each namespace.
fn others(paths: impl Iterator<Item = PathBuf>) -> Vec<PathBuf> {
    let own = identity(Path::new("/proc/self/ns/net")).ok();
    let mut by_identity = BTreeMap::new();
    for path in paths {
        if let Ok(identity) = identity(&path)
            && Some(identity) != own
        {
            by_identity.entry(identity).or_insert(path);
        }
    }
    by_identity.into_values().collect()
}

fn identity(namespace: &Path) -> io::Result<(u64, u64)> {
    let data = fs::metadata(namespace)?;
    Ok((data.dev(), data.ino()))
}

/// The processes of a threaded cgroup are told by its domain alone, its threads by itself.
fn is_inhabited(cgroup: &Path) -> bool {
    let lists = ["cgroup.procs", "cgroup.threads"];
    let mut texts = lists
        .iter()
        .flat_map(|list| fs::read_to_string(cgroup.join(list)));
    texts.any(|text| !text.is_empty())
}

/// Whoever goes there stands still.
fn is_frozen(cgroup: &Path) -> bool {
    let events = fs::read_to_string(cgroup.join("cgroup.events")).unwrap_or_default();
    events.lines().any(|line| line == "frozen 1")
}

fn entries(dir: &Path) -> Vec<PathBuf> {
    // What goes while it is listed is nothing to look at.
    let entries = fs::read_dir(dir).into_iter().flatten();
    let mut paths: Vec<PathBuf> = entries.flatten().map(|entry| entry.path()).collect();
    paths.sort();
    paths
}

/// Evenly spread.
fn sample<T>(all: Vec<T>, most: usize) -> Vec<T> {
    let (len, taken) = (all.len(), all.len().min(most));
    let is_taken = |index: usize| (index + 1) * taken / len > index * taken / len;
    let numbered = all.into_iter().enumerate();
    numbered
        .filter(|(index, _)| is_taken(*index))
        .map(|(_, one)| one)
        .collect()
}

#[cfg(test)]
mod tests {
    use tempfile::TempDir;

    use super::*;

    fn file(dir: &Path, name: &str, text: &str) {
        fs::create_dir_all(dir).unwrap();
        fs::write(dir.join(name), text).unwrap();
    }

    #[test]
    fn cgroups_with_processes_are_found_at_any_depth_but_for_frozen_ones_and_the_root() {
        let root = TempDir::new().unwrap();
        let at = |path: &str| root.path().join(path);
        file(root.path(), "cgroup.procs", "1\n");
        file(&at("kubepods"), "cgroup.procs", "");
        file(&at("kubepods/pod1/a"), "cgroup.procs", "7\n");
        file(&at("kubepods/pod2"), "cgroup.threads", "8\n");
        file(&at("paused"), "cgroup.procs", "9\n");
        file(&at("paused"), "cgroup.events", "populated 1\nfrozen 1\n");
        assert_eq!(
            cgroups(root.path(), 8),
            [at("kubepods/pod1/a"), at("kubepods/pod2")]
        );
    }

    #[test]
    fn a_sample_is_spread_over_all_and_no_larger_than_that() {
        assert_eq!(sample((0..100).collect(), 4), [24, 49, 74, 99]);
        assert_eq!(sample(vec![1, 2, 3], 8), [1, 2, 3]);
        assert!(sample(Vec::<u8>::new(), 8).is_empty());
        for len in 8..40 {
            assert_eq!(sample((0..len).collect(), 8).len(), 8, "of {len}");
        }
    }

    #[test]
    fn neither_the_own_network_namespace_nor_what_is_none_is_another_one() {
        let paths = ["/proc/self/ns/net", "/proc/thread-self/ns/net", "/no/such"];
        assert_eq!(others(paths.iter().map(PathBuf::from)), [] as [PathBuf; 0]);
        // Any two files are as good as namespaces here; one of them twice.
        let paths = [
            "/proc/self/ns/mnt",
            "/proc/thread-self/ns/mnt",
            "/proc/self/ns/uts",
        ];
        assert_eq!(others(paths.iter().map(PathBuf::from)).len(), 2);
    }
}
