//! What flags and the configuration file say in the same words.

use clap::ValueEnum;
use ipnet::IpNet;
use serde::Deserialize;

use crate::{
    model::{Family, NodePortAddresses},
    source::convert::parse_cidr,
};

/// How traffic of this node's pods is told from others'.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, ValueEnum)]
pub(super) enum DetectLocalMode {
    /// By --cluster-cidr.
    #[default]
    #[serde(rename = "ClusterCIDR")]
    #[value(name = "ClusterCIDR")]
    ClusterCidr,
    /// By the Node object's spec.podCIDRs.
    #[serde(rename = "NodeCIDR")]
    #[value(name = "NodeCIDR")]
    NodeCidr,
    /// By --pod-bridge-interface.
    #[value(name = "BridgeInterface")]
    BridgeInterface,
    /// By --pod-interface-name-prefix.
    #[value(name = "InterfaceNamePrefix")]
    InterfaceNamePrefix,
}

/// Reads a range.
pub(super) fn cidr(text: &str) -> Result<IpNet, String> {
    parse_cidr(text).ok_or_else(|| format!("{text:?} is no range; write one such as 10.0.0.0/8"))
}

/// The ranges of the cluster's pods: at most one of each IP family.
pub(super) fn cluster_cidrs(ranges: Vec<IpNet>) -> Result<Vec<IpNet>, String> {
    let of = |family| {
        ranges
            .iter()
            .filter(move |range| Family::of(range.addr()) == family)
    };
    if Family::ALL.into_iter().any(|family| of(family).count() > 1) {
        return Err("more than one range of an IP family; name one of each".to_owned());
    }
    Ok(ranges)
}

/// Ranges, or "primary", or nothing for all.
pub(super) fn node_port_addresses(texts: &[String]) -> Result<NodePortAddresses, String> {
    match texts {
        [] => Ok(NodePortAddresses::All),
        [primary] if primary == "primary" => Ok(NodePortAddresses::Primary),
        ranges => {
            let ranges = ranges.iter().map(|range| cidr(range));
            Ok(NodePortAddresses::Cidrs(ranges.collect::<Result<_, _>>()?))
        }
    }
}
