//! What the dumps say, as rows of a table or JSON objects.

use std::net::{IpAddr, SocketAddr};

use serde::{Serialize, Serializer};

use crate::model::{Family, Protocol};

/// A row of a table.
pub trait Row {
    /// Names of the columns.
    const HEADER: &'static [&'static str];
    /// Their texts.
    fn cells(&self) -> Vec<String>;
}

/// A socket that has been led to an endpoint.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct SocketRow {
    /// `namespace/name:port`.
    pub service: String,
    /// Transport protocol.
    pub protocol: Protocol,
    /// Its number: `SO_COOKIE`, `sk:` of `ss --extended` in hexadecimal.
    pub socket: u64,
    /// By `connect`; else one that sends datagrams to whom it likes.
    pub connected: bool,
    /// Whom the process has asked for.
    pub asked: String,
    /// Who it is.
    pub endpoint: String,
}

/// A frontend and its endpoints.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct ServiceRow {
    /// `namespace/name:port`.
    pub service: String,
    /// Which field of the Service it comes from.
    pub kind: &'static str,
    /// Destination address, `*` for any address of the node.
    pub address: String,
    /// IP family.
    pub family: Family,
    /// Destination port.
    pub port: u16,
    /// Transport protocol.
    pub protocol: Protocol,
    /// Whose source address is replaced: `always`, `off-cluster` (of clients that are no local pods) or `never`. That of a client
    /// that is its own endpoint always is.
    pub masquerade: &'static str,
    /// Whether only clients in `loadBalancerSourceRanges` are let in.
    pub only_from_ranges: bool,
    /// Seconds for which a client keeps its endpoint, 0 without session affinity.
    pub affinity_seconds: u32,
    /// What packets meet when there is no endpoint.
    pub when_empty: &'static str,
    /// Id of the list of endpoints, 0 for none.
    pub list: u32,
    /// `address:port` of each endpoint.
    pub endpoints: Vec<String>,
    /// Those for local pods, where they are others.
    pub endpoints_for_pods: Option<Vec<String>>,
}

/// Something that a Service port asks for and does not get.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct LimitRow {
    /// `namespace/name:port`.
    pub service: String,
    /// Transport protocol.
    pub protocol: Protocol,
    /// What, and where.
    pub limit: &'static str,
}

/// An endpoint of a Service port.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct EndpointRow {
    /// The Service ports whose frontends spread packets over the list.
    pub services: Vec<String>,
    /// Id of the list.
    pub list: u32,
    /// Slot in the list.
    pub slot: u32,
    /// `address:port`.
    pub endpoint: String,
    /// How many of the new connections to the list go there.
    pub share: Percent,
}

/// Hundredths of a percent, shown as percent.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Percent(pub u32);

impl Serialize for Percent {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_f64(f64::from(self.0) / 100.0)
    }
}

/// An entry of a flow table.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct FlowRow {
    /// `namespace/name:port`.
    pub service: String,
    /// Transport protocol.
    pub protocol: Protocol,
    /// `ingress` or `egress`.
    pub hook: &'static str,
    /// `request` or `reply`.
    pub direction: &'static str,
    /// Source that the hook sees.
    pub source: String,
    /// Destination that the hook sees.
    pub destination: String,
    /// The destination (at ingress) or source (at egress) that it puts there.
    pub puts: String,
    /// The port that it puts at the other side.
    pub peer_port: u16,
    /// What the flow has been through.
    pub state: &'static str,
    /// Seconds since the entry's last packet.
    pub idle: u32,
}

/// A counter.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct CounterRow {
    /// Its name.
    pub counter: &'static str,
    /// Its value, over all CPUs.
    pub value: u64,
    /// What it counts.
    pub description: &'static str,
}

impl Row for ServiceRow {
    const HEADER: &'static [&'static str] = &[
        "service",
        "kind",
        "address",
        "protocol",
        "masquerade",
        "endpoints",
    ];

    fn cells(&self) -> Vec<String> {
        let address = match self.address.parse::<IpAddr>() {
            Ok(address) => SocketAddr::new(address, self.port).to_string(),
            Err(_) => format!("*:{} ({})", self.port, self.family),
        };
        let endpoints = if self.endpoints.is_empty() {
            format!("none: {}", self.when_empty)
        } else {
            self.endpoints.join("\n")
        };
        let endpoints = match &self.endpoints_for_pods {
            Some(pods) if pods.is_empty() => format!("{endpoints}\nnone for local pods"),
            Some(pods) => format!("{endpoints}\nfor local pods:\n{}", pods.join("\n")),
            None => endpoints,
        };
        vec![
            self.service.clone(),
            self.kind.to_owned(),
            address,
            self.protocol.to_string(),
            self.masquerade.to_owned(),
            endpoints,
        ]
    }
}

impl Row for LimitRow {
    const HEADER: &'static [&'static str] = &["service", "protocol", "limit"];

    fn cells(&self) -> Vec<String> {
        vec![
            self.service.clone(),
            self.protocol.to_string(),
            self.limit.to_owned(),
        ]
    }
}

impl Row for EndpointRow {
    const HEADER: &'static [&'static str] = &["list", "slot", "endpoint", "share", "services"];

    fn cells(&self) -> Vec<String> {
        let services = if self.services.is_empty() {
            "none, about to be deleted".to_owned()
        } else {
            self.services.join(", ")
        };
        vec![
            self.list.to_string(),
            self.slot.to_string(),
            self.endpoint.clone(),
            format!("{}.{:02} %", self.share.0 / 100, self.share.0 % 100),
            services,
        ]
    }
}

impl Row for FlowRow {
    const HEADER: &'static [&'static str] = &[
        "service",
        "protocol",
        "hook",
        "direction",
        "source",
        "destination",
        "puts",
        "state",
        "idle",
    ];

    fn cells(&self) -> Vec<String> {
        let side = if self.hook == "ingress" {
            "destination"
        } else {
            "source"
        };
        vec![
            self.service.clone(),
            self.protocol.to_string(),
            self.hook.to_owned(),
            self.direction.to_owned(),
            self.source.clone(),
            self.destination.clone(),
            format!("{side} {}", self.puts),
            self.state.to_owned(),
            format!("{} s", self.idle),
        ]
    }
}

impl Row for CounterRow {
    const HEADER: &'static [&'static str] = &["counter", "value", "description"];

    fn cells(&self) -> Vec<String> {
        vec![
            self.counter.to_owned(),
            self.value.to_string(),
            self.description.to_owned(),
        ]
    }
}

impl Row for SocketRow {
    const HEADER: &'static [&'static str] =
        &["service", "protocol", "socket", "connected", "asked", "endpoint"];

    fn cells(&self) -> Vec<String> {
        let connected = if self.connected { "yes" } else { "no" };
        vec![
            self.service.clone(),
            self.protocol.to_string(),
            format!("sk:{:x}", self.socket),
            connected.to_owned(),
            self.asked.clone(),
            self.endpoint.clone(),
        ]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_share_is_a_number_of_percent_with_two_decimals() {
        let row = EndpointRow {
            services: vec!["default/web:http".to_owned()],
            list: 1,
            slot: 0,
            endpoint: "10.0.0.1:80".to_owned(),
            share: Percent(1_205),
        };
        assert_eq!(row.cells()[3], "12.05 %");
        assert_eq!(serde_json::to_value(&row).unwrap()["share"], 12.05);
    }
}
