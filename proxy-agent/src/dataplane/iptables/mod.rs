//! The dataplane of nodes without usable BPF: kube-proxy's own iptables rules.

pub mod render;
