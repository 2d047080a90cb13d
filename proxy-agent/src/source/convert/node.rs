//! `v1` Node.

use k8s_openapi::api::core::v1 as core;

use super::{ConvertError, Subject, label, parse_cidr, parse_ip};
use crate::model::{Node, ObjectKind};

const ZONE_LABEL: &str = "topology.kubernetes.io/zone";

/// Converts a Node: every Node is ours.
///
/// # Errors
/// If a pod CIDR is not valid: guessing which sources are pods would change who is masqueraded.
pub fn node(object: &core::Node) -> Result<Option<Node>, ConvertError> {
    let subject = Subject::cluster_scoped(ObjectKind::Node, &object.metadata)?;
    let addresses = object
        .status
        .as_ref()
        .and_then(|status| status.addresses.as_deref());
    let addresses = addresses
        .unwrap_or_default()
        .iter()
        .filter(|at| matches!(at.type_.as_str(), "InternalIP" | "ExternalIP"))
        .map(|at| at.address.as_str());
    let addresses = subject.keep_valid("status.addresses", addresses, parse_ip);
    Ok(Some(Node {
        addresses,
        pod_cidrs: pod_cidrs(&subject, object.spec.as_ref())?,
        zone: label(&object.metadata, ZONE_LABEL)
            .filter(|zone| !zone.is_empty())
            .map(str::to_owned),
        name: subject.name.name,
    }))
}

fn pod_cidrs(subject: &Subject, spec: Option<&core::NodeSpec>) -> Result<Vec<ipnet::IpNet>, ConvertError> {
    let Some(spec) = spec else { return Ok(Vec::new()) };
    let many = spec.pod_cidrs.as_deref().unwrap_or_default();
    let texts = if many.is_empty() {
        spec.pod_cidr.as_slice()
    } else {
        many
    };
    let parse = |(index, text): (usize, &String)| {
        parse_cidr(text).ok_or_else(|| {
            subject.error(
                format!("spec.podCIDRs[{index}]"),
                text,
                "write a network such as 10.0.1.0/24",
            )
        })
    };
    texts
        .iter()
        .filter(|text| !text.is_empty())
        .enumerate()
        .map(parse)
        .collect()
}
