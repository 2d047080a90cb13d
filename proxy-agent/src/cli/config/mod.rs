//! `--config`: kube-proxy's own configuration file, such as the one that kubeadm writes.
//!
//! What it says counts instead of the flags that kube-proxy has for the same; what has no effect here is told, field by field.

mod fields;
mod flags;
mod unused;

use std::{
    fs, io,
    marker::PhantomData,
    path::{Path, PathBuf},
    time::Duration,
};

use serde_json::Value;

use self::fields::{Conntrack, Fields, Period, Section};
use super::{metrics::BindAddress, settings::DetectLocalMode};
use crate::{
    model::{DetectLocal, NodeContext},
    netfilter::conntrack_settings::Settings,
    source::convert::deserialize_with_path,
};

/// How often the file is looked at. By its content, because a ConfigMap's file is a link to a link that is replaced.
const LOOK: Duration = Duration::from_secs(5);

/// A `KubeProxyConfiguration` of `kubeproxy.config.k8s.io/v1alpha1`. What the file leaves empty has kube-proxy's default.
#[derive(Clone, Debug)]
pub struct Config {
    path: PathBuf,
    text: String,
    fields: Fields,
}

/// A configuration file that cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// It could not be read.
    #[error("{0}; correct the path or the rights of the file")]
    Read(#[from] io::Error),
    /// It is not what kube-proxy would take: the field, and what is wrong with it.
    #[error("{0}")]
    Malformed(String),
}

impl Config {
    /// Reads a file.
    ///
    /// # Errors
    /// When it cannot be read, or a field that has an effect is malformed.
    pub fn read(path: impl Into<PathBuf>) -> Result<Self, ConfigError> {
        let path = path.into();
        let text = fs::read_to_string(&path)?;
        let fields = parse(&text).map_err(ConfigError::Malformed)?;
        Ok(Self { path, text, fields })
    }

    /// Ends when the file says something else than what was read.
    pub async fn changed(&self) {
        let mut look = tokio::time::interval(LOOK);
        loop {
            look.tick().await;
            if self.differs().await {
                return;
            }
        }
    }

    /// A file that is being replaced is not there for a moment: that is no difference.
    async fn differs(&self) -> bool {
        let text = tokio::fs::read_to_string(&self.path).await;
        text.is_ok_and(|text| text != self.text)
    }

    /// What the file says in vain, a sentence for each field.
    #[must_use]
    pub fn warnings(&self) -> Vec<String> {
        let mode = (self.fields.mode == "ipvs").then(|| {
            "mode: ipvs has no counterpart here: Services are served by BPF programs, endpoints are drawn at random".to_owned()
        });
        mode.into_iter().chain(unused::warnings(&self.fields)).collect()
    }

    /// `clientConnection.kubeconfig`; `None` means the pod's service account.
    #[must_use]
    pub fn kubeconfig(&self) -> Option<&Path> {
        given(&self.fields.client_connection.kubeconfig).map(Path::new)
    }

    /// `hostnameOverride`.
    #[must_use]
    pub fn hostname_override(&self) -> Option<&str> {
        given(&self.fields.hostname_override)
    }

    /// `metricsBindAddress`; `None` means the default.
    #[must_use]
    pub(super) const fn metrics_bind_address(&self) -> Option<BindAddress> {
        self.fields.metrics_bind_address
    }

    /// What the file says about the node of this name.
    #[must_use]
    pub fn context(&self, name: String) -> NodeContext {
        let fields = &self.fields;
        let text = |value: &str| value.to_owned();
        NodeContext {
            name,
            detect_local: match fields.detect_local_mode {
                DetectLocalMode::ClusterCidr => DetectLocal::ClusterCidr(fields.cluster_cidr.clone()),
                DetectLocalMode::NodeCidr => DetectLocal::NodeCidr,
                DetectLocalMode::BridgeInterface => {
                    DetectLocal::BridgeInterface(text(&fields.detect_local.bridge_interface))
                }
                DetectLocalMode::InterfaceNamePrefix => {
                    DetectLocal::InterfaceNamePrefix(text(&fields.detect_local.interface_name_prefix))
                }
            },
            masquerade_all: self.masquerade_all(),
            node_port_addresses: fields.node_port_addresses.clone(),
            ..NodeContext::default()
        }
    }

