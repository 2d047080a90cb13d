//! The agent's iptables rules are those of the real kube-proxy: both serve a node of the same name by the same API server.
//!
//! Needs root, a built `kube-portal`, and the kube-apiserver, etcd and kube-proxy that `cargo xtask test` builds with Go.

mod cluster;
mod dice;
mod handover;
mod large;
mod marker;
mod random;
mod rules;
mod service;
mod slice;
mod twins;

/// How rules and reports name the families, in the model's order.
const FAMILIES: [&str; 2] = ["IPv4", "IPv6"];
