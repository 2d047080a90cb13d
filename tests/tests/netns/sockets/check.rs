//! `kube-portal check` on nodes that are well and on nodes that are not.
//!
//! It is told where to look: cgroups and network namespaces of others are none of a test's business.

use std::{fs, path::Path, process::Command};

use anyhow::ensure;
use harness::{agent::READY, cgroup::Cgroup, exec, topology::Topology, wait, world::World};
use nix::sys::signal::Signal;
use proxy_agent::dataplane::bpf::object::PinDir;
use serde_json::Value;

/// What it said, and whether it ended well.
struct Report {
    is_well: bool,
    text: String,
}

impl Report {
    fn lines_of(&self, state: &str) -> Vec<&str> {
        let lines = self.text.lines();
        lines.filter(|line| line.starts_with(state)).collect()
    }

    fn line(&self, check: &str) -> &str {
        let mut lines = self.text.lines();
        let line = lines.find(|line| {
            line.get(8..)
                .is_some_and(|line| line.starts_with(&format!("{check}: ")))
        });
        line.unwrap_or_else(|| panic!("no line of {check} in\n{}", self.text))
    }
}

fn cgroup(world: &World, node: usize) -> &Path {
    world.topology.nodes[node].host.ns.cgroup().unwrap().path()
}

/// On the first node, about its own pods and the sockets of `cgroup`, or of those below the root.
fn check<'a>(world: &World, cgroup: impl Into<Option<&'a Path>>, flags: &[&str]) -> Report {
    let cgroup = cgroup.into();
    let root = self::cgroup(world, 0).to_str().unwrap();
    let netns = world.topology.nodes[0]
        .pods
        .iter()
        .map(|pod| format!("/run/netns/{}", pod.ns.name()));
    let mut command = world.agents[0].command(&["check"]);
    if let Some(cgroup) = cgroup {
        command.arg("--only-cgroup").arg(cgroup);
    }
    for netns in netns {
        command.arg("--only-netns").arg(netns);
    }
    if !flags.contains(&"--cgroup-root") {
        command.args(["--cgroup-root", root]);
    }
    let output = command.args(flags).output().unwrap();
    Report {
        is_well: output.status.success(),
        text: String::from_utf8(output.stdout).unwrap(),
    }
}

/// A world whose agents have begun.
fn world(flags: &[&str]) -> World {
    let world = World::start_with_sockets(flags).unwrap();
    wait_until_well(&world);
    world
}

fn wait_until_well(world: &World) {
    wait::until("all is well", READY, || {
        let report = check(world, cgroup(world, 0), &[]);
        ensure!(report.is_well, "{}", report.text);
        Ok(())
    })
    .unwrap();
}

#[test]
fn a_node_that_is_well_is_told_so_with_the_path_of_each_kind_of_traffic() {
    let world = world(&["--socket-lb", "all"]);
    let report = check(&world, cgroup(&world, 0), &[]);
    assert!(report.is_well, "{}", report.text);
    assert!(report.lines_of("failed").is_empty(), "{}", report.text);
    // A node of a test is not all of the machine, and somebody who sees that says so.
    let warnings = report.lines_of("warning");
    assert_eq!(warnings.len(), 1, "{warnings:?}");
    assert!(
        warnings[0].contains("is not the root of the hierarchy"),
        "{warnings:?}"
    );
    assert!(
        report
            .line("node's own sockets")
            .contains("TCP and UDP at connect")
    );
    assert!(report.line("pods' TCP").contains("at connect"));
    assert!(report.line("links").contains("all 9 programs are attached"));
    assert!(report.line("others' programs").contains("none"));
    assert!(
        report
            .line("sockets in cgroups")
            .ends_with("all 1 looked at are caught")
    );
    let pods = world.topology.nodes[0].pods.len();
    let expected = format!("all {pods} looked at are caught, as those of pods");
    assert!(
        report.line("sockets in network namespaces").ends_with(&expected),
        "{}",
        report.text
    );
}

#[test]
fn an_agent_looks_at_the_sockets_of_pods_once_its_own_are_caught() {
    let world = world(&[]);
    wait::until("what it has found", READY, || {
        let log = world.agents[0].log();
        let places = ["sockets in cgroups", "sockets in network namespaces"];
        let is_told = |place: &&str| {
            log.lines()
                .any(|line| line.contains("sockets of pods: ") && line.contains(*place))
        };
        ensure!(places.iter().all(is_told), "{log}");
        Ok(())
    })
    .unwrap();
}

#[test]
fn programs_find_in_json_what_people_find_in_lines() {
    let world = world(&["--socket-lb", "host"]);
    let report = check(&world, cgroup(&world, 0), &["--output", "json"]);
    let rows: Vec<Value> = serde_json::from_str(&report.text).unwrap();
    let of = |check: &str| rows.iter().find(|row| row["check"] == check).unwrap();
    assert_eq!(of("links")["state"], "ok");
    assert_eq!(of("links")["remedy"], Value::Null);
    assert_eq!(of("cgroup")["state"], "warning");
    assert!(of("cgroup")["remedy"].as_str().unwrap().contains("--cgroup-root"));
    assert!(
        of("pods' TCP")["finding"]
            .as_str()
            .unwrap()
            .starts_with("packet by packet (by --socket-lb)")
    );
}

