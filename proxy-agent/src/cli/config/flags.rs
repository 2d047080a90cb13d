//! Flags that have no effect beside the file, as with kube-proxy.

use std::collections::BTreeSet;

use super::Config;

impl Config {
    /// A sentence for each flag of `given`, which are those on the command line, that the file counts instead of.
    pub(in crate::cli) fn ignored(&self, given: &BTreeSet<String>) -> Vec<String> {
        let of_flags = self.fields_of_flags();
        let ignored = of_flags.iter().filter(|(flag, _)| given.contains(*flag));
        ignored
            .map(|(flag, field)| {
                let flag = flag.replace('_', "-");
                format!("--{flag} has no effect beside --config: what counts is the field {field}")
            })
            .collect()
    }

    /// By the names that the command line's parser has for flags.
    fn fields_of_flags(&self) -> [(&'static str, String); 19] {
        let (masquerade, periods) = match self.fields.mode.as_str() {
            "nftables" => ("nftables", "nftables"),
            "ipvs" => ("iptables", "ipvs"),
            _ => ("iptables", "iptables"),
        };
        [
            ("kubeconfig", "clientConnection.kubeconfig".to_owned()),
            ("detect_local_mode", "detectLocalMode".to_owned()),
            ("cluster_cidr", "clusterCIDR".to_owned()),
            ("pod_bridge_interface", "detectLocal.bridgeInterface".to_owned()),
            (
                "pod_interface_name_prefix",
                "detectLocal.interfaceNamePrefix".to_owned(),
            ),
            ("nodeport_addresses", "nodePortAddresses".to_owned()),
            ("metrics_bind_address", "metricsBindAddress".to_owned()),
            ("masquerade_all", format!("{masquerade}.masqueradeAll")),
            ("iptables_masquerade_bit", format!("{masquerade}.masqueradeBit")),
            (
                "iptables_localhost_nodeports",
                "iptables.localhostNodePorts".to_owned(),
            ),
            ("conntrack_max_per_core", "conntrack.maxPerCore".to_owned()),
            ("conntrack_min", "conntrack.min".to_owned()),
            (
                "conntrack_tcp_timeout_established",
                "conntrack.tcpEstablishedTimeout".to_owned(),
            ),
            (
                "conntrack_tcp_timeout_close_wait",
                "conntrack.tcpCloseWaitTimeout".to_owned(),
            ),
            ("conntrack_tcp_be_liberal", "conntrack.tcpBeLiberal".to_owned()),
            ("conntrack_udp_timeout", "conntrack.udpTimeout".to_owned()),
            (
                "conntrack_udp_timeout_stream",
                "conntrack.udpStreamTimeout".to_owned(),
            ),
            ("min_sync_period", format!("{periods}.minSyncPeriod")),
            ("sync_period", format!("{periods}.syncPeriod")),
        ]
    }
}
