//! What clients and servers see when the real agent runs on the nodes: real sockets in network namespaces.
//!
//! Needs root and a built `kube-portal`; `cargo xtask test netns` sees to both.

#![expect(
    clippy::unwrap_used,
    reason = "clippy knows functions marked as tests, not their helpers"
)]

use std::net::{IpAddr, SocketAddr};

use harness::{topology::Host, traffic::Client, world::Variant};
use proxy_agent::model::{Family, Protocol};

/// Makes a test of each function for each family and protocol: `<function>::ipv4_tcp` and so on.
macro_rules! for_each_variant {
    ($($function:ident),+ $(,)?) => { $(
        mod $function {
            use crate::{IPV4_TCP, IPV4_UDP, IPV6_TCP, IPV6_UDP};

            #[test]
            fn ipv4_tcp() { super::$function(IPV4_TCP); }
            #[test]
            fn ipv4_udp() { super::$function(IPV4_UDP); }
            #[test]
            fn ipv6_tcp() { super::$function(IPV6_TCP); }
            #[test]
            fn ipv6_udp() { super::$function(IPV6_UDP); }
        }
    )+ };
}

/// Both families, UDP only.
macro_rules! for_each_udp {
    ($($function:ident),+ $(,)?) => { $(
        mod $function {
            #[test]
            fn ipv4() { super::$function(crate::IPV4_UDP); }
            #[test]
            fn ipv6() { super::$function(crate::IPV6_UDP); }
        }
    )+ };
}

/// Both families, TCP only.
macro_rules! for_each_tcp {
    ($($function:ident),+ $(,)?) => { $(
        mod $function {
            #[test]
            fn ipv4() { super::$function(crate::IPV4_TCP); }
            #[test]
            fn ipv6() { super::$function(crate::IPV6_TCP); }
        }
    )+ };
}

mod affinity;
mod attachment;
mod bridge;
mod cgroups;
mod cleanup;
mod cni_masquerade;
mod cold_neighbour;
mod conntrack_settings;
mod drift;
mod flows;
mod foreign_note;
mod forward_policy;
mod fragments;
mod full_tables;
mod gathered;
mod handover;
mod harness_itself;
mod host_network;
mod icmp;
mod iptables_mode;
mod large_writes;
mod layer_3;
mod live_change;
mod local_dns;
mod map_sizes;
mod metrics;
mod new_pod;
mod no_endpoints;
mod node_changes;
mod node_flags;
mod node_port;
mod overlay;
mod path_mtu;
mod port_reuse;
mod reload;
mod rendered_rules;
mod restart;
mod rule_counters;
mod rule_metrics;
mod same_source_port;
mod sctp;
mod service_deleted;
mod sockets;
mod untouched;
mod uplinks;
mod weights;

/// Whom `endpoint` sees when `client` asks at `target`, which nobody else may answer.
fn seen_by(endpoint: &Host, variant: Variant, client: &Host, target: SocketAddr) -> IpAddr {
    let answer = Client::new(&client.ns).ask(variant.protocol, target);
    let answer = answer.unwrap_or_else(|error| {
        panic!(
            "{variant:?}: {} to {} at {target}: {error}",
            client.name, endpoint.name
        )
    });
    assert_eq!(answer.server, endpoint.name);
    answer.client.ip()
}

const IPV4_TCP: Variant = Variant {
    family: Family::V4,
    protocol: Protocol::Tcp,
};
const IPV4_UDP: Variant = Variant {
    family: Family::V4,
    protocol: Protocol::Udp,
};
const IPV6_TCP: Variant = Variant {
    family: Family::V6,
    protocol: Protocol::Tcp,
};
const IPV6_UDP: Variant = Variant {
    family: Family::V6,
    protocol: Protocol::Udp,
};
