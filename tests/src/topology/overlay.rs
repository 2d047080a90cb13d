//! VXLAN between the nodes, with the names and numbers of flannel's backend.

use std::{
    fmt::Write as _,
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
};

use anyhow::Result;
use proxy_agent::model::Family;

use super::{Node, Topology};
use crate::exec;

/// What a 1500-byte frame leaves.
const MTU: u32 = 1450;

/// The address of a node's end of the overlay: `number` is 0 for `node1`, 1 for `node2`.
#[must_use]
pub fn overlay_ip(number: u8, family: Family) -> IpAddr {
    match family {
        Family::V4 => Ipv4Addr::new(10, 244, number, 0).into(),
        Family::V6 => Ipv6Addr::new(0xfd00, 0x244, number.into(), 0, 0, 0, 0, 0).into(),
    }
}

pub(super) fn build(topology: &Topology) -> Result<()> {
    let [one, two] = &topology.nodes;
    join((0, one), (1, two))?;
    join((1, two), (0, one))?;
    for pod in topology.pods() {
        exec::ip_batch(Some(pod.ns.name()), &format!("link set eth0 mtu {MTU}\n"))?;
    }
    Ok(())
}

fn mac(number: u8) -> String {
    format!("02:00:00:00:00:0{number}")
}

fn join((own, node): (u8, &Node), (other, peer): (u8, &Node)) -> Result<()> {
    let mut lines = format!(
        "link add flannel.1 address {} mtu {MTU} type vxlan id 1 dstport 8472 local {} dev eth0 nolearning\n\
         link set flannel.1 up\n",
        mac(own),
        node.host.v4
    );
    for family in Family::ALL {
        let (address, gateway) = (overlay_ip(own, family), overlay_ip(other, family));
        let bits = if address.is_ipv4() { 32 } else { 128 };
        writeln!(lines, "addr add {address}/{bits} dev flannel.1")?;
        writeln!(
            lines,
            "neigh add {gateway} lladdr {} dev flannel.1 nud permanent",
            mac(other)
        )?;
        writeln!(lines, "route add {gateway} dev flannel.1")?;
        for pod in &peer.pods {
            let pod = pod.ip(family);
            writeln!(
                lines,
                "route replace {pod}/{bits} via {gateway} dev flannel.1 onlink"
            )?;
        }
    }
    exec::ip_batch(Some(node.host.ns.name()), &lines)?;
    let fdb = format!("fdb append {} dev flannel.1 dst {}", mac(other), peer.host.v4);
    exec::output(node.host.ns.command("bridge").args(fdb.split(' '))).map(drop)
}
