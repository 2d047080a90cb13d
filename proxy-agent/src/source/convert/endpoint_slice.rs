//! `discovery.k8s.io/v1` EndpointSlice.

use std::sync::Arc;

use k8s_openapi::api::discovery::v1 as discovery;

use super::{ConvertError, Subject, label, parse_ip};
use crate::model::{EndpointSlice, Family, ObjectKind, SliceEndpoint, SlicePort};

/// Slices of headless Services, which have no virtual IP, carry this label.
pub(crate) const HEADLESS_LABEL: &str = "service.kubernetes.io/headless";

const SERVICE_NAME_LABEL: &str = "kubernetes.io/service-name";

/// Converts an EndpointSlice; `None` for address types other than IPv4 and IPv6, and for slices of headless or of no Service.
///
/// # Errors
/// If a port number or protocol is not valid.
pub fn endpoint_slice(object: &discovery::EndpointSlice) -> Result<Option<EndpointSlice>, ConvertError> {
    let subject = Subject::namespaced(ObjectKind::EndpointSlice, &object.metadata)?;
    let family = match object.address_type.as_str() {
        "IPv4" => Family::V4,
        "IPv6" => Family::V6,
        _ => return Ok(None),
    };
    let service = label(&object.metadata, SERVICE_NAME_LABEL).filter(|name| !name.is_empty());
    let is_headless = label(&object.metadata, HEADLESS_LABEL).is_some();
    let (Some(service), false) = (service, is_headless) else {
        return Ok(None);
    };
    let endpoints = object.endpoints.as_deref().unwrap_or_default();
    Ok(Some(EndpointSlice {
        service: service.to_owned(),
        family,
        ports: ports(&subject, object.ports.as_deref().unwrap_or_default())?,
        // Exact in size: a cluster has many of them.
        endpoints: endpoints
            .iter()
            .filter_map(|at| endpoint(&subject, family, at))
            .collect::<Box<[_]>>()
            .into_vec(),
        name: subject.name,
    }))
}

/// Entries without a number mean "all ports", which a Service port cannot be sent to.
fn ports(subject: &Subject, ports: &[discovery::EndpointPort]) -> Result<Vec<SlicePort>, ConvertError> {
    let mut found = Vec::new();
    for (index, entry) in ports.iter().enumerate() {
        let at = |field: &str| format!("ports[{index}].{field}");
        if let Some(port) = subject.optional_port(|| at("port"), entry.port)? {
            let name = entry.name.clone().unwrap_or_default();
            let protocol = subject.protocol(|| at("protocol"), entry.protocol.as_deref())?;
            found.push(SlicePort { name, protocol, port });
        }
    }
    Ok(found)
}

fn pod(endpoint: &discovery::Endpoint) -> Option<Box<str>> {
    let target = endpoint.target_ref.as_ref()?;
    let is_pod = target.kind.as_deref() == Some("Pod");
    target.name.as_deref().filter(|_| is_pod).map(Box::from)
}

fn endpoint(subject: &Subject, family: Family, endpoint: &discovery::Endpoint) -> Option<SliceEndpoint> {
    let text = endpoint.addresses.first()?;
    let Some(address) = parse_ip(text).filter(|&address| Family::of(address) == family) else {
        let Subject { kind, name } = subject;
        tracing::warn!("{kind} {name}: endpoint address {text:?} is not of the slice's addressType: ignored");
        return None;
    };
    let conditions = endpoint.conditions.clone().unwrap_or_default();
    let hints = endpoint.hints.clone().unwrap_or_default();
    Some(SliceEndpoint {
        address,
        ready: conditions.ready.unwrap_or(true),
        serving: conditions.serving.unwrap_or(true),
        terminating: conditions.terminating.unwrap_or(false),
        node_name: endpoint.node_name.as_deref().map(Arc::from),
        pod: pod(endpoint),
        zone_hints: hints
            .for_zones
            .into_iter()
            .flatten()
            .map(|zone| zone.name)
            .collect(),
        node_hints: hints
            .for_nodes
            .into_iter()
            .flatten()
            .map(|node| node.name)
            .collect(),
    })
}
