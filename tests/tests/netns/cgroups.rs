//! Threads and programs of a node are in its cgroup and nobody else is; otherwise tests of sockets say nothing.

use std::{fs, path::Path, process::Command, sync::Arc, thread};

use harness::{cgroup::Cgroup, exec, netns::NetNs, topology::Topology};

#[test]
fn what_runs_in_a_namespace_that_has_joined_is_in_the_cgroup() {
    let [one, other, outside] = NetNs::create_all(["one", "other", "outside"]).unwrap();
    let (first, second) = (cgroup("first"), cgroup("second"));
    one.join(Arc::clone(&first)).unwrap();
    other.join(Arc::clone(&second)).unwrap();
    for (ns, cgroup) in [(&one, &first), (&other, &second)] {
        assert_eq!(of_thread(ns), name(cgroup));
        assert_eq!(of_program(ns), name(cgroup));
    }
    for place in [of_thread(&outside), of_program(&outside), own()] {
        assert!(
            ![&first, &second].iter().any(|cgroup| place == name(cgroup)),
            "{place}"
        );
    }
}

#[test]
fn a_namespace_joins_once() {
    let [ns] = NetNs::create_all(["once"]).unwrap();
    let first = cgroup("first");
    ns.join(Arc::clone(&first)).unwrap();
    ns.join(cgroup("second")).unwrap_err();
    assert_eq!(of_thread(&ns), name(&first));
}

#[test]
fn a_node_and_its_pods_share_a_cgroup_and_so_does_a_pod_that_comes_later() {
    let topology = Topology::build().unwrap();
    topology
        .nodes
        .iter()
        .try_for_each(|node| node.join_cgroup())
        .unwrap();
    let [one, two] = &topology.nodes;
    let later = one.add_pod("later", 201).unwrap();
    let cgroup = name(one.host.ns.cgroup().unwrap());
    for host in one.pods.iter().chain([&one.host, &later]) {
        assert_eq!(of_thread(&host.ns), cgroup, "{}", host.name);
    }
    assert_ne!(of_thread(&two.host.ns), cgroup);
    assert!(topology.client.ns.cgroup().is_none());
}

#[test]
fn a_cgroup_is_gone_when_its_last_namespace_is() {
    let [ns] = NetNs::create_all(["gone"]).unwrap();
    let cgroup = cgroup("gone");
    let directory = cgroup.path().to_owned();
    ns.join(cgroup).unwrap();
    thread::scope(|scope| {
        for _ in 0..32 {
            scope.spawn(|| of_thread(&ns));
        }
    });
    assert!(directory.exists());
    drop(ns);
    assert!(!directory.exists());
}

fn cgroup(label: &str) -> Arc<Cgroup> {
    Arc::new(Cgroup::create(label).unwrap())
}

/// As /proc writes it.
fn name(cgroup: &Cgroup) -> String {
    let mut path = cgroup
        .path()
        .components()
        .rev()
        .map(|part| part.as_os_str().to_str().unwrap());
    let (child, domain) = (path.next().unwrap(), path.next().unwrap());
    format!("/{domain}/{child}")
}

fn of_thread(ns: &NetNs) -> String {
    ns.run(own)
}

fn own() -> String {
    let text = fs::read_to_string(Path::new("/proc/thread-self/cgroup")).unwrap();
    version_2(&text)
}

fn of_program(ns: &NetNs) -> String {
    let mut cat: Command = ns.command("cat");
    version_2(&exec::output(cat.arg("/proc/self/cgroup")).unwrap())
}

fn version_2(text: &str) -> String {
    text.lines()
        .find_map(|line| line.strip_prefix("0::"))
        .unwrap()
        .to_owned()
}
