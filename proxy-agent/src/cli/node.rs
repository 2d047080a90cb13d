//! Flags about the node itself, named and meant as kube-proxy's.

use anyhow::{Context, Result, anyhow, bail};
use clap::Args;
use ipnet::IpNet;

use super::settings::{DetectLocalMode, cidr, cluster_cidrs, node_port_addresses};
use crate::model::{DetectLocal, NodeContext};

/// Flags of `run` about the node.
#[derive(Debug, Args)]
pub struct NodeFlags {
    /// This node's name in the cluster, instead of the host's name.
    #[arg(long, value_name = "NAME", env = "NODE_NAME")]
    hostname_override: Option<String>,

    /// How traffic of local pods is told from others', whose source address is replaced at cluster IPs.
    #[arg(long, value_enum, default_value_t, ignore_case = true)]
    detect_local_mode: DetectLocalMode,

    /// The range of the cluster's pods, one per IP family, for --detect-local-mode ClusterCIDR. Without it nobody is outside.
    #[arg(long, value_name = "CIDR", value_delimiter = ',', value_parser = cidr)]
    cluster_cidr: Vec<IpNet>,

    /// The bridge of this node's pods, for --detect-local-mode BridgeInterface.
    #[arg(long, value_name = "NAME")]
    pod_bridge_interface: Option<String>,

    /// How the names of the interfaces of this node's pods begin, for --detect-local-mode InterfaceNamePrefix.
    #[arg(long, value_name = "PREFIX")]
    pod_interface_name_prefix: Option<String>,

    /// The ranges of the node's addresses that serve NodePorts, or "primary" for the Node object's own. Without it: all.
    #[arg(long, value_name = "CIDR", value_delimiter = ',')]
    nodeport_addresses: Vec<String>,

    /// Replace everyone's source address at cluster IPs.
    #[arg(long)]
    masquerade_all: bool,
}

impl NodeFlags {
    /// What the flags say about the node.
    ///
    /// # Errors
    /// When a flag lacks another one, or the host has no name.
    pub fn context(&self) -> Result<NodeContext> {
        Ok(NodeContext {
            name: self.name(None)?,
            detect_local: self.detect_local()?,
            masquerade_all: self.masquerade_all,
            node_port_addresses: node_port_addresses(&self.nodeport_addresses)
                .map_err(|error| anyhow!("--nodeport-addresses: {error}"))?,
            ..NodeContext::default()
        })
    }

    /// The node's name as the cluster spells it, in lower case; `configured` counts if there is no flag.
    ///
    /// # Errors
    /// When the host has no name either.
    pub fn name(&self, configured: Option<&str>) -> Result<String> {
        let name = match self.hostname_override.as_deref().or(configured) {
            Some(name) => name.to_owned(),
            None => nix::unistd::gethostname()?
                .into_string()
                .map_err(|name| anyhow!("host name {name:?} is not UTF-8; use --hostname-override"))?,
        };
        let name = name.trim().to_lowercase();
        if name.is_empty() {
            bail!("the node has no name; use --hostname-override");
        }
        Ok(name)
    }

