//! `v1` Service.

use std::net::IpAddr;

use k8s_openapi::api::core::v1 as core;

use super::{ConvertError, Subject, label, parse_cidr, parse_ip, weights::weights};
use crate::model::{Family, ObjectKind, Service, ServicePortSpec, TrafficPolicy};

/// Another proxy serves Services that carry this label, whatever its value.
pub(crate) const PROXY_NAME_LABEL: &str = "service.kubernetes.io/service-proxy-name";

/// Timeout of ClientIP affinity that does not say one, in seconds.
const DEFAULT_AFFINITY_SECONDS: i32 = 10_800;

/// Longest timeout that the API allows: a day, in seconds.
const MAX_AFFINITY_SECONDS: u32 = 86_400;

/// Converts a Service; `None` for ExternalName and headless Services and those that another proxy serves.
///
/// # Errors
/// If a cluster IP, port, protocol or affinity timeout is not valid.
pub fn service(object: &core::Service) -> Result<Option<Service>, ConvertError> {
    let subject = Subject::namespaced(ObjectKind::Service, &object.metadata)?;
    let Some(spec) = &object.spec else { return Ok(None) };
    let cluster_ips = cluster_ips(&subject, spec)?;
    let is_foreign = label(&object.metadata, PROXY_NAME_LABEL).is_some();
    if is_foreign || spec.type_.as_deref() == Some("ExternalName") || cluster_ips.is_empty() {
        return Ok(None);
    }
    let list = |field: &Option<Vec<String>>| field.clone().unwrap_or_default();
    Ok(Some(Service {
        cluster_ips,
        external_ips: subject.keep_valid("spec.externalIPs", list(&spec.external_ips), parse_ip),
        load_balancer_ips: load_balancer_ips(&subject, object.status.as_ref()),
        source_ranges: subject.keep_valid(
            "spec.loadBalancerSourceRanges",
            list(&spec.load_balancer_source_ranges),
            parse_cidr,
        ),
        ports: ports(&subject, spec)?,
        internal_traffic_policy: policy(spec.internal_traffic_policy.as_deref()),
        external_traffic_policy: policy(spec.external_traffic_policy.as_deref()),
        session_affinity: session_affinity(&subject, spec)?,
        health_check_node_port: health_check_node_port(&subject, spec)?,
        weights: weights(&subject, &object.metadata),
        name: subject.name,
    }))
}

/// What the API server would have assigned to a Service, and nobody else does.
pub(crate) fn check_assigned(object: &core::Service) -> Result<(), ConvertError> {
    let subject = Subject::namespaced(ObjectKind::Service, &object.metadata)?;
    let Some(spec) = &object.spec else { return Ok(()) };
    let is_set = |text: &String| !text.is_empty();
    let has_cluster_ip = spec
        .cluster_ip
        .iter()
        .chain(spec.cluster_ips.iter().flatten())
        .any(is_set);
    let kind = spec.type_.as_deref();
    if !has_cluster_ip && kind != Some("ExternalName") {
        let remedy = "write an IP address, or None for a headless Service: manifests get none assigned";
        return Err(subject.error("spec.clusterIP", "", remedy));
    }
    let is_assigned = |port: &core::ServicePort| port.node_port.is_some_and(|port| port != 0);
    let ports = spec.ports.as_deref().unwrap_or_default();
    match ports.iter().position(|port| !is_assigned(port)) {
        Some(index) if kind == Some("NodePort") => {
            let remedy = "write a port number: manifests get none assigned";
            Err(subject.error(format!("spec.ports[{index}].nodePort"), "", remedy))
        }
        _ => Ok(()),
    }
}

/// The first cluster IP of each family; none if the Service is headless or has not got one yet.
fn cluster_ips(subject: &Subject, spec: &core::ServiceSpec) -> Result<Vec<IpAddr>, ConvertError> {
    let many = spec.cluster_ips.as_deref().unwrap_or_default();
    let texts = if many.is_empty() {
        spec.cluster_ip.as_slice()
    } else {
        many
    };
    let mut found: Vec<IpAddr> = Vec::new();
    for (index, text) in texts.iter().enumerate() {
        if text.is_empty() || text == "None" {
            return Ok(Vec::new());
        }
        let field = if many.is_empty() {
            "spec.clusterIP".to_owned()
        } else {
            format!("spec.clusterIPs[{index}]")
        };
        let address =
            parse_ip(text).ok_or_else(|| subject.error(field, text, "write an IP address or None"))?;
        if !found
            .iter()
            .any(|other| Family::of(*other) == Family::of(address))
        {
            found.push(address);
        }
    }
    Ok(found)
}

/// Addresses whose traffic may stay in the cluster: with `ipMode: Proxy` it must pass the load balancer.
fn load_balancer_ips(subject: &Subject, status: Option<&core::ServiceStatus>) -> Vec<IpAddr> {
    let ingress = status
        .and_then(|status| status.load_balancer.as_ref()?.ingress.as_deref())
        .unwrap_or_default();
    let addresses = ingress
        .iter()
        .filter(|at| at.ip_mode.as_deref().is_none_or(|mode| mode == "VIP"))
        .filter_map(|at| at.ip.as_deref())
        .filter(|ip| !ip.is_empty());
    subject.keep_valid("status.loadBalancer.ingress", addresses, parse_ip)
}

fn ports(subject: &Subject, spec: &core::ServiceSpec) -> Result<Vec<ServicePortSpec>, ConvertError> {
    let ports = spec.ports.as_deref().unwrap_or_default();
    ports
        .iter()
        .enumerate()
        .map(|(index, port)| service_port(subject, index, port))
        .collect()
}

fn service_port(
    subject: &Subject,
    index: usize,
    port: &core::ServicePort,
) -> Result<ServicePortSpec, ConvertError> {
    let at = |field: &str| format!("spec.ports[{index}].{field}");
    Ok(ServicePortSpec {
        name: port.name.clone().unwrap_or_default(),
        protocol: subject.protocol(|| at("protocol"), port.protocol.as_deref())?,
        port: subject.port(|| at("port"), port.port)?,
        node_port: subject.optional_port(|| at("nodePort"), port.node_port)?,
    })
}

fn policy(text: Option<&str>) -> TrafficPolicy {
    match text {
        Some("Local") => TrafficPolicy::Local,
        _ => TrafficPolicy::Cluster,
    }
}

fn session_affinity(subject: &Subject, spec: &core::ServiceSpec) -> Result<Option<u32>, ConvertError> {
    if spec.session_affinity.as_deref() != Some("ClientIP") {
        return Ok(None);
    }
    let config = spec
        .session_affinity_config
        .as_ref()
        .and_then(|config| config.client_ip.as_ref());
    let seconds = config
        .and_then(|config| config.timeout_seconds)
        .unwrap_or(DEFAULT_AFFINITY_SECONDS);
    match u32::try_from(seconds) {
        Ok(timeout @ 1..=MAX_AFFINITY_SECONDS) => Ok(Some(timeout)),
        _ => {
            let field = "spec.sessionAffinityConfig.clientIP.timeoutSeconds";
            Err(subject.error(field, seconds, "write a number of seconds from 1 to 86400"))
        }
    }
}

/// The API server keeps the field when a Service stops being a load balancer, so the type decides.
fn health_check_node_port(subject: &Subject, spec: &core::ServiceSpec) -> Result<Option<u16>, ConvertError> {
    let port = spec
        .health_check_node_port
        .filter(|_| spec.type_.as_deref() == Some("LoadBalancer"));
    subject.optional_port(|| "spec.healthCheckNodePort".to_owned(), port)
}
