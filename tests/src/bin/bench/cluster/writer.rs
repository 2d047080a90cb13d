//! Somebody who changes endpoints.

use std::ops::Range;

use anyhow::Result;
use harness::apiserver::Client;
use kube::api::{Patch, PatchParams};
use proxy_agent::model::{Family, ServicePortSpec};
use serde_json::{Value, json};

use super::objects;
use crate::fill;

/// Writes over one connection.
pub(crate) struct Writer {
    client: kube::Client,
    /// The next address that nobody has.
    fresh: u32,
}

impl Writer {
    /// With addresses from `fresh` on, which nobody else uses.
    pub(crate) const fn new(client: kube::Client, fresh: u32) -> Self {
        Self { client, fresh }
    }

    /// Replaces one endpoint of Service `index`; done when the API server has answered.
    pub(crate) async fn change(&mut self, index: u32) -> Result<()> {
        self.fresh += 1;
        let endpoints = objects::endpoints(index).skip(1).chain([self.fresh]);
        let patch = Patch::Merge(json!({"endpoints": endpoints_of(endpoints)}));
        let api = harness::apiserver::api(self.client.clone(), &slice(index))?;
        let name = objects::name(index).name;
        api.patch(&name, &PatchParams::default(), &patch).await?;
        Ok(())
    }
}

/// Creates these Services with their slices, and the namespaces that none before them is in.
pub(crate) fn fill(admin: &Client, services: Range<u32>) -> Result<()> {
    let first_in_theirs = services.start..services.end.min(objects::NAMESPACES);
    let namespaces: Vec<_> = first_in_theirs
        .map(|index| objects::name(index).namespace.to_string())
        .collect();
    fill::fill(admin, &namespaces, &services, |index| {
        [service(index), slice(index)]
    })
}

/// Service number `index` as its user writes it.
pub(crate) fn service(index: u32) -> Value {
    let service = objects::service(index, Family::V4);
    let kind = if service.ports.iter().any(|port| port.node_port.is_some()) {
        "NodePort"
    } else {
        "ClusterIP"
    };
    let port =
        |port: &ServicePortSpec| json!({"name": port.name, "port": port.port, "nodePort": port.node_port});
    json!({
        "apiVersion": "v1", "kind": "Service",
        "metadata": {"namespace": service.name.namespace, "name": service.name.name},
        "spec": {
            "type": kind, "clusterIP": objects::cluster_ip(index, Family::V4), "selector": {"app": service.name.name},
            "ports": service.ports.iter().map(port).collect::<Vec<_>>(),
        },
    })
}

/// Its slice as the EndpointSlice controller writes it.
pub(crate) fn slice(index: u32) -> Value {
    let name = objects::name(index);
    json!({
        "apiVersion": "discovery.k8s.io/v1", "kind": "EndpointSlice", "addressType": "IPv4",
        "metadata": {
            "namespace": name.namespace, "name": name.name,
            "labels": {
                "kubernetes.io/service-name": name.name,
                "endpointslice.kubernetes.io/managed-by": "endpointslice-controller.k8s.io",
            },
            "annotations": {"endpoints.kubernetes.io/last-change-trigger-time": "2026-01-01T00:00:00Z"},
        },
        "ports": [{"name": "http", "port": 8080, "protocol": "TCP"}],
        "endpoints": endpoints_of(objects::endpoints(index)),
    })
}

fn endpoints_of(numbers: impl Iterator<Item = u32>) -> Value {
    let endpoint = |number| {
        json!({
            "addresses": [objects::address(number, Family::V4)],
            "conditions": {"ready": true, "serving": true, "terminating": false},
            "nodeName": format!("node-{}", number % 500), "zone": "zone-a",
            "targetRef": {
                "kind": "Pod", "namespace": "team", "name": format!("service-7d4b9c6f5d-{number:05}"),
                "uid": format!("7d4b9c6f-0000-4000-8000-{number:012}"),
            },
        })
    };
    numbers.map(endpoint).collect()
}
