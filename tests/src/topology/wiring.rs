//! Turns the plan into devices, addresses, routes and sysctls.

use std::{
    fmt::Write as _,
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
    thread,
};

use anyhow::Result;
use proxy_agent::model::Family;

use super::{Host, Node, Topology};
use crate::{exec, netns::NetNs};

/// The node's side of every pod's veth has this address, as Calico does it, so that a pod's gateway is a static
/// neighbour.
const GATEWAY_MAC: &str = "ee:ee:ee:ee:ee:ee";

const GATEWAY_V4: &str = "169.254.1.1";
const GATEWAY_V6: &str = "fe80::1";

const BRIDGE_V4: Ipv4Addr = Ipv4Addr::new(192, 168, 166, 1);
const BRIDGE_V6: Ipv6Addr = Ipv6Addr::new(0xfd00, 0x10, 0x166, 0, 0, 0, 0, 1);

/// The address of the bridge that [`Node::bridge_pods`](super::Node::bridge_pods) makes.
#[must_use]
pub const fn bridge_ip(family: Family) -> IpAddr {
    match family {
        Family::V4 => IpAddr::V4(BRIDGE_V4),
        Family::V6 => IpAddr::V6(BRIDGE_V6),
    }
}

/// Addresses are usable at once: no duplicate address detection on devices made from here on.
const NO_DAD: [(&str, &str); 2] = [
    ("ipv6/conf/all/accept_dad", "0"),
    ("ipv6/conf/default/accept_dad", "0"),
];

const ROUTER: [(&str, &str); 5] = [
    ("ipv4/ip_forward", "1"),
    ("ipv4/conf/all/rp_filter", "1"),
    ("ipv4/conf/default/rp_filter", "1"),
    ("ipv6/conf/all/forwarding", "1"),
    ("ipv6/conf/default/forwarding", "1"),
];

const ONLY_A_SWITCH: [(&str, &str); 2] = [
    ("ipv6/conf/all/disable_ipv6", "1"),
    ("ipv6/conf/default/disable_ipv6", "1"),
];

pub(super) fn connect(topology: &Topology) -> Result<()> {
    topology.lan.sysctl(&ONLY_A_SWITCH)?;
    topology.client.ns.sysctl(&NO_DAD)?;
    for node in &topology.nodes {
        node.host.ns.sysctl(&NO_DAD)?;
        node.host.ns.sysctl(&ROUTER)?;
    }
    let [one, two] = &topology.nodes;
    build_lan(&topology.lan, &[&one.host, &two.host, &topology.client])?;
    join_lan(&topology.client, &[])?;
    join_lan(&one.host, &[two])?;
    join_lan(&two.host, &[one])?;
    // Each node's pods are a world of their own, so both nodes can be wired at once.
    thread::scope(|scope| {
        let other = scope.spawn(|| connect_pods(two));
        connect_pods(one)?;
        other.join().expect("wiring does not panic")
    })
}

fn build_lan(lan: &NetNs, hosts: &[&Host]) -> Result<()> {
    let mut lines =
        String::from("link add br0 type bridge forward_delay 0 mcast_snooping 0\nlink set br0 up\n");
    for host in hosts {
        let (port, peer) = (format!("to-{}", host.name), host.ns.name());
        writeln!(lines, "link add {port} type veth peer name eth0 netns {peer}")?;
        writeln!(lines, "link set {port} master br0 up")?;
    }
    exec::ip_batch(Some(lan.name()), &lines)
}

fn join_lan(host: &Host, neighbours: &[&Node]) -> Result<()> {
    let mut lines = String::from("link set lo up\nlink set eth0 up\n");
    writeln!(
        lines,
        "addr add {}/24 dev eth0\naddr add {}/64 dev eth0 nodad",
        host.v4, host.v6
    )?;
    for node in neighbours {
        for pod in &node.pods {
            writeln!(lines, "route add {}/32 via {}", pod.v4, node.host.v4)?;
            writeln!(lines, "route add {}/128 via {}", pod.v6, node.host.v6)?;
        }
    }
    exec::ip_batch(Some(host.ns.name()), &lines)
}

fn connect_pods(node: &Node) -> Result<()> {
    node.pods.iter().try_for_each(|pod| connect_pod(&node.host, pod))
}

pub(super) fn connect_pod(node: &Host, pod: &Host) -> Result<()> {
    pod.ns.sysctl(&NO_DAD)?;
    let port = pod_interface(pod);
    exec::ip_batch(
        Some(node.ns.name()),
        &format!(
            "link add {port} address {GATEWAY_MAC} type veth peer name eth0 netns {}\n\
             link set {port} up\n\
             route add {}/32 dev {port}\n\
             route add {}/128 dev {port}\n",
            pod.ns.name(),
            pod.v4,
            pod.v6
        ),
    )?;
    exec::ip_batch(Some(pod.ns.name()), &pod_side(pod))
}

/// Moves the node's ends of its pods' veths onto a bridge, as flannel's and the bridge plugin's are: pods of one node then
/// reach each other without it.
pub(super) fn bridge_pods(node: &Node) -> Result<()> {
    let mut lines =
        format!("link add cni0 address {GATEWAY_MAC} type bridge forward_delay 0\nlink set cni0 up\n");
    writeln!(
        lines,
        "addr add {BRIDGE_V4}/24 dev cni0\naddr add {BRIDGE_V6}/64 dev cni0 nodad"
    )?;
    for pod in &node.pods {
        let port = pod_interface(pod);
        writeln!(
            lines,
            "route del {}/32 dev {port}\nroute del {}/128 dev {port}",
            pod.v4, pod.v6
        )?;
        let [.., last] = pod.v4.octets();
        writeln!(lines, "link set {port} address ee:00:00:00:00:{last:02x}")?;
        writeln!(lines, "link set {port} master cni0")?;
    }
    exec::ip_batch(Some(node.host.ns.name()), &lines)?;
    for pod in &node.pods {
        let lines = format!(
            "addr add {}/24 dev eth0\naddr del {v6}/128 dev eth0\naddr add {v6}/64 dev eth0 nodad\n",
            pod.v4,
            v6 = pod.v6
        );
        exec::ip_batch(Some(pod.ns.name()), &lines)?;
    }
    Ok(())
}

/// What the node calls its end of the pod's veth.
#[must_use]
pub fn pod_interface(pod: &Host) -> String {
    format!("veth-{}", pod.name)
}

fn pod_side(pod: &Host) -> String {
    format!(
        "link set lo up\n\
         link set eth0 up\n\
         addr add {}/32 dev eth0\n\
         addr add {}/128 dev eth0 nodad\n\
         neigh add {GATEWAY_V4} lladdr {GATEWAY_MAC} dev eth0 nud permanent\n\
         neigh add {GATEWAY_V6} lladdr {GATEWAY_MAC} dev eth0 nud permanent\n\
         route add {GATEWAY_V4}/32 dev eth0 scope link\n\
         route add 0.0.0.0/0 via {GATEWAY_V4} dev eth0\n\
         route add ::/0 via {GATEWAY_V6} dev eth0\n",
        pod.v4, pod.v6
    )
}
