//! One program per hook, whatever happens, and nobody else's programs are touched.

use std::{collections::BTreeSet, time::Duration};

use harness::{
    agent::{Hook, READY, TcAttach, hooks},
    exec, skip,
    topology::{Topology, pod_interface},
    traffic::Client,
    wait,
    world::World,
};
use nix::sys::signal::Signal;
use proxy_agent::dataplane::bpf::object::PinDir;

const RESTARTS: usize = 5;
/// Five seconds, and as many for a machine that is busy with other tests.
const BACK: Duration = Duration::from_secs(10);

#[test]
fn five_restarts_leave_one_program_per_tcx_hook() {
    if !skip::kernel_is_at_least(6, 6) {
        skip::skipped(
            "five_restarts_leave_one_program_per_tcx_hook",
            "TCX came with Linux 6.6",
        );
        return;
    }
    five_restarts_leave_one_program_per_hook(TcAttach::Tcx, "tcx");
}

#[test]
fn five_restarts_leave_one_program_per_clsact_hook() {
    five_restarts_leave_one_program_per_hook(TcAttach::Clsact, "clsact");
}

fn five_restarts_leave_one_program_per_hook(tc_attach: TcAttach, kind: &str) {
    let world = World::start(tc_attach).unwrap();
    let [node, _] = &world.topology.nodes;
    let mut service = world.publish(crate::IPV4_TCP, &[&node.pods[0]]).unwrap();
    let expected = every_hook(&world.topology, kind);
    wait_for_places(&world, &expected);
    for restart in 0..RESTARTS {
        world.agents[0].kill().unwrap();
        world.agents[0].run().unwrap();
        // The list changes each time, so the wait cannot be satisfied by what the process before wrote.
        service.set_endpoints(&[&node.pods[(restart + 1) % 2]]).unwrap();
        wait_for_places(&world, &expected);
    }
    Client::new(&node.pods[2].ns)
        .ask(crate::IPV4_TCP.protocol, service.vip())
        .unwrap();
}

fn wait_for_places(world: &World, expected: &[String]) {
    let settled = wait::until("the hooks", READY, || {
        let found = places(world);
        anyhow::ensure!(found == expected, "there is {found:?} instead of {expected:?}");
        Ok(())
    });
    settled.unwrap();
}

/// A list with duplicates, if there are any.
fn places(world: &World) -> Vec<String> {
    hooks(&world.topology.nodes[0].host.ns)
        .unwrap()
        .iter()
        .map(Hook::place)
        .collect()
}

fn every_hook(topology: &Topology, kind: &str) -> Vec<String> {
    let pods = topology.nodes[0].pods.iter().map(pod_interface);
    let devices: BTreeSet<String> = pods.chain(["eth0".to_owned()]).collect();
    let hooks = devices
        .iter()
        .flat_map(|device| ["egress", "ingress"].map(|way| format!("{device} {kind}/{way}")));
    hooks.collect()
}

#[test]
fn a_foreign_filter_stays_where_it_is() {
    let topology = Topology::build().unwrap();
    let device = pod_interface(&topology.nodes[0].pods[2]);
    let tc = |line: &str| {
        let arguments: Vec<&str> = line.split(' ').collect();
        exec::output(topology.nodes[0].host.ns.command("tc").args(arguments)).unwrap()
    };
    tc(&format!("qdisc add dev {device} clsact"));
    // A classic BPF program that matches nothing.
    let add = [
        "filter",
        "add",
        "dev",
        &device,
        "ingress",
        "prio",
        "77",
        "bpf",
        "bytecode",
        "1,6 0 0 0",
    ];
    exec::output(topology.nodes[0].host.ns.command("tc").args(add)).unwrap();
    let show = |topology: &Topology| {
        let list = exec::output(
            topology.nodes[0]
                .host
                .ns
                .command("tc")
                .args(["filter", "show", "dev", &device, "ingress"]),
        );
        list.unwrap().contains("pref 77")
    };
    assert!(show(&topology), "the filter is not even there before the agent");

    let world = World::on(topology, TcAttach::Clsact).unwrap();
    let service = world
        .publish(crate::IPV4_TCP, &[&world.topology.nodes[0].pods[0]])
        .unwrap();
    Client::new(&world.topology.nodes[0].pods[2].ns)
        .ask(crate::IPV4_TCP.protocol, service.vip())
        .unwrap();
    assert!(show(&world.topology), "the agent removed it");
    world.agents[0].kill().unwrap();
    world.agents[0].cleanup().unwrap();
    assert!(show(&world.topology), "`cleanup` removed it");
}

