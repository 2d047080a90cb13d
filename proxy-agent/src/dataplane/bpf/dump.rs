//! What is in the pinned maps, for people and programs. Needs no running agent.

use std::{
    collections::BTreeMap,
    net::{IpAddr, SocketAddr},
};

use anyhow::{Context, Result};
use aya::{
    Pod,
    maps::{HashMap, Map, MapData, PerCpuArray},
};
use proxy_common::{
    Addr4, Addr6, Address, Counter, Endpoint, EndpointKey, Flow, FlowFlags, FlowKey, Frontend, FrontendFlags,
    FrontendKey, FrontendKind, Port, ServiceName, TCP, UDP,
};
use serde::Serialize;

use super::object::PinDir;
use crate::model::{Family, Protocol};

/// A row of a table.
pub trait Row {
    /// Names of the columns.
    const HEADER: &'static [&'static str];
    /// Their texts.
    fn cells(&self) -> Vec<String>;
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
    /// Whether every client's source address is replaced.
    pub masquerade: bool,
    /// What packets meet when there is no endpoint.
    pub when_empty: &'static str,
    /// Id of the list of endpoints, 0 for none.
    pub list: u32,
    /// `address:port` of each endpoint.
    pub endpoints: Vec<String>,
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

/// The frontends.
///
/// # Errors
/// When nothing is pinned there, or it can't be read.
pub fn services(pins: &PinDir) -> Result<Vec<ServiceRow>> {
    let names = names(pins)?;
    let mut rows = services_of::<Addr4>(pins, &names, Family::V4, "4")?;
    rows.extend(services_of::<Addr6>(pins, &names, Family::V6, "6")?);
    rows.sort();
    Ok(rows)
}

/// The endpoint lists.
///
/// # Errors
/// When nothing is pinned there, or it can't be read.
pub fn endpoints(pins: &PinDir) -> Result<Vec<EndpointRow>> {
    let names = names(pins)?;
    let mut rows = endpoints_of::<Addr4>(pins, &names, "4")?;
    rows.extend(endpoints_of::<Addr6>(pins, &names, "6")?);
    rows.sort();
    Ok(rows)
}

/// The flow tables.
///
/// # Errors
/// When nothing is pinned there, or it can't be read.
pub fn flows(pins: &PinDir) -> Result<Vec<FlowRow>> {
    let names = names(pins)?;
    let now = now()?;
    let mut rows = Vec::new();
    for (hook, table) in [("ingress", "INGRESS_FLOWS"), ("egress", "EGRESS_FLOWS")] {
        rows.extend(flows_of::<Addr4>(pins, &names, hook, &format!("{table}4"), now)?);
        rows.extend(flows_of::<Addr6>(pins, &names, hook, &format!("{table}6"), now)?);
    }
    rows.sort();
    Ok(rows)
}

/// The counters.
///
/// # Errors
/// When nothing is pinned there, or it can't be read.
pub fn counters(pins: &PinDir) -> Result<Vec<CounterRow>> {
    let map: PerCpuArray<_, u64> = Map::PerCpuArray(open(pins, "COUNTERS")?).try_into()?;
    let row = |counter: &Counter| {
        let value = map.get(&(*counter as u32), 0)?.iter().sum();
        Ok(CounterRow {
            counter: counter.name(),
            value,
            description: counter.description().trim(),
        })
    };
    Counter::ALL.iter().map(row).collect()
}

fn services_of<A>(
    pins: &PinDir,
    names: &BTreeMap<u32, ServiceName>,
    family: Family,
    suffix: &str,
) -> Result<Vec<ServiceRow>>
where
    A: Address,
    FrontendKey<A>: Pod + Ord,
    Endpoint<A>: Pod,
{
    let endpoints = lists::<A>(pins, suffix)?;
    let row = |(key, frontend): (FrontendKey<A>, Frontend)| {
        let node_port = key.address() == A::ANY;
        let (list, _) = frontend.list();
        ServiceRow {
            service: name(names, frontend.service()),
            kind: kind(&frontend),
            address: if node_port {
                "*".to_owned()
            } else {
                key.address().to_ip().to_string()
            },
            family,
            port: key.port().get(),
            protocol: protocol(key.protocol()),
            masquerade: frontend.flags().has(FrontendFlags::MASQUERADE),
            when_empty: if frontend.flags().has(FrontendFlags::SILENT) {
                "drop"
            } else {
                "reject"
            },
            list,
            endpoints: endpoints
                .get(&list)
                .map(|slots| slots.values().cloned().collect())
                .unwrap_or_default(),
        }
    };
    Ok(
        hash::<FrontendKey<A>, Frontend>(pins, &format!("FRONTENDS{suffix}"))?
            .into_iter()
            .map(row)
            .collect(),
    )
}