#[test]
fn a_detached_link_fails_and_is_named_until_the_agent_has_it_back() {
    let world = world(&[]);
    world.agents[0].signal(Signal::SIGSTOP).unwrap();
    let pins = PinDir::new(world.agents[0].pin_root()).sockets();
    let mut pins = fs::read_dir(pins).unwrap().map(|pin| pin.unwrap().path());
    let connect4 = pins
        .find(|pin| pin.to_str().unwrap().contains("socket_connect4"))
        .unwrap();
    exec::output(
        Command::new("bpftool")
            .args(["link", "detach", "pinned"])
            .arg(connect4),
    )
    .unwrap();
    let report = check(&world, cgroup(&world, 0), &[]);
    assert!(!report.is_well);
    assert!(
        report
            .line("links")
            .starts_with("failed  links: not attached: socket_connect4; somebody has detached them")
    );
    for check in [
        "own socket",
        "sockets in cgroups",
        "sockets in network namespaces",
    ] {
        assert!(report.line(check).starts_with("failed"), "{}", report.text);
    }
    world.agents[0].signal(Signal::SIGCONT).unwrap();
    wait_until_well(&world);
}

#[test]
fn it_needs_no_agent_but_what_the_agent_has_pinned() {
    let world = world(&[]);
    world.agents[0].kill().unwrap();
    let report = check(&world, cgroup(&world, 0), &[]);
    assert!(report.is_well, "{}", report.text);
    world.agents[0].cleanup().unwrap();
    let report = check(&world, cgroup(&world, 0), &[]);
    assert!(!report.is_well);
    assert_eq!(report.text.lines().count(), 1, "{}", report.text);
    assert!(
        report
            .line("agent")
            .starts_with("failed  agent: nothing is pinned below")
    );
}

#[test]
fn a_cgroup_outside_of_the_agent_s_root_is_told_by_path_with_the_remedy_and_nobody_stays_there() {
    let world = world(&[]);
    let outside = Cgroup::create("outside").unwrap();
    let report = check(&world, outside.path(), &[]);
    assert!(!report.is_well);
    let expected = format!(
        "failed  sockets in cgroups: not caught in {}; mount the host's cgroup v2 hierarchy",
        outside.path().display()
    );
    assert!(
        report.line("sockets in cgroups").starts_with(&expected),
        "{}",
        report.text
    );
    assert!(report.line("links").starts_with("ok"), "{}", report.text);
    let threads = fs::read_to_string(outside.path().join("cgroup.threads")).unwrap();
    assert_eq!(threads, "", "a child is left behind");
}

#[test]
fn a_root_that_is_nested_in_the_hierarchy_is_told_by_path() {
    let world = world(&[]);
    let nested = cgroup(&world, 0);
    let domain = nested.parent().unwrap().to_str().unwrap();
    let report = check(&world, None, &["--cgroup-root", domain]);
    assert!(!report.is_well);
    let expected = format!(
        "failed  links: attached to {}, not to {domain}; mount the host's",
        nested.display()
    );
    assert!(report.line("links").starts_with(&expected), "{}", report.text);
    // Whichever cgroups of this process are looked at: at most one of them is the node's.
    let deaf = format!("failed  sockets in cgroups: not caught in {domain}/");
    assert!(
        report.line("sockets in cgroups").starts_with(&deaf),
        "{}",
        report.text
    );
}

#[test]
fn programs_of_others_at_the_same_hooks_are_warned_of_by_name() {
    let world = world(&[]);
    // To this node's agent those of the other node are others'; that one attaches its programs in its own time.
    let root = cgroup(&world, 1).to_str().unwrap();
    wait::until("others' programs", READY, || {
        let report = check(&world, cgroup(&world, 0), &["--cgroup-root", root]);
        let line = report.line("others' programs");
        let warns = line.starts_with("warning others' programs: at the same hooks of");
        ensure!(warns && line.contains("socket_connect4 (id"), "{}", report.text);
        Ok(())
    })
    .unwrap();
}

#[test]
fn an_agent_that_cannot_catch_its_sockets_leaves_a_node_whose_sockets_fail() {
    let topology = Topology::build().unwrap();
    topology
        .nodes
        .iter()
        .try_for_each(|node| node.join_cgroup())
        .unwrap();
    let elsewhere = Cgroup::create("elsewhere").unwrap();
    let flags = ["--cgroup-root", elsewhere.path().to_str().unwrap()];
    let world = World::on_with(topology, &flags).unwrap();
    wait::until("an agent that has begun", READY, || {
        let report = check(&world, elsewhere.path(), &flags);
        ensure!(
            report.text.contains("all 9 programs are attached"),
            "{}",
            report.text
        );
        ensure!(report.lines_of("warning traffic").is_empty(), "{}", report.text);
        Ok(())
    })
    .unwrap();
    let report = check(&world, elsewhere.path(), &flags);
    assert!(!report.is_well);
    assert!(
        report.line("node's own sockets").starts_with("failed"),
        "{}",
        report.text
    );
    assert!(
        report
            .line("own socket")
            .starts_with("failed  own socket: not caught"),
        "{}",
        report.text
    );
    assert!(
        report.line("sockets in cgroups").starts_with("ok"),
        "{}",
        report.text
    );
}
