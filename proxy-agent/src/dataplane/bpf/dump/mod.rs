//! What is in the pinned maps, for people and programs. Needs no running agent.

mod rows;
mod sockets;

use std::{
    collections::BTreeMap,
    net::{IpAddr, SocketAddr},
};

pub use self::rows::{CounterRow, EndpointRow, FlowRow, LimitRow, Percent, Row, ServiceRow, SocketRow};
pub use self::sockets::sockets;
use super::{
    alias::{Share, hundredths_of_percent},
    clock::now,
    object::PinDir,
};
use crate::model::{Family, Protocol};
use anyhow::{Context, Result};
use aya::{
    Pod,
    maps::{Array, HashMap, Map, MapData, PerCpuArray},
};
use proxy_common::{
    Addr4, Addr6, Address, Counter, Endpoint, EndpointKey, Flow, FlowFlags, FlowKey, Frontend, FrontendFlags,
    FrontendKey, FrontendKind, Limits, Port, ServiceName, Settings, TCP, UDP,
};

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

/// The Service ports that are not served.
///
/// # Errors
/// When nothing is pinned there, or it can't be read.
pub fn limits(pins: &PinDir) -> Result<Vec<LimitRow>> {
    let rows = names(pins)?.into_values().flat_map(|name| {
        let limits = LIMITS.iter().filter(move |(limit, _)| name.limits().has(*limit));
        limits.map(move |(_, meaning)| LimitRow {
            service: name.text().to_owned(),
            protocol: protocol(name.protocol()),
            limit: meaning,
        })
    });
    let mut rows: Vec<_> = rows.collect();
    rows.sort();
    Ok(rows)
}

/// The endpoints of a TCP Service at this address and port, as far as this node has served it. None if nothing is pinned there.
#[must_use]
pub fn behind(pins: &PinDir, service: SocketAddr) -> Vec<SocketAddr> {
    let endpoints = match service.ip() {
        IpAddr::V4(_) => behind_of::<Addr4>(pins, service, "4"),
        IpAddr::V6(_) => behind_of::<Addr6>(pins, service, "6"),
    };
    endpoints.unwrap_or_default()
}

fn behind_of<A>(pins: &PinDir, service: SocketAddr, suffix: &str) -> Result<Vec<SocketAddr>>
where
    A: Address,
    FrontendKey<A>: Pod + Ord,
    Endpoint<A>: Pod,
{
    let frontends: HashMap<_, FrontendKey<A>, Frontend> =
        Map::HashMap(open(pins, &format!("FRONTENDS{suffix}"))?).try_into()?;
    let endpoints: HashMap<_, EndpointKey, Endpoint<A>> =
        Map::HashMap(open(pins, &format!("ENDPOINTS{suffix}"))?).try_into()?;
    let address = A::from_ip(service.ip()).context("of the other family")?;
    let key = FrontendKey::new(address, Port::new(service.port()), TCP);
    let list = frontends.get(&key, 0)?.list_for(false);
    let endpoint = |slot| -> Result<SocketAddr> {
        let endpoint = endpoints.get(&EndpointKey::new(list.id, slot), 0)?;
        Ok(SocketAddr::new(endpoint.address().to_ip(), endpoint.port().get()))
    };
    (0..list.len).map(endpoint).collect()
}

const LIMITS: [(Limits, &str); 1] = [(Limits::PROTOCOL, "SCTP: not by programs, only by iptables rules")];

/// Whether the programs open no flows: they have not begun, or rules have the new ones.
///
/// # Errors
/// When nothing is pinned there, or it can't be read.
pub fn is_draining(pins: &PinDir) -> Result<bool> {
    Ok(settings(pins)?.is_draining())
}

/// What the agent has told the programs of the node.
///
/// # Errors
/// When nothing is pinned there, or it can't be read.
pub fn settings(pins: &PinDir) -> Result<Settings> {
    let settings: Array<_, Settings> = Map::Array(open(pins, "SETTINGS")?).try_into()?;
    Ok(settings.get(&0, 0)?)
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
        let (list, for_pods) = (frontend.list_for(false).id, frontend.list_for(true).id);
        let texts = |list: u32| -> Vec<String> {
            let slots = endpoints.get(&list).into_iter().flat_map(BTreeMap::values);
            slots.map(|(endpoint, _)| endpoint.clone()).collect()
        };
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
            masquerade: masquerade(frontend.flags()),
            only_from_ranges: frontend.flags().has(FrontendFlags::SOURCE_RANGES),
            affinity_seconds: frontend.affinity_timeout(),
            when_empty: if frontend.flags().has(FrontendFlags::SILENT) {
                "drop"
            } else {
                "reject"
            },
            list,
            endpoints: texts(list),
            endpoints_for_pods: (for_pods != list).then(|| texts(for_pods)),
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
        let owner = name(names, frontend.service());
        for list in frontend.list_ids() {
            let owners = owners.entry(list).or_default();
            if !owners.contains(&owner) {
                owners.push(owner.clone());
            }
        }
    }
    let mut rows = Vec::new();
    for (list, slots) in lists::<A>(pins, suffix)? {
        let services = owners.remove(&list).unwrap_or_default();
        let shares: Vec<Share> = slots.values().map(|(_, share)| *share).collect();
        let shares = hundredths_of_percent(&shares).into_iter().map(Percent);
        rows.extend(
            slots
                .into_iter()
                .zip(shares)
                .map(|((slot, (endpoint, _)), share)| EndpointRow {
                    services: services.clone(),
                    list,
                    slot,
                    endpoint,
                    share,
                }),
        );
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

/// Text and share of each slot of each list.
type Lists = BTreeMap<u32, BTreeMap<u32, (String, Share)>>;

fn lists<A: Address>(pins: &PinDir, suffix: &str) -> Result<Lists>
where
    Endpoint<A>: Pod,
{
    let mut lists = Lists::new();
    for (key, endpoint) in hash::<EndpointKey, Endpoint<A>>(pins, &format!("ENDPOINTS{suffix}"))? {
        let text = socket((endpoint.address(), endpoint.port()));
        let slots = lists.entry(key.list()).or_default();
        slots.insert(key.slot(), (text, Share::of(&endpoint)));
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

/// A pinned map.
pub(super) fn open(pins: &PinDir, name: &str) -> Result<MapData> {
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

const fn masquerade(flags: FrontendFlags) -> &'static str {
    if flags.has(FrontendFlags::MASQUERADE) {
        "always"
    } else if flags.has(FrontendFlags::MASQUERADE_OFF_CLUSTER) {
        "off-cluster"
    } else {
        "never"
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