    fn masquerade_all(&self) -> bool {
        self.masquerade_section().masquerade_all
    }

    /// `masqueradeBit`; `None` means the default.
    #[must_use]
    pub fn masquerade_bit(&self) -> Option<u32> {
        self.masquerade_section().masquerade_bit.map(Into::into)
    }

    /// `iptables.localhostNodePorts`; `None` means the default.
    #[must_use]
    pub(super) const fn localhost_node_ports(&self) -> Option<bool> {
        self.fields.iptables.localhost_node_ports
    }

    /// What the section `conntrack` asks for.
    #[must_use]
    pub fn conntrack(&self) -> Settings {
        let Conntrack {
            max_per_core,
            min,
            tcp_established_timeout,
            tcp_close_wait_timeout,
            tcp_be_liberal,
            udp_timeout,
            udp_stream_timeout,
            ..
        } = self.fields.conntrack;
        let default = Settings::default();
        let period = |given: Option<Period>, default| given.map_or(default, |Period(given)| given);
        Settings {
            max_per_core: max_per_core.unwrap_or(default.max_per_core),
            min: min.unwrap_or(default.min),
            tcp_timeout_established: period(tcp_established_timeout, default.tcp_timeout_established),
            tcp_timeout_close_wait: period(tcp_close_wait_timeout, default.tcp_timeout_close_wait),
            tcp_be_liberal: tcp_be_liberal.unwrap_or(default.tcp_be_liberal),
            udp_timeout: period(udp_timeout, default.udp_timeout),
            udp_timeout_stream: period(udp_stream_timeout, default.udp_timeout_stream),
        }
    }

    /// The section that belongs to `mode`, but mode ipvs masquerades as `iptables` says.
    fn masquerade_section(&self) -> &Section {
        match self.fields.mode.as_str() {
            "nftables" => &self.fields.nftables,
            _ => &self.fields.iptables,
        }
    }

    /// `minSyncPeriod` of the section that belongs to `mode`, unless it is zero, which means the default.
    #[must_use]
    pub fn min_sync_period(&self) -> Option<Duration> {
        Some(self.section().min_sync_period.0).filter(|period| !period.is_zero())
    }

    /// `syncPeriod` of the section that belongs to `mode`, unless it is zero, which means the default.
    #[must_use]
    pub fn sync_period(&self) -> Option<Duration> {
        Some(self.section().sync_period.0).filter(|period| !period.is_zero())
    }

    fn section(&self) -> &Section {
        match self.fields.mode.as_str() {
            "nftables" => &self.fields.nftables,
            "ipvs" => &self.fields.ipvs,
            _ => &self.fields.iptables,
        }
    }
}

fn given(text: &str) -> Option<&str> {
    Some(text).filter(|text| !text.is_empty())
}

/// Takes YAML or JSON apart; an error begins with the field's path.
fn parse(text: &str) -> Result<Fields, String> {
    let options = serde_saphyr::options! { with_snippet: false };
    let mut document: Value =
        serde_saphyr::from_str_with_options(text, options).map_err(|error| error.to_string())?;
    drop_empty(&mut document);
    let fields: Fields =
        deserialize_with_path(PhantomData, document).map_err(|(path, error)| format!("{path}: {error}"))?;
    fields.check()?;
    Ok(fields)
}

/// A field that is null or an empty text is as good as absent.
fn drop_empty(value: &mut Value) {
    if let Value::Object(fields) = value {
        fields.retain(|_, value| !value.is_null() && value != "");
        fields.values_mut().for_each(drop_empty);
    }
}

#[cfg(test)]
mod tests;
