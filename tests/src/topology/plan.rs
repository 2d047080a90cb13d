//! Who gets which address.

use std::{
    net::{Ipv4Addr, Ipv6Addr},
    sync::Arc,
};

use proxy_agent::model::Family;

use super::Host;
use crate::netns::NetNs;

/// A host of the LAN, 192.168.50.0/24 and fd00:50::/64.
pub(super) fn on_lan(name: &str, ns: NetNs, last: u8) -> Host {
    let v4 = Ipv4Addr::new(192, 168, 50, last);
    Host {
        name: name.to_owned(),
        node: name.to_owned(),
        ns: Arc::new(ns),
        v4,
        v6: Ipv6Addr::new(0xfd00, 0x50, 0, 0, 0, 0, 0, twin(last)),
    }
}

/// A pod, 192.168.166.x and fd00:10:166::x.
pub(super) fn pod(node: &str, name: &str, ns: NetNs, last: u8) -> Host {
    let v4 = Ipv4Addr::new(192, 168, 166, last);
    Host {
        name: name.to_owned(),
        node: node.to_owned(),
        ns: Arc::new(ns),
        v4,
        v6: Ipv6Addr::new(0xfd00, 0x10, 0x166, 0, 0, 0, 0, twin(last)),
    }
}

/// The range that all pods' addresses are from.
#[must_use]
pub const fn pod_network(family: Family) -> &'static str {
    match family {
        Family::V4 => "192.168.166.0/24",
        Family::V6 => "fd00:10:166::/64",
    }
}

/// The hexadecimal number that is written like the decimal `last`: .157 becomes ::157, so that a reader sees which
/// two addresses belong together.
fn twin(last: u8) -> u16 {
    let (hundreds, tens, ones) = (last / 100, last / 10 % 10, last % 10);
    u16::from(hundreds) << 8 | u16::from(tens) << 4 | u16::from(ones)
}
