//! A machine that nodes of several topologies reach, each by a device of its own: for an API server that all of them follow.

use std::{
    fmt::Write as _,
    net::{Ipv4Addr, Ipv6Addr},
    sync::Arc,
};

use anyhow::Result;

use super::Host;
use crate::{exec, netns::NetNs};

/// The nodes' numbers begin behind its own.
const NUMBER: u8 = 1;

/// Makes the machine `control`, 172.31.0.1 and fd00:172:31::1, and gives each of `nodes` a device `control` towards it. Pods and
/// other nodes have no business there.
///
/// # Errors
///
/// A node has such a device, or a kernel without veth or bridge devices.
pub fn control_host(nodes: &[&Host]) -> Result<Host> {
    let [ns] = NetNs::create_all(["control"])?;
    let host = Host {
        name: "control".to_owned(),
        node: "control".to_owned(),
        ns: Arc::new(ns),
        v4: v4(NUMBER),
        v6: Ipv6Addr::new(0xfd00, 0x172, 0x31, 0, 0, 0, 0, NUMBER.into()),
    };
    let mut lines = String::from(
        "link set lo up\nlink add br0 type bridge forward_delay 0 mcast_snooping 0\nlink set br0 up\n",
    );
    writeln!(
        lines,
        "addr add {}/24 dev br0\naddr add {}/64 dev br0 nodad",
        host.v4, host.v6
    )?;
    for (number, node) in (NUMBER + 1..).zip(nodes) {
        writeln!(
            lines,
            "link add node{number} type veth peer name control netns {}",
            node.ns.name()
        )?;
        writeln!(lines, "link set node{number} master br0 up")?;
    }
    exec::ip_batch(Some(host.ns.name()), &lines)?;
    for (number, node) in (NUMBER + 1..).zip(nodes) {
        let lines = format!("addr add {}/24 dev control\nlink set control up\n", v4(number));
        exec::ip_batch(Some(node.ns.name()), &lines)?;
    }
    Ok(host)
}

const fn v4(number: u8) -> Ipv4Addr {
    Ipv4Addr::new(172, 31, 0, number)
}
