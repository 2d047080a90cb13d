//! Addresses and interfaces of a node come and go while its agent runs.

use std::{collections::BTreeSet, net::SocketAddr, time::Duration};

use anyhow::{Context as _, Result, ensure};
use harness::{
    agent::{Agent, pins},
    exec,
    netns::NetNs,
    topology::{Host, pod_interface},
    traffic::Client,
    wait,
    world::{Variant, shared},
};
use proxy_agent::model::Family;
use serde_json::Value;

/// From the kernel's doing to the agent's.
const LIMIT: Duration = Duration::from_secs(1);

#[test]
fn a_node_port_answers_at_an_ipv4_address_within_a_second_of_its_coming_and_not_after_it_went() {
    a_node_port_follows_addresses(crate::IPV4_UDP, "192.0.2.204");
}

#[test]
fn a_node_port_answers_at_an_ipv6_address_within_a_second_of_its_coming_and_not_after_it_went() {
    a_node_port_follows_addresses(crate::IPV6_UDP, "2001:db8::204");
}

/// With UDP: a datagram that comes too early is lost at once, a connection attempt would wait for a second.
fn a_node_port_follows_addresses(variant: Variant, address: &str) {
    let world = shared();
    let [node, _] = &world.topology.nodes;
    let client = &world.topology.client;
    let device = match variant.family {
        Family::V4 => "late4",
        Family::V6 => "late6",
    };
    // On a device of its own, which carries nothing: the node goes on to masquerade with the addresses that it had before.
    ip(
        &node.host.ns,
        &format!("link add {device} type bridge\nlink set {device} up"),
    );
    let service = world.publish(variant, &[&node.pods[0]]).unwrap();
    let gateway = node.host.ip(variant.family);
    ip(&client.ns, &format!("route add {address} via {gateway}"));
    let port = service.node_port(&node.host).port();
    let target = SocketAddr::new(address.parse().unwrap(), port);
    let ask = || {
        let client = Client::new(&client.ns).patience(Duration::from_millis(50));
        Ok(client.ask(variant.protocol, target)?)
    };
    assert!(ask().is_err(), "nobody has the address yet");

    ip(&node.host.ns, &format!("addr add {address} dev {device}"));
    let answer = wait::until("the NodePort at the new address", LIMIT, ask).unwrap();
    assert_eq!(answer.server, node.pods[0].name);

    ip(&node.host.ns, &format!("addr del {address} dev {device}"));
    let gone = wait::until("no NodePort at the address that is gone", LIMIT, || {
        let answer: Result<_> = ask();
        ensure!(answer.is_err(), "{answer:?}");
        Ok(())
    });
    gone.unwrap();
}

#[test]
fn node_ports_follow_a_virtual_ipv4_address_from_node_to_node_within_a_second() {
    node_ports_follow_a_virtual_address(crate::IPV4_UDP, "192.168.50.207/32");
}

#[test]
fn node_ports_follow_a_virtual_ipv6_address_from_node_to_node_within_a_second() {
    node_ports_follow_a_virtual_address(crate::IPV6_UDP, "fd00:50::207/128");
}

/// As keepalived moves one, which keeps IPv6 from taking it as a source: it comes beside the address that the device has, which goes on to be the one of masqueraded packets.
fn node_ports_follow_a_virtual_address(variant: Variant, address: &str) {
    let world = shared();
    let [one, two] = &world.topology.nodes;
    let client = &world.topology.client;
    let service = world.publish(variant, &[&two.pods[0]]).unwrap();
    let port = service.node_port(&one.host).port();
    let (ip_address, _) = address.split_once('/').unwrap();
    let target = SocketAddr::new(ip_address.parse().unwrap(), port);
    let ask = || {
        let client = Client::new(&client.ns).patience(Duration::from_millis(50));
        Ok(client.ask(variant.protocol, target)?)
    };
    for owner in [one, two, one] {
        let gateway = owner.host.ip(variant.family);
        ip(&client.ns, &format!("route replace {ip_address} via {gateway}"));
        assert!(
            ask().is_err(),
            "{} does not have the address yet",
            owner.host.name
        );
        let lifetime = match variant.family {
            Family::V4 => "",
            Family::V6 => "nodad preferred_lft 0",
        };
        ip(&owner.host.ns, &format!("addr add {address} dev eth0 {lifetime}"));
        let answer = wait::until("the NodePort at the virtual address", LIMIT, ask).unwrap();
        assert_eq!(answer.client.ip(), gateway);
        ip(&owner.host.ns, &format!("addr del {address} dev eth0"));
        let gone = wait::until("no NodePort where the address was", LIMIT, || {
            let answer: Result<_> = ask();
            ensure!(answer.is_err(), "{answer:?}");
            Ok(())
        });
        gone.unwrap();
    }
}

#[test]
fn an_interface_is_in_the_maps_within_a_second_of_its_coming_and_not_after_it_went() {
    let world = shared();
    let [node, _] = &world.topology.nodes;
    let [agent, _] = &world.agents;
    let late = node.add_pod("late-204", 204).unwrap();
    let index = ifindex(&node.host, &pod_interface(&late)).unwrap();
    let is_served = || interfaces(agent).map(|served| served.contains(&index));
    let comes = wait::until("the new interface", LIMIT, || {
        ensure!(is_served()?, "{index} is not in INTERFACES");
        Ok(())
    });
    comes.unwrap();

    ip(&node.host.ns, &format!("link delete {}", pod_interface(&late)));
    let goes = wait::until("the interface that is gone", LIMIT, || {
        ensure!(!is_served()?, "{index} is still in INTERFACES");
        let links = pins(agent.pin_root())?;
        let link = links.iter().find(|path| {
            let name = path.file_name().and_then(|name| name.to_str());
            name.is_some_and(|name| name.starts_with(&format!("{index}-")))
        });
        ensure!(link.is_none(), "{link:?} is still pinned");
        Ok(())
    });
    goes.unwrap();
}

fn ip(ns: &NetNs, lines: &str) {
    exec::ip_batch(Some(ns.name()), &format!("{lines}\n")).unwrap();
}

fn ifindex(host: &Host, interface: &str) -> Result<u64> {
    let show = ["-json", "link", "show", "dev", interface];
    let json: Value = serde_json::from_str(&exec::output(host.ns.command("ip").args(show))?)?;
    json[0]["ifindex"]
        .as_u64()
        .with_context(|| format!("no ifindex in {json}"))
}

/// The interface indexes that the programs know.
fn interfaces(agent: &Agent) -> Result<BTreeSet<u64>> {
    let pins = pins(agent.pin_root())?;
    let map = pins.iter().find(|path| path.ends_with("INTERFACES"));
    let map = map.context("INTERFACES is not pinned")?;
    let dump = std::process::Command::new("bpftool")
        .args(["-j", "map", "dump", "pinned"])
        .arg(map)
        .output()?;
    ensure!(
        dump.status.success(),
        "bpftool: {}",
        String::from_utf8_lossy(&dump.stdout)
    );
    let entries: Vec<Value> = serde_json::from_slice(&dump.stdout)?;
    let key = |entry: &Value| entry["formatted"]["key"].as_u64();
    entries
        .iter()
        .map(|entry| key(entry).with_context(|| format!("no key in {entry}")))
        .collect()
}
