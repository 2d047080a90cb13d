//! Kubernetes objects into the model's: `Ok(None)` for objects that are not a Service proxy's business.
//!
//! What one bad value costs is what it costs in kube-proxy, where it can get that far:
//!
//! | Bad value | Outcome |
//! |---|---|
//! | external IP, load balancer IP, source range, node address, endpoint address | ignored, with a log line |
//! | unknown traffic policy | `Cluster` |
//! | weights | all the same, with a log line |
//! | cluster IP, any port number, protocol, affinity timeout, pod CIDR | error: the object's last good version stays |
//!
//! The API server refuses all of them but weights, so they come from manifests or from an API server newer than this program.

use thiserror::Error;

use crate::model::{ObjectKind, ObjectName, Protocol};

mod address;
mod endpoint_slice;
mod node;
mod pruned;
mod service;
mod service_cidr;
mod typed;
mod weights;

pub use address::{parse_cidr, parse_ip};
pub use endpoint_slice::endpoint_slice;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
pub use node::node;
pub use service::service;
pub use service_cidr::service_cidr;
pub(crate) use typed::{ApiKind, FieldError, deserialize_with_path};
pub(crate) use {endpoint_slice::HEADLESS_LABEL, service::PROXY_NAME_LABEL, weights::WEIGHTS_ANNOTATION};

/// A value that the model cannot take.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("{kind} {name}: {field} is {value:?}: {remedy}")]
pub struct ConvertError {
    /// The object's kind.
    pub kind: ObjectKind,
    /// The object's name.
    pub name: ObjectName,
    /// Path of the field, such as `spec.ports[1].port`.
    pub field: String,
    /// What it says.
    pub value: String,
    /// What it should say.
    pub remedy: &'static str,
}

/// The object that is being converted, for errors and log lines.
struct Subject {
    kind: ObjectKind,
    name: ObjectName,
}

impl Subject {
    /// A namespaced object; one that does not name its namespace is in `default`, as for `kubectl`.
    fn namespaced(kind: ObjectKind, metadata: &ObjectMeta) -> Result<Self, ConvertError> {
        let namespace = metadata
            .namespace
            .as_deref()
            .filter(|namespace| !namespace.is_empty());
        Self::named(kind, namespace.unwrap_or("default"), metadata)
    }

    fn cluster_scoped(kind: ObjectKind, metadata: &ObjectMeta) -> Result<Self, ConvertError> {
        Self::named(kind, "", metadata)
    }

    fn named(kind: ObjectKind, namespace: &str, metadata: &ObjectMeta) -> Result<Self, ConvertError> {
        let name = metadata.name.as_deref().unwrap_or_default();
        let subject = Self {
            kind,
            name: ObjectName::new(namespace, name),
        };
        if name.is_empty() {
            return Err(subject.error("metadata.name", "", "give the object a name"));
        }
        Ok(subject)
    }

    fn error(&self, field: impl Into<String>, value: impl ToString, remedy: &'static str) -> ConvertError {
        let (field, value) = (field.into(), value.to_string());
        ConvertError {
            kind: self.kind,
            name: self.name.clone(),
            field,
            value,
            remedy,
        }
    }

    /// Keeps what parses and logs the rest.
    fn keep_valid<T>(
        &self,
        field: &str,
        values: impl IntoIterator<Item = impl AsRef<str>>,
        parse: impl Fn(&str) -> Option<T>,
    ) -> Vec<T> {
        let keep = |(index, value): (usize, _)| {
            let value: &str = AsRef::as_ref(&value);
            let parsed = parse(value);
            if parsed.is_none() {
                let Self { kind, name } = self;
                tracing::warn!("{kind} {name}: {field}[{index}] is {value:?}, which is not valid: ignored");
            }
            parsed
        };
        values
            .into_iter()
            .map(|value| value.as_ref().to_owned())
            .enumerate()
            .filter_map(keep)
            .collect()
    }

    fn port(&self, field: impl FnOnce() -> String, value: i32) -> Result<u16, ConvertError> {
        match u16::try_from(value) {
            Ok(port) if port != 0 => Ok(port),
            _ => Err(self.error(field(), value, "write a port number from 1 to 65535")),
        }
    }

    /// A port whose absence is spelled 0, too.
    fn optional_port(
        &self,
        field: impl FnOnce() -> String,
        value: Option<i32>,
    ) -> Result<Option<u16>, ConvertError> {
        value
            .filter(|&port| port != 0)
            .map(|port| self.port(field, port))
            .transpose()
    }

    fn protocol(
        &self,
        field: impl FnOnce() -> String,
        value: Option<&str>,
    ) -> Result<Protocol, ConvertError> {
        match value {
            None | Some("TCP" | "") => Ok(Protocol::Tcp),
            Some("UDP") => Ok(Protocol::Udp),
            Some("SCTP") => Ok(Protocol::Sctp),
            Some(other) => Err(self.error(field(), other, "write TCP, UDP or SCTP")),
        }
    }
}

/// The label's value, if the object has the label.
fn label<'a>(metadata: &'a ObjectMeta, key: &str) -> Option<&'a str> {
    metadata.labels.as_ref()?.get(key).map(String::as_str)
}

#[cfg(test)]
mod tests;
