//! Services and their EndpointSlices as YAML files in a directory that agents read.

mod read;

use std::{
    fmt::Write as _,
    fs,
    net::IpAddr,
    path::{Path, PathBuf},
};

use anyhow::{Context as _, Result};
use proxy_agent::model::{Family, Protocol};

use crate::topology::Host;
pub use read::{cluster, objects};

/// A dual-stack or single-stack Service with one port, in namespace `default`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Service {
    /// `metadata.name`.
    pub name: String,
    /// `spec.ports[0].name`.
    pub port_name: String,
    /// `spec.ports[0].protocol`.
    pub protocol: Protocol,
    /// `spec.clusterIPs`.
    pub cluster_ips: Vec<IpAddr>,
    /// `spec.externalIPs`.
    pub external_ips: Vec<IpAddr>,
    /// `spec.ports[0].port`.
    pub port: u16,
    /// `spec.ports[0].nodePort`; without it the Service is of type ClusterIP.
    pub node_port: Option<u16>,
    /// Port of the endpoints.
    pub target_port: u16,
    /// Annotation `kube-portal.io/weights`.
    pub weights: Option<String>,
    /// `status.loadBalancer.ingress[0].ip`; with it the Service is of type LoadBalancer.
    pub load_balancer: Option<IpAddr>,
    /// Further fields of `spec`, each a line of YAML.
    pub spec: Vec<String>,
    /// Whether the Service has a second port, `other`, of the same numbers in the other one of TCP and UDP. No endpoint has it.
    pub other_protocol: bool,
    /// The endpoints.
    pub endpoints: Vec<Endpoint>,
}

/// An endpoint of a [`Service`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Endpoint {
    /// `addresses[0]`.
    pub address: IpAddr,
    /// `nodeName`.
    pub node: String,
    /// `targetRef.name`.
    pub pod: String,
    /// `conditions`.
    pub condition: Condition,
}

/// What `conditions` of an endpoint say.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum Condition {
    /// It takes traffic.
    #[default]
    Ready,
    /// It has not started to, though it would answer.
    Unready,
    /// It is about to end, and answers until then.
    Terminating,
    /// It is about to end and answers no more.
    Gone,
}

impl Condition {
    const fn yaml(self) -> &'static str {
        match self {
            Self::Ready => "{ready: true}",
            Self::Unready => "{ready: false, serving: true}",
            Self::Terminating => "{ready: false, serving: true, terminating: true}",
            Self::Gone => "{ready: false, serving: false, terminating: true}",
        }
    }
}

impl Endpoint {
    /// The endpoints that `pods` make in `families`.
    #[must_use]
    pub fn of(pods: &[&Host], families: &[Family]) -> Vec<Self> {
        let endpoint = |pod: &Host, family| Self {
            address: pod.ip(family),
            node: pod.node.clone(),
            pod: pod.name.clone(),
            condition: Condition::Ready,
        };
        pods.iter()
            .flat_map(|pod| families.iter().map(|family| endpoint(pod, *family)))
            .collect()
    }
}

impl Service {
    /// How the agent names its port: `default/name:port`.
    #[must_use]
    pub fn id(&self) -> String {
        format!("default/{}:{}", self.name, self.port_name)
    }

    /// The Service and one EndpointSlice per family.
    #[must_use]
    pub fn to_yaml(&self) -> String {
        let mut yaml = self.service_document();
        for family in self.families() {
            yaml.push_str("---\n");
            yaml.push_str(&self.slice_document(family));
        }
        yaml
    }

    /// The families of its addresses.
    pub fn families(&self) -> impl Iterator<Item = Family> {
        self.cluster_ips.iter().copied().map(Family::of)
    }

    fn service_document(&self) -> String {
        let kind = match (self.load_balancer, self.node_port) {
            (Some(_), _) => "LoadBalancer",
            (None, Some(_)) => "NodePort",
            (None, None) => "ClusterIP",
        };
        let more: String = self.spec.iter().map(|line| format!("  {line}\n")).collect();
        let status = self.load_balancer.map_or_else(String::new, |ip| {
            format!(
                "status:\n  loadBalancer:\n    ingress: [{{ip: {:?}}}]\n",
                ip.to_string()
            )
        });
        let quoted = |ips: &[IpAddr]| -> Vec<String> {
            ips.iter().map(|ip| format!("{:?}", ip.to_string())).collect()
        };
        let ips = quoted(&self.cluster_ips);
        let ports = self.ports();
        let annotations = self.weights.as_ref().map_or_else(String::new, |weights| {
            format!("\n  annotations: {{kube-portal.io/weights: {weights:?}}}")
        });
        format!(
            "apiVersion: v1
kind: Service
metadata:
  name: {}
  namespace: default{annotations}
spec:
  type: {kind}
  clusterIP: {}
  clusterIPs: [{}]
  externalIPs: [{}]
  ports:
{ports}{more}{status}",
            self.name,
            ips[0],
            ips.join(", "),
            quoted(&self.external_ips).join(", "),
        )
    }

