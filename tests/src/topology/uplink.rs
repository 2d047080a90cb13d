//! A second uplink of a node.
//!
//! ```text
//! LAN 192.168.50.0/24 ── eth0 node1 eth1 ── 10.60.0.0/24 · fd00:60::/64 ── host .100
//! ```

use std::{
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
    sync::Arc,
};

use anyhow::Result;
use proxy_agent::model::Family;

use super::Host;
use crate::{exec, netns::NetNs};

const NODE_V4: Ipv4Addr = Ipv4Addr::new(10, 60, 0, 11);
const NODE_V6: Ipv6Addr = Ipv6Addr::new(0xfd00, 0x60, 0, 0, 0, 0, 0, 0x11);

/// The node's address there.
#[must_use]
pub const fn uplink_ip(family: Family) -> IpAddr {
    match family {
        Family::V4 => IpAddr::V4(NODE_V4),
        Family::V6 => IpAddr::V6(NODE_V6),
    }
}

/// With a rule for each family that what the node sends from its address there has to leave there.
pub(super) fn add(node: &Host, ns: NetNs) -> Result<Host> {
    let host = Host {
        name: "uplink".to_owned(),
        node: "uplink".to_owned(),
        ns: Arc::new(ns),
        v4: Ipv4Addr::new(10, 60, 0, 100),
        v6: Ipv6Addr::new(0xfd00, 0x60, 0, 0, 0, 0, 0, 0x100),
    };
    let lines = format!(
        "link add eth1 type veth peer name eth0 netns {}\n\
         link set eth1 up\n\
         addr add {NODE_V4}/24 dev eth1\n\
         addr add {NODE_V6}/64 dev eth1 nodad\n\
         rule add from {NODE_V4} table 60\n\
         route add 0.0.0.0/0 via {v4} dev eth1 table 60\n\
         route add ::/0 via {v6} dev eth1 table 60\n",
        host.ns.name(),
        v4 = host.v4,
        v6 = host.v6
    );
    host.ns.sysctl(&[("ipv6/conf/default/accept_dad", "0")])?;
    exec::ip_batch(Some(node.ns.name()), &lines)?;
    // A batch knows rules of one family only.
    let rule = format!("-6 rule add from {NODE_V6} table 60");
    exec::output(node.ns.command("ip").args(rule.split(' ')))?;
    let lines = format!(
        "link set lo up\n\
         link set eth0 up\n\
         addr add {}/24 dev eth0\n\
         addr add {}/64 dev eth0 nodad\n\
         route add 0.0.0.0/0 via {NODE_V4}\n\
         route add ::/0 via {NODE_V6}\n",
        host.v4, host.v6
    );
    exec::ip_batch(Some(host.ns.name()), &lines)?;
    Ok(host)
}
