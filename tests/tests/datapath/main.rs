//! What the real programs do to packets, on every path that a packet can take through them.
//!
//! Needs root and the BPF object; `cargo xtask test datapath` sees to both.

#![expect(
    clippy::unwrap_used,
    reason = "clippy knows functions marked as tests, not their helpers"
)]

use harness::bpf::Layer;
use proxy_agent::model::{Family, Protocol};

/// Makes a test of each function for each of some variants: `<function>::ipv4_tcp` and so on.
macro_rules! for_each {
    ([$($name:ident = $variant:ident),+] $($function:ident)+) => {
        for_each!(@each [$($name = $variant),+] [$($function)+]);
    };
    (@each $variants:tt [$($function:ident)+]) => { $( for_each!(@one $variants $function); )+ };
    (@one [$($name:ident = $variant:ident),+] $function:ident) => {
        mod $function {
            $(
                #[test]
                fn $name() {
                    harness::bpf::in_own_netns(|| super::$function(crate::$variant));
                }
            )+
        }
    };
}

/// Each family and protocol, on Ethernet.
macro_rules! for_each_variant {
    ($($function:ident),+ $(,)?) => {
        for_each!([ipv4_tcp = IPV4_TCP, ipv4_udp = IPV4_UDP, ipv6_tcp = IPV6_TCP, ipv6_udp = IPV6_UDP] $($function)+);
    };
}

/// Each family and protocol, on Ethernet and on a device without.
macro_rules! for_each_variant_and_layer {
    ($($function:ident),+ $(,)?) => {
        for_each!([
            ipv4_tcp = IPV4_TCP, ipv4_udp = IPV4_UDP, ipv6_tcp = IPV6_TCP, ipv6_udp = IPV6_UDP,
            l3_ipv4_tcp = L3_IPV4_TCP, l3_ipv4_udp = L3_IPV4_UDP, l3_ipv6_tcp = L3_IPV6_TCP, l3_ipv6_udp = L3_IPV6_UDP
        ] $($function)+);
    };
}

/// IPv6, on Ethernet and on a device without.
macro_rules! for_each_ipv6 {
    ($($function:ident),+ $(,)?) => {
        for_each!([tcp = IPV6_TCP, udp = IPV6_UDP, l3_tcp = L3_IPV6_TCP, l3_udp = L3_IPV6_UDP] $($function)+);
    };
}

/// Both families, TCP only.
macro_rules! for_each_tcp {
    ($($function:ident),+ $(,)?) => { for_each!([ipv4 = IPV4_TCP, ipv6 = IPV6_TCP] $($function)+); };
}

/// Both families, UDP only.
macro_rules! for_each_udp {
    ($($function:ident),+ $(,)?) => { for_each!([ipv4 = IPV4_UDP, ipv6 = IPV6_UDP] $($function)+); };
}

mod affinity;
mod checksums;
mod clients;
mod cluster_ip;
mod distribution;
mod eviction;
mod extension_headers;
mod flow_life;
mod flows;
mod forward_mark;
mod fragments;
mod hairpin;
mod icmp;
mod icmp_untouched;
mod ipv4_options;
mod malformed;
mod no_endpoints;
mod node_port;
mod pieces;
mod random;
mod random_frames;
mod refusal;
mod same_source_port;
mod scene;
mod snat_ports;
mod tcp;
mod two_cpus;
mod udp;
mod untouched;

/// What a test is run for.
#[derive(Clone, Copy, Debug)]
struct Variant {
    family: Family,
    protocol: Protocol,
    layer: Layer,
}

impl Variant {
    /// Where the IP header is.
    const fn l3(self) -> usize {
        match self.layer {
            Layer::Ethernet => 14,
            Layer::Ip => 0,
        }
    }
}

const fn variant(family: Family, protocol: Protocol, layer: Layer) -> Variant {
    Variant {
        family,
        protocol,
        layer,
    }
}

const IPV4_TCP: Variant = variant(Family::V4, Protocol::Tcp, Layer::Ethernet);
const IPV4_UDP: Variant = variant(Family::V4, Protocol::Udp, Layer::Ethernet);
const IPV6_TCP: Variant = variant(Family::V6, Protocol::Tcp, Layer::Ethernet);
const IPV6_UDP: Variant = variant(Family::V6, Protocol::Udp, Layer::Ethernet);
const L3_IPV4_TCP: Variant = variant(Family::V4, Protocol::Tcp, Layer::Ip);
const L3_IPV4_UDP: Variant = variant(Family::V4, Protocol::Udp, Layer::Ip);
const L3_IPV6_TCP: Variant = variant(Family::V6, Protocol::Tcp, Layer::Ip);
const L3_IPV6_UDP: Variant = variant(Family::V6, Protocol::Udp, Layer::Ip);