#[test]
fn programs_that_somebody_detaches_from_tcx_are_back_within_five_seconds() {
    programs_that_somebody_removes_are_back_within_five_seconds(TcAttach::Tcx, |world, _| {
        for pin in std::fs::read_dir(PinDir::new(world.agents[0].pin_root()).links()).unwrap() {
            let pin = pin.unwrap().path();
            let detach = ["link", "detach", "pinned", pin.to_str().unwrap()];
            exec::output(world.topology.nodes[0].host.ns.command("bpftool").args(detach)).unwrap();
        }
    });
}

#[test]
fn filters_that_somebody_deletes_are_back_within_five_seconds() {
    programs_that_somebody_removes_are_back_within_five_seconds(TcAttach::Clsact, |world, device| {
        for hook in ["ingress", "egress"] {
            tc(world, &["filter", "del", "dev", device, hook]);
        }
    });
}

#[test]
fn filters_are_back_within_five_seconds_also_when_their_qdisc_was_deleted() {
    programs_that_somebody_removes_are_back_within_five_seconds(TcAttach::Clsact, |world, device| {
        tc(world, &["qdisc", "del", "dev", device, "clsact"]);
    });
}

fn programs_that_somebody_removes_are_back_within_five_seconds(
    tc_attach: TcAttach,
    remove: impl Fn(&World, &str),
) {
    let world = World::start(tc_attach).unwrap();
    let [node, _] = &world.topology.nodes;
    let service = world.publish(crate::IPV4_TCP, &[&node.pods[0]]).unwrap();
    let before = places(&world);
    // An agent that looks just now would have them back before anybody could see that they were gone.
    world.agents[0].signal(Signal::SIGSTOP).unwrap();
    for pod in &node.pods {
        remove(&world, &pod_interface(pod));
    }
    assert_ne!(places(&world), before);
    world.agents[0].signal(Signal::SIGCONT).unwrap();
    wait::until("the hooks", BACK, || {
        anyhow::ensure!(places(&world) == before, "something is still missing");
        Ok(())
    })
    .unwrap();
    Client::new(&node.pods[2].ns)
        .ask(crate::IPV4_TCP.protocol, service.vip())
        .unwrap();
    let log = world.agents[0].log();
    assert!(log.contains("somebody else has removed our programs"), "{log}");
}

fn tc(world: &World, arguments: &[&str]) {
    exec::output(world.topology.nodes[0].host.ns.command("tc").args(arguments)).unwrap();
}

#[test]
fn what_a_version_with_other_maps_has_left_behind_goes_when_everything_is_served() {
    let world = World::start(TcAttach::Tcx).unwrap();
    let [node, _] = &world.topology.nodes;
    let mut service = world.publish(crate::IPV4_TCP, &[&node.pods[0]]).unwrap();
    let hooks = places(&world);
    let root = world.agents[0].pin_root().to_owned();
    let mine = PinDir::new(&root).maps();
    let mine = mine.parent().unwrap();
    world.agents[0].kill().unwrap();
    // bpffs can't rename directories; what another version has pinned is that much, under another name.
    let other = root.join("v1");
    for sub in ["maps", "links"] {
        std::fs::create_dir_all(other.join(sub)).unwrap();
        for pin in std::fs::read_dir(mine.join(sub)).unwrap() {
            let pin = pin.unwrap();
            std::fs::rename(pin.path(), other.join(sub).join(pin.file_name())).unwrap();
        }
    }
    std::fs::remove_dir_all(mine).unwrap();
    world.agents[0].run().unwrap();
    service.set_endpoints(&[&node.pods[1]]).unwrap();
    wait_for_places(&world, &hooks);
    assert!(!other.exists());
    let answer = Client::new(&node.pods[2].ns)
        .ask(crate::IPV4_TCP.protocol, service.vip())
        .unwrap();
    assert_eq!(answer.server, node.pods[1].name);
}
