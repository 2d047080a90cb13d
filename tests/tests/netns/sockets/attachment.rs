//! The programs at the cgroup of a node: once each, whatever happens, and beside others'.

use std::{
    fs,
    process::Command,
    sync::atomic::{AtomicBool, Ordering},
    thread,
    time::Duration,
};

use anyhow::{Result, ensure};
use harness::{
    agent::READY,
    cgroup::Cgroup,
    exec,
    topology::Topology,
    traffic::Client,
    wait,
    world::{Published, World},
};
use nix::sys::signal::Signal;
use proxy_agent::dataplane::bpf::object::PinDir;
use serde_json::Value;

const ALL: [&str; 9] = [
    "socket_connect4",
    "socket_connect6",
    "socket_getpeername4",
    "socket_getpeername6",
    "socket_recvmsg4",
    "socket_recvmsg6",
    "socket_release",
    "socket_sendmsg4",
    "socket_sendmsg6",
];
const RESTARTS: usize = 3;

/// The names of the programs at the cgroup of the first node, also those that are there twice.
fn programs(world: &World) -> Result<Vec<String>> {
    let cgroup = world.topology.nodes[0].host.ns.cgroup().unwrap();
    let mut show = Command::new("bpftool");
    show.args(["-j", "cgroup", "show"]).arg(cgroup.path());
    let shown = exec::output(&mut show)?;
    // It says nothing at all of none.
    let found: Vec<Value> = if shown.trim().is_empty() {
        Vec::new()
    } else {
        serde_json::from_str(&shown)?
    };
    let names = found.iter().filter_map(|row| row["name"].as_str());
    let mut names: Vec<String> = names.map(str::to_owned).collect();
    names.sort();
    Ok(names)
}

fn wait_for_all(world: &World) {
    wait::until("each program once", READY, || {
        let found = programs(world)?;
        ensure!(found == ALL, "there are {found:?}");
        Ok(())
    })
    .unwrap();
}

fn served(world: &World) -> Published<'_> {
    let [node, _] = &world.topology.nodes;
    world.publish(crate::IPV4_TCP, &[&node.pods[0]]).unwrap()
}

fn is_reached(world: &World, service: &Published<'_>) -> Result<()> {
    let [node, _] = &world.topology.nodes;
    let answer = Client::new(&node.host.ns).ask(crate::IPV4_TCP.protocol, service.vip())?;
    ensure!(answer.server == node.pods[0].name, "{answer:?}");
    Ok(())
}

#[test]
fn restarts_leave_each_program_once_and_no_connection_meets_none() {
    let world = World::start_with_sockets(&[]).unwrap();
    let service = served(&world);
    wait_for_all(&world);
    let stopped = AtomicBool::new(false);
    thread::scope(|scope| {
        let asking = scope.spawn(|| {
            let mut asked = 0;
            while !stopped.load(Ordering::Relaxed) {
                is_reached(&world, &service)?;
                asked += 1;
            }
            anyhow::Ok(asked)
        });
        for restart in 1..=RESTARTS {
            world.agents[0].kill().unwrap();
            world.agents[0].run().unwrap();
            wait::until("the programs of the new run", READY, || {
                let started = world.agents[0].log().matches("translating sockets").count();
                ensure!(started > restart, "{started} of {restart}");
                Ok(())
            })
            .unwrap();
            wait_for_all(&world);
        }
        stopped.store(true, Ordering::Relaxed);
        let asked = asking.join().unwrap().unwrap();
        assert!(asked > RESTARTS, "{asked} connections");
    });
}

#[test]
fn programs_of_sockets_that_somebody_detaches_are_back_within_five_seconds() {
    let world = World::start_with_sockets(&[]).unwrap();
    let service = served(&world);
    wait_for_all(&world);
    // An agent that looks just now would have them back before anybody could see that they were gone.
    world.agents[0].signal(Signal::SIGSTOP).unwrap();
    for pin in fs::read_dir(PinDir::new(world.agents[0].pin_root()).sockets()).unwrap() {
        let mut detach = Command::new("bpftool");
        detach.args(["link", "detach", "pinned"]).arg(pin.unwrap().path());
        exec::output(&mut detach).unwrap();
    }
    assert!(is_reached(&world, &service).is_err());
    world.agents[0].signal(Signal::SIGCONT).unwrap();
    // Five seconds, and as many for a machine that is busy with other tests.
    wait::until("sockets are translated again", Duration::from_secs(10), || {
        is_reached(&world, &service)
    })
    .unwrap();
    wait_for_all(&world);
    let log = world.agents[0].log();
    assert!(
        log.contains("somebody else has removed our programs of sockets"),
        "{log}"
    );
}

#[test]
fn cleanup_takes_the_programs_of_sockets_away() {
    let world = World::start_with_sockets(&[]).unwrap();
    let service = served(&world);
    wait_for_all(&world);
    world.agents[0].kill().unwrap();
    is_reached(&world, &service).unwrap();
    world.agents[0].cleanup().unwrap();
    assert!(programs(&world).unwrap().is_empty());
    assert!(is_reached(&world, &service).is_err());
}

#[test]
fn a_cgroup_that_the_agent_is_not_in_is_complained_of_with_the_remedy_and_packets_are_served() {
    let topology = Topology::build().unwrap();
    let elsewhere = Cgroup::create("elsewhere").unwrap();
    let path = elsewhere.path().to_str().unwrap();
    let world = World::on_with(topology, &["--cgroup-root", path]).unwrap();
    let service = served(&world);
    let [node, _] = &world.topology.nodes;
    let answer = Client::new(&node.pods[2].ns).ask(crate::IPV4_TCP.protocol, service.vip());
    assert_eq!(answer.unwrap().server, node.pods[0].name);
    let complaint = format!("attached to cgroup {path}, and this process is not in it; give the root");
    wait::until("a complaint", READY, || {
        let log = world.agents[0].log();
        ensure!(log.contains(&complaint), "{log}");
        Ok(())
    })
    .unwrap();
}

#[test]
fn what_is_no_cgroup_is_complained_of_and_packets_are_served() {
    let world = World::start_with(&["--cgroup-root", "/proc"]).unwrap();
    let service = served(&world);
    let [node, _] = &world.topology.nodes;
    let answer = Client::new(&node.pods[2].ns).ask(crate::IPV4_TCP.protocol, service.vip());
    assert_eq!(answer.unwrap().server, node.pods[0].name);
    let log = world.agents[0].log();
    assert!(
        log.contains("--cgroup-root /proc: not in a cgroup v2 hierarchy"),
        "{log}"
    );
}
