//! What a node shall do, in words.

use std::{
    fmt::{self, Write as _},
    net::SocketAddr,
};

use proxy_agent::model::{
    Desired, EndpointList, Family, Frontend, FrontendKey, ListKey, LocalTraffic, Masquerade, NodeRules,
    ServicePort, ServicePortId,
};

/// Nothing for a node that has nothing to do.
pub(crate) fn in_words(desired: &Desired) -> String {
    let mut text = String::new();
    write(&mut text, desired).expect("a string takes all");
    text
}

fn write(text: &mut String, desired: &Desired) -> fmt::Result {
    for family in Family::ALL {
        rules(text, &desired.node, family)?;
    }
    for (id, port) in &desired.service_ports {
        service_port(text, id, port)?;
    }
    for (key, at) in &desired.frontends {
        frontend(text, key, at)?;
    }
    for (key, list) in &desired.lists {
        endpoints(text, key, list)?;
    }
    for conflict in desired.refused.keys().flat_map(|key| desired.conflicts(key)) {
        writeln!(text, "conflict: {conflict}")?;
    }
    Ok(())
}

fn rules(text: &mut String, node: &NodeRules, family: Family) -> fmt::Result {
    let rules = node.of(family);
    if let LocalTraffic::Source(pods) = &rules.local_traffic {
        let masquerade = rules.masquerade;
        writeln!(text, "pods are {pods}; at cluster IPs masquerade {masquerade:?}")?;
    }
    Ok(())
}

fn service_port(text: &mut String, id: &ServicePortId, port: &ServicePort) -> fmt::Result {
    write!(text, "Service port {id}/{}", id.protocol)?;
    if let Some(seconds) = port.session_affinity {
        write!(text, ", affinity of {seconds} s")?;
    }
    if let Some(port) = port.health_check_node_port {
        write!(text, ", health check at {port}")?;
    }
    writeln!(text)
}

fn frontend(text: &mut String, key: &FrontendKey, at: &Frontend) -> fmt::Result {
    write!(text, "{key} is a {:?} of {}: ", at.kind, at.service_port)?;
    match at.external_clients == at.internal_clients {
        true => write!(text, "everyone to {:?}", at.external_clients)?,
        false => write!(
            text,
            "pods and node to {:?}, others to {:?}",
            at.internal_clients, at.external_clients
        )?,
    }
    if at.masquerade != Masquerade::Never {
        write!(text, ", masquerade {:?}", at.masquerade)?;
    }
    write!(text, ", {:?} if empty", at.when_empty)?;
    if !at.source_ranges.is_empty() {
        let ranges: Vec<String> = at.source_ranges.iter().map(ToString::to_string).collect();
        write!(text, ", only from {}", ranges.join(" and "))?;
    }
    writeln!(text)
}

/// Each endpoint with the probability of kube-proxy's rule for it: its share of what the rules before it leave over.
fn endpoints(text: &mut String, key: &ListKey, list: &EndpointList) -> fmt::Result {
    let ListKey {
        service_port,
        family,
        scope,
    } = key;
    let empty = if list.endpoints.is_empty() {
        " is empty"
    } else {
        ""
    };
    writeln!(
        text,
        "list {service_port}/{} {family:?} {scope:?}{empty}",
        service_port.protocol
    )?;
    let mut left: f64 = list.endpoints.iter().map(|at| f64::from(at.weight)).sum();
    for at in &list.endpoints {
        let probability = if at.weight == 0 {
            0.0
        } else {
            f64::from(at.weight) / left
        };
        left -= f64::from(at.weight);
        let local = if at.local { ", here" } else { "" };
        writeln!(
            text,
            "    {} with {probability:.10}{local}",
            SocketAddr::new(at.address, at.port)
        )?;
    }
    Ok(())
}