fn endpoints_of<A>(
    pins: &PinDir,
    names: &BTreeMap<u32, ServiceName>,
    suffix: &str,
) -> Result<Vec<EndpointRow>>
where
    A: Address,
    FrontendKey<A>: Pod + Ord,
    Endpoint<A>: Pod,
{
    let mut owners: BTreeMap<u32, Vec<String>> = BTreeMap::new();
    for frontend in hash::<FrontendKey<A>, Frontend>(pins, &format!("FRONTENDS{suffix}"))?.values() {
        let owners = owners.entry(frontend.list().0).or_default();
        let owner = name(names, frontend.service());
        if !owners.contains(&owner) {
            owners.push(owner);
        }
    }
    let mut rows = Vec::new();
    for (list, slots) in lists::<A>(pins, suffix)? {
        let services = owners.remove(&list).unwrap_or_default();
        rows.extend(slots.into_iter().map(|(slot, endpoint)| EndpointRow {
            services: services.clone(),
            list,
            slot,
            endpoint,
        }));
    }
    Ok(rows)
}

fn flows_of<A>(
    pins: &PinDir,
    names: &BTreeMap<u32, ServiceName>,
    hook: &'static str,
    table: &str,
    now: u32,
) -> Result<Vec<FlowRow>>
where
    A: Address,
    FlowKey<A>: Pod + Ord,
    Flow<A>: Pod,
{
    let row = |(key, flow): (FlowKey<A>, Flow<A>)| FlowRow {
        service: name(names, flow.service()),
        protocol: protocol(key.protocol()),
        hook,
        direction: if flow.flags().has(FlowFlags::REQUEST) {
            "request"
        } else {
            "reply"
        },
        source: socket(key.source()),
        destination: socket(key.destination()),
        puts: socket(flow.put()),
        peer_port: flow.peer_port().get(),
        state: if flow.is_expired(key.protocol(), now) {
            "expired"
        } else {
            flow.state().name(key.protocol())
        },
        idle: now.saturating_sub(flow.last_seen()),
    };
    let map: HashMap<_, FlowKey<A>, Flow<A>> = Map::LruHashMap(open(pins, table)?).try_into()?;
    // An entry that is evicted while its table is read is no error.
    Ok(map.iter().flatten().map(row).collect())
}

fn lists<A: Address>(pins: &PinDir, suffix: &str) -> Result<BTreeMap<u32, BTreeMap<u32, String>>>
where
    Endpoint<A>: Pod,
{
    let mut lists: BTreeMap<u32, BTreeMap<u32, String>> = BTreeMap::new();
    for (key, endpoint) in hash::<EndpointKey, Endpoint<A>>(pins, &format!("ENDPOINTS{suffix}"))? {
        lists
            .entry(key.list())
            .or_default()
            .insert(key.slot(), socket((endpoint.address(), endpoint.port())));
    }
    Ok(lists)
}

fn names(pins: &PinDir) -> Result<BTreeMap<u32, ServiceName>> {
    hash(pins, "SERVICES")
}

fn name(names: &BTreeMap<u32, ServiceName>, id: u32) -> String {
    names
        .get(&id)
        .map_or_else(|| format!("deleted (id {id})"), |name| name.text().to_owned())
}

fn hash<K: Pod + Ord, V: Pod>(pins: &PinDir, name: &str) -> Result<BTreeMap<K, V>> {
    let map: HashMap<_, K, V> = Map::HashMap(open(pins, name)?).try_into()?;
    Ok(map.iter().flatten().collect())
}

fn open(pins: &PinDir, name: &str) -> Result<MapData> {
    let path = pins.map(name);
    MapData::from_pin(&path).with_context(|| {
        format!("cannot open {}: is `kube-portal run` serving this node, and are you root? (--pin-root says where)", path.display())
    })
}

fn socket<A: Address>((address, port): (A, Port)) -> String {
    SocketAddr::new(address.to_ip(), port.get()).to_string()
}

fn protocol(number: u8) -> Protocol {
    match number {
        TCP => Protocol::Tcp,
        UDP => Protocol::Udp,
        _ => Protocol::Sctp,
    }
}

const fn kind(frontend: &Frontend) -> &'static str {
    match frontend.kind() {
        Some(FrontendKind::ClusterIP) => "ClusterIP",
        Some(FrontendKind::ExternalIP) => "ExternalIP",
        Some(FrontendKind::LoadBalancer) => "LoadBalancer",
        Some(FrontendKind::NodePort) => "NodePort",
        None => "?",
    }
}

/// The programs' clock: seconds of CLOCK_MONOTONIC.
fn now() -> Result<u32> {
    let now = nix::time::clock_gettime(nix::time::ClockId::CLOCK_MONOTONIC)?;
    Ok(u32::try_from(now.tv_sec())?)
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
            Err(_) => format!(
                "*:{} ({})",
                self.port,
                if self.family == Family::V4 { "IPv4" } else { "IPv6" }
            ),
        };
        let endpoints = if self.endpoints.is_empty() {
            format!("none: {}", self.when_empty)
        } else {
            self.endpoints.join("\n")
        };
        let masquerade = if self.masquerade { "yes" } else { "no" };
        vec![
            self.service.clone(),
            self.kind.to_owned(),
            address,
            self.protocol.to_string(),
            masquerade.to_owned(),
            endpoints,
        ]
    }
}

impl Row for EndpointRow {
    const HEADER: &'static [&'static str] = &["list", "slot", "endpoint", "services"];

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
