//! The settings of conntrack that an agent makes in its network namespace. The table's size belongs to the whole machine: the kernel
//! lets no namespace but the first write it, which the agent has to do without.

use std::fs;

use anyhow::{Context as _, Result, ensure};
use harness::{
    agent::{READY, TcAttach},
    iptables::Iptables,
    topology::{Host, Topology},
    traffic::Client,
    wait,
    world::{Variant, World},
};
use proxy_agent::model::Family;

const ESTABLISHED: &str = "tcp_timeout_established";
const CLOSE_WAIT: &str = "tcp_timeout_close_wait";
const LIBERAL: &str = "tcp_be_liberal";
const UDP: &str = "udp_timeout";
const STREAM: &str = "udp_timeout_stream";
const VARIANT: Variant = crate::IPV4_TCP;

fn setting(host: &Host, name: &str) -> Result<u64> {
    let path = format!("/proc/sys/net/netfilter/nf_conntrack_{name}");
    let text = host.ns.run(|| fs::read_to_string(&path)).context(path)?;
    Ok(text.trim().parse()?)
}

fn wait_for_settings(world: &World, expected: &[(&str, u64)]) {
    wait::until("the settings of conntrack", READY, || {
        for (name, value) in expected {
            let found = setting(&world.topology.nodes[0].host, name)?;
            ensure!(found == *value, "{name} is {found}");
        }
        Ok(())
    })
    .unwrap();
}

#[test]
fn the_timeouts_are_kube_proxys_or_those_of_the_flags_and_what_nobody_asks_for_is_the_kernels() {
    let world = World::start(TcAttach::Auto).unwrap();
    let node = &world.topology.nodes[0].host;
    let kernels = [LIBERAL, UDP, STREAM].map(|name| (name, setting(node, name).unwrap()));
    wait_for_settings(&world, &[(ESTABLISHED, 86_400), (CLOSE_WAIT, 3_600)]);
    wait_for_settings(&world, &kernels);

    let flags = [
        "--conntrack-tcp-timeout-established=0",
        "--conntrack-tcp-timeout-close-wait=70s",
        "--conntrack-tcp-be-liberal",
        "--conntrack-udp-timeout=41s",
        "--conntrack-udp-timeout-stream=2m",
    ];
    world.agents[0].restart_with(&flags).unwrap();
    let expected = [(CLOSE_WAIT, 70), (LIBERAL, 1), (UDP, 41), (STREAM, 120)];
    wait_for_settings(&world, &expected);
    wait_for_settings(&world, &[(ESTABLISHED, 86_400)]);
}

#[test]
fn a_table_whose_size_cannot_be_set_is_told_with_the_remedy_and_services_are_served() {
    let topology = Topology::build().unwrap();
    let present = setting(&topology.nodes[0].host, "max").unwrap();
    let min = format!("--conntrack-min={}", present + 1);
    let world = World::on_with(topology, &["--conntrack-max-per-core=1", &min]).unwrap();
    let service = world
        .publish(VARIANT, &[&world.topology.nodes[0].pods[0]])
        .unwrap();
    let client = Client::new(&world.topology.nodes[0].pods[1].ns);
    client.ask(VARIANT.protocol, service.vip()).unwrap();
    let log = world.agents[0].log();
    let told = log
        .lines()
        .filter(|line| line.contains("conntrack is not as asked for"));
    let told: Vec<&str> = told.collect();
    assert_eq!(told.len(), 1, "{log}");
    assert!(
        told[0].contains("/proc/sys/net/netfilter/nf_conntrack_max"),
        "{log}"
    );
    assert!(told[0].contains("--conntrack-max-per-core=0"), "{log}");
    assert_eq!(setting(&world.topology.nodes[0].host, "max").unwrap(), present);
}

#[test]
fn rules_follow_what_the_flag_makes_of_packets_outside_of_the_window() {
    for (flags, drops_invalid) in [
        (&["--mode", "iptables"][..], true),
        (&["--mode", "iptables", "--conntrack-tcp-be-liberal"], false),
    ] {
        let world = World::on_with(Topology::build().unwrap(), flags).unwrap();
        wait::until("the rules", READY, || {
            let rules = Iptables::Nft.save(&world.topology.nodes[0].host.ns, Family::V4)?;
            ensure!(rules.contains("-A KUBE-FORWARD"), "{rules}");
            let drops = rules.contains("-A KUBE-FORWARD -m conntrack --ctstate INVALID");
            ensure!(drops == drops_invalid, "{rules}");
            Ok(())
        })
        .unwrap();
    }
}
