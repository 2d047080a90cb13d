//! The fields that have an effect, as the file spells them.

use std::{collections::BTreeMap, time::Duration};

use ipnet::IpNet;
use serde::{Deserialize, Deserializer, de::Error};
use serde_json::Value;

use super::super::{
    metrics::BindAddress,
    settings::{self, DetectLocalMode},
};
use crate::model::NodePortAddresses;

/// What has no effect, by name.
pub(super) type Others = BTreeMap<String, Value>;

#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Fields {
    #[serde(rename = "apiVersion")]
    _api_version: ApiVersion,
    #[serde(rename = "kind")]
    _kind: Kind,
    #[serde(default)]
    pub(super) client_connection: ClientConnection,
    #[serde(default)]
    pub(super) hostname_override: String,
    #[serde(default)]
    pub(super) mode: String,
    #[serde(default)]
    pub(super) iptables: Section,
    #[serde(default)]
    pub(super) nftables: Section,
    #[serde(default)]
    pub(super) ipvs: Section,
    #[serde(default)]
    pub(super) conntrack: Conntrack,
    #[serde(default)]
    pub(super) detect_local_mode: DetectLocalMode,
    #[serde(default)]
    pub(super) detect_local: DetectLocal,
    #[serde(default, rename = "clusterCIDR", deserialize_with = "comma_separated_cidrs")]
    pub(super) cluster_cidr: Vec<IpNet>,
    #[serde(default, deserialize_with = "bind_address")]
    pub(super) metrics_bind_address: Option<BindAddress>,
    #[serde(default, deserialize_with = "node_port_addresses")]
    pub(super) node_port_addresses: NodePortAddresses,
    #[serde(flatten)]
    pub(super) others: Others,
}

#[derive(Clone, Debug, Deserialize)]
enum ApiVersion {
    #[serde(rename = "kubeproxy.config.k8s.io/v1alpha1")]
    V1Alpha1,
}

#[derive(Clone, Debug, Deserialize)]
enum Kind {
    KubeProxyConfiguration,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct ClientConnection {
    pub(super) kubeconfig: String,
    #[serde(flatten)]
    pub(super) others: Others,
}

/// What the sections `iptables`, `nftables` and `ipvs` have in common.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub(super) struct Section {
    pub(super) masquerade_all: bool,
    #[serde(deserialize_with = "masquerade_bit")]
    pub(super) masquerade_bit: Option<u8>,
    /// Only of `iptables`.
    pub(super) localhost_node_ports: Option<bool>,
    pub(super) min_sync_period: Period,
    pub(super) sync_period: Period,
    #[serde(flatten)]
    pub(super) others: Others,
}

/// Only `None` is the default: zero leaves the kernel's value alone.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub(super) struct Conntrack {
    pub(super) max_per_core: Option<u32>,
    pub(super) min: Option<u32>,
    pub(super) tcp_established_timeout: Option<Period>,
    pub(super) tcp_close_wait_timeout: Option<Period>,
    pub(super) tcp_be_liberal: Option<bool>,
    pub(super) udp_timeout: Option<Period>,
    pub(super) udp_stream_timeout: Option<Period>,
    #[serde(flatten)]
    pub(super) others: Others,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub(super) struct DetectLocal {
    pub(super) bridge_interface: String,
    pub(super) interface_name_prefix: String,
    #[serde(flatten)]
    pub(super) others: Others,
}

/// A time as Go writes it, such as `1m30s`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Period(pub(super) Duration);

impl Fields {
    /// What no single field can tell.
    pub(super) fn check(&self) -> Result<(), String> {
        let DetectLocal {
            bridge_interface,
            interface_name_prefix,
            ..
        } = &self.detect_local;
        let needed = match self.detect_local_mode {
            DetectLocalMode::BridgeInterface => Some(("bridgeInterface", bridge_interface)),
            DetectLocalMode::InterfaceNamePrefix => Some(("interfaceNamePrefix", interface_name_prefix)),
            DetectLocalMode::ClusterCidr | DetectLocalMode::NodeCidr => None,
        };
        match needed {
            Some((field, value)) if value.is_empty() => Err(format!(
                "detectLocal.{field}: detectLocalMode {:?} needs it",
                self.detect_local_mode
            )),
            _ => Ok(()),
        }
    }
}

impl<'de> Deserialize<'de> for Period {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        let period = humantime::parse_duration(&text);
        period.map(Self).map_err(|error| {
            D::Error::custom(format!(
                "{text:?} is no time: {error}; write one such as 1s or 1m30s"
            ))
        })
    }
}

fn comma_separated_cidrs<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<IpNet>, D::Error> {
    let text = String::deserialize(deserializer)?;
    let ranges: Result<_, String> = text.split(',').map(settings::cidr).collect();
    ranges.and_then(settings::cluster_cidrs).map_err(D::Error::custom)
}

fn node_port_addresses<'de, D: Deserializer<'de>>(deserializer: D) -> Result<NodePortAddresses, D::Error> {
    let texts = Vec::<String>::deserialize(deserializer)?;
    settings::node_port_addresses(&texts).map_err(D::Error::custom)
}

fn masquerade_bit<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<u8>, D::Error> {
    match u8::deserialize(deserializer)? {
        bit @ 0..=31 => Ok(Some(bit)),
        bit => Err(D::Error::custom(format!(
            "{bit} is no bit of a mark; write one from 0 to 31"
        ))),
    }
}

fn bind_address<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<BindAddress>, D::Error> {
    let text = String::deserialize(deserializer)?;
    text.parse().map(Some).map_err(D::Error::custom)
}