    fn ports(&self) -> String {
        let own = self.port_document(&self.port_name, self.protocol);
        let other = match self.protocol {
            Protocol::Tcp => Protocol::Udp,
            _ => Protocol::Tcp,
        };
        let other = self.other_protocol.then(|| self.port_document("other", other));
        own + &other.unwrap_or_default()
    }

    fn port_document(&self, name: &str, protocol: Protocol) -> String {
        let Self {
            port, target_port, ..
        } = self;
        let node_port = self
            .node_port
            .map_or_else(String::new, |port| format!("      nodePort: {port}\n"));
        format!(
            "    - name: {name}
      protocol: {protocol}
      port: {port}
      targetPort: {target_port}
{node_port}"
        )
    }

    fn slice_document(&self, family: Family) -> String {
        let mut yaml = format!(
            "apiVersion: discovery.k8s.io/v1
kind: EndpointSlice
metadata:
  name: {name}-{}
  namespace: default
  labels:
    kubernetes.io/service-name: {name}
addressType: {family}
ports:
  - name: {}
    protocol: {}
    port: {}
endpoints:",
            family.to_string().to_lowercase(),
            self.port_name,
            self.protocol,
            self.target_port,
            name = self.name,
        );
        let mut endpoints = self
            .endpoints
            .iter()
            .filter(|endpoint| Family::of(endpoint.address) == family)
            .peekable();
        if endpoints.peek().is_none() {
            yaml.push_str(" []");
        }
        for Endpoint {
            address,
            node,
            pod,
            condition,
        } in endpoints
        {
            let _ = write!(
                yaml,
                "\n  - addresses: [{:?}]\n    conditions: {}\n    nodeName: {node}
    targetRef: {{kind: Pod, name: {pod}}}",
                address.to_string(),
                condition.yaml()
            );
        }
        yaml.push('\n');
        yaml
    }
}

/// A directory of manifests.
#[derive(Debug)]
pub struct Manifests {
    directory: PathBuf,
}

impl Manifests {
    /// Uses an existing directory.
    #[must_use]
    pub const fn new(directory: PathBuf) -> Self {
        Self { directory }
    }

    /// The directory.
    #[must_use]
    pub fn directory(&self) -> &Path {
        &self.directory
    }

    /// The file that `service` is written to.
    #[must_use]
    pub fn path(&self, service: &str) -> PathBuf {
        self.directory.join(format!("{service}.yaml"))
    }

    /// Creates or replaces the file of `service`.
    ///
    /// # Errors
    ///
    /// The directory cannot be written to.
    pub fn write(&self, service: &Service) -> Result<()> {
        self.write_text(&service.name, &service.to_yaml())
    }

    /// Creates or replaces `<name>.yaml` with any text. A reader sees the old text or the new, never a half.
    ///
    /// # Errors
    ///
    /// The directory cannot be written to.
    pub fn write_text(&self, name: &str, text: &str) -> Result<()> {
        let hidden = self.directory.join(format!(".{name}.new"));
        let path = self.path(name);
        fs::write(&hidden, text)
            .and_then(|()| fs::rename(&hidden, &path))
            .with_context(|| format!("cannot write {}", path.display()))
    }

    /// Deletes the file of `service`.
    ///
    /// # Errors
    ///
    /// It is not there.
    pub fn remove(&self, service: &str) -> Result<()> {
        let path = self.path(service);
        fs::remove_file(&path).with_context(|| format!("cannot remove {}", path.display()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn service() -> Service {
        Service {
            name: "web".into(),
            port_name: "http".into(),
            protocol: Protocol::Tcp,
            cluster_ips: vec!["10.0.0.1".parse().unwrap(), "fd00::1".parse().unwrap()],
            port: 80,
            external_ips: Vec::new(),
            node_port: Some(30207),
            target_port: 8080,
            weights: Some("pod/*=2".into()),
            load_balancer: None,
            spec: Vec::new(),
            other_protocol: false,
            endpoints: vec![Endpoint {
                address: "10.1.0.1".parse().unwrap(),
                node: "node1".into(),
                pod: "nginx".into(),
                condition: Condition::Ready,
            }],
        }
    }

    #[test]
    fn every_family_gets_its_slice_and_a_family_without_endpoints_an_empty_one() {
        let yaml = service().to_yaml();
        assert_eq!(yaml.matches("kind: EndpointSlice").count(), 2);
        assert!(yaml.contains("addresses: [\"10.1.0.1\"]"));
        assert!(yaml.contains("endpoints: []"));
        assert!(yaml.contains("nodePort: 30207"));
        assert!(yaml.contains("annotations: {kube-portal.io/weights: \"pod/*=2\"}"));
        assert!(yaml.contains("targetRef: {kind: Pod, name: nginx}"));
    }

    #[test]
    fn a_write_leaves_only_the_manifest() {
        let directory = tempfile::tempdir().unwrap();
        let manifests = Manifests::new(directory.path().to_owned());
        manifests.write(&service()).unwrap();
        let files: Vec<_> = fs::read_dir(directory.path())
            .unwrap()
            .map(|entry| entry.unwrap().file_name())
            .collect();
        assert_eq!(files, ["web.yaml"]);
    }
}
