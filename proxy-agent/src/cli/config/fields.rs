//! The fields that have an effect, as the file spells them.

use std::{collections::BTreeMap, time::Duration};

use ipnet::IpNet;
use serde::{Deserialize, Deserializer, de::Error};
use serde_json::Value;

use crate::{model::Family, source::convert::parse_cidr};

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
    pub(super) detect_local_mode: DetectLocalMode,
    #[serde(default)]
    pub(super) detect_local: DetectLocal,
    #[serde(default, rename = "clusterCIDR", deserialize_with = "comma_separated_cidrs")]
    pub(super) cluster_cidr: Vec<IpNet>,
    #[serde(default)]
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
    pub(super) min_sync_period: Period,
    pub(super) sync_period: Period,
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

/// `detectLocalMode`: how traffic of this node's pods is told from others'.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
pub enum DetectLocalMode {
    /// By `clusterCIDR`.
    #[default]
    #[serde(rename = "ClusterCIDR")]
    ClusterCidr,
    /// By the Node object's `spec.podCIDRs`.
    #[serde(rename = "NodeCIDR")]
    NodeCidr,
    /// By `detectLocal.bridgeInterface`.
    BridgeInterface,
    /// By `detectLocal.interfaceNamePrefix`.
    InterfaceNamePrefix,
}

/// `nodePortAddresses`: which of the node's addresses serve NodePorts.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum NodePortAddresses {
    /// All.
    #[default]
    All,
    /// The Node object's own.
    Primary,
    /// Those within these ranges.
    Cidrs(Vec<IpNet>),
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

impl<'de> Deserialize<'de> for NodePortAddresses {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let texts = Vec::<String>::deserialize(deserializer)?;
        match texts.as_slice() {
            [] => Ok(Self::All),
            [primary] if primary == "primary" => Ok(Self::Primary),
            _ => Ok(Self::Cidrs(cidrs(texts.iter().map(String::as_str))?)),
        }
    }
}

fn comma_separated_cidrs<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<IpNet>, D::Error> {
    let text = String::deserialize(deserializer)?;
    let cidrs: Vec<IpNet> = cidrs(text.split(','))?;
    let of = |family| cidrs.iter().filter(move |cidr| Family::of(cidr.addr()) == family);
    if Family::ALL.into_iter().any(|family| of(family).count() > 1) {
        return Err(D::Error::custom(format!(
            "{text:?} has more than one range of an IP family; name one of each"
        )));
    }
    Ok(cidrs)
}

fn cidrs<'a, E: Error>(texts: impl Iterator<Item = &'a str>) -> Result<Vec<IpNet>, E> {
    let cidr = |text| {
        parse_cidr(text)
            .ok_or_else(|| E::custom(format!("{text:?} is no range; write one such as 10.0.0.0/8")))
    };
    texts.map(cidr).collect()
}
