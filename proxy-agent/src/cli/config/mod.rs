//! `--config`: kube-proxy's own configuration file, such as the one that kubeadm writes.
//!
//! What it says counts instead of the flags that kube-proxy has for the same; what has no effect here is told, field by field.

mod fields;
mod unused;

use std::{
    io,
    path::{Path, PathBuf},
    time::Duration,
};

use ipnet::IpNet;
use serde_json::Value;

pub use self::fields::{DetectLocalMode, NodePortAddresses};
use self::fields::{Fields, Section};
use crate::source::convert::deserialize_with_path;

/// A `KubeProxyConfiguration` of `kubeproxy.config.k8s.io/v1alpha1`. What the file leaves empty has kube-proxy's default.
#[derive(Debug)]
pub struct Config {
    fields: Fields,
}

/// A configuration file that cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// It could not be read.
    #[error("--config {path}: {source}; correct the path or the file's rights", path = path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// It is not what kube-proxy would take.
    #[error("--config {path}: {what}", path = path.display())]
    Malformed {
        /// The file.
        path: PathBuf,
        /// The field, and what is wrong with it.
        what: String,
    },
}

impl Config {
    /// Reads a file.
    ///
    /// # Errors
    /// When it cannot be read, or a field that has an effect is malformed.
    pub fn read(path: &Path) -> Result<Self, ConfigError> {
        let text = std::fs::read_to_string(path).map_err(|source| ConfigError::Read {
            path: path.to_owned(),
            source,
        })?;
        Self::parse(&text).map_err(|what| ConfigError::Malformed {
            path: path.to_owned(),
            what,
        })
    }

    /// Takes YAML or JSON apart; an error begins with the field's path.
    fn parse(text: &str) -> Result<Self, String> {
        let options = serde_saphyr::options! { with_snippet: false };
        let mut document: Value =
            serde_saphyr::from_str_with_options(text, options).map_err(|error| error.to_string())?;
        drop_empty(&mut document);
        let fields: Fields = deserialize_with_path(std::marker::PhantomData, document)
            .map_err(|(path, error)| format!("{path}: {error}"))?;
        fields.check()?;
        Ok(Self { fields })
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

    /// `detectLocalMode`.
    #[must_use]
    pub const fn detect_local_mode(&self) -> DetectLocalMode {
        self.fields.detect_local_mode
    }

    /// `clusterCIDR`: at most one of each IP family.
    #[must_use]
    pub fn cluster_cidrs(&self) -> &[IpNet] {
        &self.fields.cluster_cidr
    }

    /// `detectLocal.bridgeInterface`: there if the mode is [`DetectLocalMode::BridgeInterface`].
    #[must_use]
    pub fn bridge_interface(&self) -> Option<&str> {
        given(&self.fields.detect_local.bridge_interface)
    }

    /// `detectLocal.interfaceNamePrefix`: there if the mode is [`DetectLocalMode::InterfaceNamePrefix`].
    #[must_use]
    pub fn interface_name_prefix(&self) -> Option<&str> {
        given(&self.fields.detect_local.interface_name_prefix)
    }

    /// `nodePortAddresses`.
    #[must_use]
    pub const fn node_port_addresses(&self) -> &NodePortAddresses {
        &self.fields.node_port_addresses
    }

    /// `masqueradeAll` of the section that belongs to `mode`; mode ipvs takes that of `iptables`.
    #[must_use]
    pub fn masquerade_all(&self) -> bool {
        let section = match self.fields.mode.as_str() {
            "nftables" => &self.fields.nftables,
            _ => &self.fields.iptables,
        };
        section.masquerade_all
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

/// A field that is null or an empty text is as good as absent.
fn drop_empty(value: &mut Value) {
    if let Value::Object(fields) = value {
        fields.retain(|_, value| !value.is_null() && value != "");
        fields.values_mut().for_each(drop_empty);
    }
}

#[cfg(test)]
mod tests;
