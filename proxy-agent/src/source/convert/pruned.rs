//! Objects without what is bulky and of no use here: most metadata is never even taken out of the text.

use std::collections::BTreeMap;

use k8s_openapi::{
    api::{core::v1 as core, discovery::v1 as discovery, networking::v1 as networking},
    apimachinery::pkg::apis::meta::v1::ObjectMeta,
};
use serde::{Deserialize, Deserializer};

use super::WEIGHTS_ANNOTATION;

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Metadata {
    name: Option<String>,
    namespace: Option<String>,
    labels: Option<BTreeMap<String, String>>,
    annotations: Option<Annotations>,
}

/// The only one that has a meaning here.
#[derive(Deserialize)]
struct Annotations {
    #[serde(rename = "kube-portal.io/weights")]
    weights: Option<String>,
}

#[derive(Deserialize)]
struct ServiceObject {
    metadata: Option<Metadata>,
    spec: Option<core::ServiceSpec>,
    status: Option<core::ServiceStatus>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct EndpointSliceObject {
    metadata: Option<Metadata>,
    address_type: Option<String>,
    endpoints: Option<Vec<discovery::Endpoint>>,
    ports: Option<Vec<discovery::EndpointPort>>,
}

#[derive(Deserialize)]
struct ServiceCidrObject {
    metadata: Option<Metadata>,
    spec: Option<networking::ServiceCIDRSpec>,
}

#[derive(Deserialize)]
struct NodeObject {
    metadata: Option<Metadata>,
    spec: Option<core::NodeSpec>,
    status: Option<NodeStatus>,
}

#[derive(Deserialize)]
struct NodeStatus {
    addresses: Option<Vec<core::NodeAddress>>,
}

pub(super) fn service<'de, D: Deserializer<'de>>(deserializer: D) -> Result<core::Service, D::Error> {
    let object = ServiceObject::deserialize(deserializer)?;
    Ok(core::Service {
        metadata: metadata(object.metadata),
        spec: object.spec,
        status: object.status,
    })
}

pub(super) fn endpoint_slice<'de, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<discovery::EndpointSlice, D::Error> {
    let object = EndpointSliceObject::deserialize(deserializer)?;
    Ok(discovery::EndpointSlice {
        metadata: metadata(object.metadata),
        address_type: object.address_type.unwrap_or_default(),
        endpoints: object.endpoints,
        ports: object.ports,
    })
}

pub(super) fn node<'de, D: Deserializer<'de>>(deserializer: D) -> Result<core::Node, D::Error> {
    let object = NodeObject::deserialize(deserializer)?;
    Ok(core::Node {
        metadata: metadata(object.metadata),
        spec: object.spec,
        status: object.status.map(|status| core::NodeStatus {
            addresses: status.addresses,
            ..core::NodeStatus::default()
        }),
    })
}

pub(super) fn service_cidr<'de, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<networking::ServiceCIDR, D::Error> {
    let object = ServiceCidrObject::deserialize(deserializer)?;
    Ok(networking::ServiceCIDR {
        metadata: metadata(object.metadata),
        spec: object.spec,
        status: None,
    })
}

fn metadata(metadata: Option<Metadata>) -> ObjectMeta {
    metadata.map_or_else(ObjectMeta::default, |metadata| ObjectMeta {
        name: metadata.name,
        namespace: metadata.namespace,
        labels: metadata.labels,
        annotations: metadata
            .annotations
            .and_then(|annotations| annotations.weights)
            .map(|weights| BTreeMap::from([(WEIGHTS_ANNOTATION.to_owned(), weights)])),
        ..ObjectMeta::default()
    })
}