    fn detect_local(&self) -> Result<DetectLocal> {
        let needed = |value: &Option<String>, mode, flag| {
            let value = value.clone().filter(|value| !value.is_empty());
            value.with_context(|| format!("--detect-local-mode {mode} needs {flag}"))
        };
        Ok(match self.detect_local_mode {
            DetectLocalMode::ClusterCidr => {
                let ranges = cluster_cidrs(self.cluster_cidr.clone());
                DetectLocal::ClusterCidr(ranges.map_err(|error| anyhow!("--cluster-cidr: {error}"))?)
            }
            DetectLocalMode::NodeCidr => DetectLocal::NodeCidr,
            DetectLocalMode::BridgeInterface => {
                let bridge = &self.pod_bridge_interface;
                DetectLocal::BridgeInterface(needed(bridge, "BridgeInterface", "--pod-bridge-interface")?)
            }
            DetectLocalMode::InterfaceNamePrefix => {
                let (mode, flag) = ("InterfaceNamePrefix", "--pod-interface-name-prefix");
                DetectLocal::InterfaceNamePrefix(needed(&self.pod_interface_name_prefix, mode, flag)?)
            }
        })
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;
    use crate::model::NodePortAddresses;

    #[derive(Parser)]
    struct Command {
        #[command(flatten)]
        node: NodeFlags,
    }

    fn context(flags: &[&str]) -> Result<NodeContext> {
        let flags = ["kube-portal", "--hostname-override", " Node1 "]
            .iter()
            .chain(flags);
        Command::try_parse_from(flags)?.node.context()
    }

    fn cidrs(texts: &[&str]) -> Vec<IpNet> {
        texts.iter().map(|text| text.parse().unwrap()).collect()
    }

    #[test]
    fn without_flags_it_is_as_kube_proxy_is() {
        let expected = NodeContext {
            name: "node1".to_owned(),
            ..NodeContext::default()
        };
        assert_eq!(context(&[]).unwrap(), expected);
    }

    #[test]
    fn each_mode_takes_its_own_flag() {
        for (flags, expected) in [
            (
                vec!["--cluster-cidr", "10.0.0.0/8,fd00::/16"],
                DetectLocal::ClusterCidr(cidrs(&["10.0.0.0/8", "fd00::/16"])),
            ),
            (vec!["--detect-local-mode", "NodeCIDR"], DetectLocal::NodeCidr),
            (
                vec![
                    "--detect-local-mode",
                    "bridgeinterface",
                    "--pod-bridge-interface",
                    "cbr0",
                ],
                DetectLocal::BridgeInterface("cbr0".to_owned()),
            ),
            (
                vec![
                    "--detect-local-mode",
                    "InterfaceNamePrefix",
                    "--pod-interface-name-prefix",
                    "veth",
                ],
                DetectLocal::InterfaceNamePrefix("veth".to_owned()),
            ),
        ] {
            assert_eq!(context(&flags).unwrap().detect_local, expected, "{flags:?}");
        }
    }

    #[test]
    fn node_port_addresses_are_ranges_or_the_primary_ones() {
        for (flags, expected) in [
            (
                vec!["--nodeport-addresses", "primary"],
                NodePortAddresses::Primary,
            ),
            (
                vec![
                    "--nodeport-addresses=192.168.0.0/16",
                    "--nodeport-addresses=fd00::/8,10.0.0.0/8",
                ],
                NodePortAddresses::Cidrs(cidrs(&["192.168.0.0/16", "fd00::/8", "10.0.0.0/8"])),
            ),
        ] {
            assert_eq!(
                context(&flags).unwrap().node_port_addresses,
                expected,
                "{flags:?}"
            );
        }
    }

    #[test]
    fn errors_name_the_flag_and_the_remedy() {
        for (flags, expected) in [
            (
                vec!["--detect-local-mode", "BridgeInterface"],
                "--detect-local-mode BridgeInterface needs --pod-bridge-interface",
            ),
            (
                vec![
                    "--detect-local-mode",
                    "InterfaceNamePrefix",
                    "--pod-interface-name-prefix=",
                ],
                "--detect-local-mode InterfaceNamePrefix needs --pod-interface-name-prefix",
            ),
            (
                vec!["--cluster-cidr", "10.0.0.0/8,11.0.0.0/8"],
                "--cluster-cidr: more than one range of an IP family; name one of each",
            ),
            (
                vec!["--nodeport-addresses", "primary,10.0.0.0/8"],
                "--nodeport-addresses: \"primary\" is no range; write one such as 10.0.0.0/8",
            ),
        ] {
            let error = context(&flags).expect_err("a wrong flag");
            assert_eq!(crate::explain::explain(&error), expected, "{flags:?}");
        }
        let error = context(&["--cluster-cidr", "10.0.0.0"]).expect_err("no range");
        assert!(error.to_string().contains("--cluster-cidr"), "{error}");
    }
}
