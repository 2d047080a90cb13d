//! What an agent says about itself, and what it has pinned.

use std::{
    collections::BTreeSet,
    fs,
    net::{IpAddr, SocketAddr},
    path::{Path, PathBuf},
};

use anyhow::{Context as _, Result, ensure};
use serde_json::Value;

use crate::manifests::Service;

/// A frontend as `inspect services --output json` prints it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Row {
    /// `namespace/name:port`.
    pub service: String,
    /// `ClusterIP`, `NodePort`, …
    pub kind: String,
    /// The address, `*` for a NodePort.
    pub address: String,
    /// The port.
    pub port: u16,
    /// `TCP`, `UDP` or `SCTP`.
    pub protocol: String,
    /// Where it leads.
    pub endpoints: BTreeSet<SocketAddr>,
}

impl Row {
    /// Reads the output.
    ///
    /// # Errors
    ///
    /// It is not the JSON array that the command promises.
    pub fn parse_all(json: &str) -> Result<Vec<Self>> {
        let rows: Vec<Value> =
            serde_json::from_str(json).context("`inspect services` printed no JSON array")?;
        rows.iter()
            .map(|row| Self::parse(row).with_context(|| format!("in {row}")))
            .collect()
    }

    fn parse(row: &Value) -> Result<Self> {
        let text = |field: &str| {
            let value = row.get(field).and_then(Value::as_str);
            value
                .map(str::to_owned)
                .with_context(|| format!("no text field `{field}`"))
        };
        let port = row
            .get("port")
            .and_then(Value::as_u64)
            .context("no number `port`")?;
        let endpoints = row
            .get("endpoints")
            .and_then(Value::as_array)
            .context("no array `endpoints`")?;
        let endpoint = |value: &Value| value.as_str().and_then(|text| text.parse().ok());
        Ok(Self {
            service: text("service")?,
            kind: text("kind")?,
            address: text("address")?,
            port: u16::try_from(port).context("`port`")?,
            protocol: text("protocol")?,
            endpoints: endpoints
                .iter()
                .map(endpoint)
                .collect::<Option<_>>()
                .context("an endpoint is no address:port")?,
        })
    }

    /// Checks that `rows` hold `service` with every address, its NodePort, and exactly its endpoints.
    ///
    /// # Errors
    ///
    /// Says what is missing or different.
    pub fn expect(rows: &[Self], service: &Service) -> Result<()> {
        let id = service.id();
        let own: Vec<&Self> = rows.iter().filter(|row| row.service == id).collect();
        for address in &service.cluster_ips {
            let text = address.to_string();
            let row = own
                .iter()
                .find(|row| row.kind == "ClusterIP" && row.address == text);
            let row = row.with_context(|| format!("{id} has no ClusterIP {address}"))?;
            row.leads_to(service, *address)?;
        }
        let node_ports = own
            .iter()
            .filter(|row| row.kind == "NodePort" && Some(row.port) == service.node_port);
        let wanted = service.node_port.map_or(0, |_| service.cluster_ips.len());
        ensure!(
            node_ports.count() == wanted,
            "{id} has not {wanted} NodePorts: {own:?}"
        );
        Ok(())
    }

    fn leads_to(&self, service: &Service, cluster_ip: IpAddr) -> Result<()> {
        let same_family = service
            .endpoints
            .iter()
            .filter(|to| to.address.is_ipv4() == cluster_ip.is_ipv4());
        let wanted: BTreeSet<_> = same_family
            .map(|endpoint| SocketAddr::new(endpoint.address, service.target_port))
            .collect();
        ensure!(
            self.endpoints == wanted,
            "{} leads to {:?} instead of {wanted:?}",
            self.service,
            self.endpoints
        );
        Ok(())
    }
}

/// Everything pinned below `directory`, in order.
///
/// # Errors
///
/// A directory cannot be read.
pub fn pins(directory: &Path) -> Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    let mut pending = vec![directory.to_owned()];
    while let Some(next) = pending.pop() {
        if !next.exists() {
            continue;
        }
        for entry in fs::read_dir(&next).with_context(|| format!("cannot read {}", next.display()))? {
            let path = entry?.path();
            if path.is_dir() {
                pending.push(path)
            } else {
                found.push(path)
            }
        }
    }
    found.sort();
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_row_of_the_command_is_read() {
        let json = r#"[{"service":"default/web:http","kind":"ClusterIP","address":"10.0.0.1","family":"IPv4",
            "port":80,"protocol":"TCP","endpoints":["10.1.0.1:8080"]}]"#;
        let rows = Row::parse_all(json).unwrap();
        assert_eq!(
            rows[0].endpoints,
            BTreeSet::from(["10.1.0.1:8080".parse().unwrap()])
        );
    }

    #[test]
    fn a_row_without_endpoints_field_is_an_error_that_names_it() {
        let json = r#"[{"service":"a","kind":"ClusterIP","address":"10.0.0.1","port":80,"protocol":"TCP"}]"#;
        let error = Row::parse_all(json).unwrap_err();
        assert!(format!("{error:#}").contains("endpoints"), "{error:#}");
    }
}
