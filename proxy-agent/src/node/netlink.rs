//! Reads links, addresses and default routes over netlink.

use std::{collections::BTreeMap, net::IpAddr, time::Duration};

use futures::{Stream, TryStreamExt as _};
use ipnet::IpNet;
use rtnetlink::{
    Handle,
    packet_route::{
        address::{self, AddressAttribute, AddressFlags, AddressMessage},
        link::{LinkAttribute, LinkInfo, LinkMessage},
        route::{RouteAttribute, RouteHeader, RouteMessage, RouteType},
    },
};

use super::{AddressScope, InterfaceAddress, Link, NodeError, NodeFacts};
use crate::model::Family;

/// A dump takes milliseconds; one that lost messages would never end.
const DUMP_TIMEOUT: Duration = Duration::from_secs(10);

/// Reads the facts once, from the network namespace of the calling thread.
///
/// # Errors
///
/// If netlink cannot be opened or the kernel does not answer.
pub async fn dump() -> Result<NodeFacts, NodeError> {
    // An own socket, apart from the one that events arrive on: a burst of events cannot push out the dump's answers.
    let (connection, handle, _messages) = rtnetlink::new_connection().map_err(NodeError::Socket)?;
    tokio::select! {
        () = connection => Err(NodeError::Closed),
        facts = tokio::time::timeout(DUMP_TIMEOUT, read(&handle)) => facts.map_err(|_| NodeError::Timeout(DUMP_TIMEOUT))?,
    }
}

async fn read(handle: &Handle) -> Result<NodeFacts, NodeError> {
    Ok(NodeFacts {
        links: links(handle).await?,
        addresses: addresses(handle).await?,
        default_route_ifindex: default_routes(handle).await?,
        forward_mark: None,
    })
}

async fn links(handle: &Handle) -> Result<BTreeMap<u32, Link>, NodeError> {
    let links: Vec<_> = collect("links", handle.link().get().execute()).await?;
    Ok(links.iter().map(link).map(|link| (link.index, link)).collect())
}

async fn addresses(handle: &Handle) -> Result<BTreeMap<u32, Vec<InterfaceAddress>>, NodeError> {
    let mut addresses: BTreeMap<_, Vec<_>> = BTreeMap::new();
    for message in collect("addresses", handle.address().get().execute()).await? {
        if let Some(address) = interface_address(&message) {
            addresses.entry(message.header.index).or_default().push(address);
        }
    }
    Ok(addresses)
}

async fn default_routes(handle: &Handle) -> Result<BTreeMap<Family, u32>, NodeError> {
    let mut devices = BTreeMap::new();
    for family in Family::ALL {
        let mut request = RouteMessage::default();
        request.header.address_family = match family {
            Family::V4 => rtnetlink::packet_route::AddressFamily::Inet,
            Family::V6 => rtnetlink::packet_route::AddressFamily::Inet6,
        };
        let routes = collect("routes", handle.route().get(request).execute()).await?;
        let best = routes
            .iter()
            .filter_map(default_route)
            .min_by_key(|(metric, _)| *metric);
        devices.extend(best.map(|(_, ifindex)| (family, ifindex)));
    }
    Ok(devices)
}

async fn collect<T>(
    what: &'static str,
    stream: impl Stream<Item = Result<T, rtnetlink::Error>>,
) -> Result<Vec<T>, NodeError> {
    stream
        .try_collect()
        .await
        .map_err(|source| NodeError::Dump { what, source })
}

fn link(message: &LinkMessage) -> Link {
    let mut link = Link {
        index: message.header.index,
        arp_type: message.header.link_layer_type.into(),
        flags: message.header.flags.bits(),
        ..Link::default()
    };
    for attribute in &message.attributes {
        match attribute {
            LinkAttribute::IfName(name) => link.name.clone_from(name),
            LinkAttribute::Address(address) => link.mac = address.as_slice().try_into().ok(),
            LinkAttribute::Controller(master) => link.master = Some(*master),
            LinkAttribute::Link(peer) => link.peer = Some(*peer),
            LinkAttribute::LinkNetNsId(id) => link.peer_netns = Some(*id),
            LinkAttribute::LinkInfo(info) => kinds(&mut link, info),
            _ => {}
        }
    }
    link
}

fn kinds(link: &mut Link, info: &[LinkInfo]) {
    for attribute in info {
        match attribute {
            LinkInfo::Kind(kind) => link.kind = Some(kind.to_string()),
            LinkInfo::PortKind(kind) => link.master_kind = Some(kind.to_string()),
            _ => {}
        }
    }
}

fn interface_address(message: &AddressMessage) -> Option<InterfaceAddress> {
    let (mut local, mut other_end) = (None, None);
    let mut flags = AddressFlags::from_bits_retain(message.header.flags.bits().into());
    for attribute in &message.attributes {
        match attribute {
            AddressAttribute::Local(address) => local = Some(*address),
            // On point-to-point devices the peer's address; elsewhere the node's own.
            AddressAttribute::Address(address) => other_end = Some(*address),
            AddressAttribute::Flags(all) => flags = *all,
            _ => {}
        }
    }
    let address: IpAddr = local.or(other_end)?;
    let unusable = AddressFlags::Deprecated | AddressFlags::Tentative | AddressFlags::Dadfailed;
    Some(InterfaceAddress {
        net: IpNet::new(address, message.header.prefix_len).ok()?,
        scope: scope(message.header.scope),
        usable: !flags.intersects(unusable),
    })
}

const fn scope(scope: address::AddressScope) -> AddressScope {
    match scope {
        address::AddressScope::Universe => AddressScope::Global,
        address::AddressScope::Link => AddressScope::Link,
        address::AddressScope::Host => AddressScope::Host,
        _ => AddressScope::Other,
    }
}

/// Metric and device of a default route of the main table.
fn default_route(route: &RouteMessage) -> Option<(u32, u32)> {
    let header = &route.header;
    let is_default = header.destination_prefix_length == 0
        && header.table == RouteHeader::RT_TABLE_MAIN
        && header.kind == RouteType::Unicast;
    let metric = route.attributes.iter().find_map(|attribute| match attribute {
        RouteAttribute::Priority(metric) => Some(*metric),
        _ => None,
    });
    let device = route.attributes.iter().find_map(|attribute| match attribute {
        RouteAttribute::Oif(ifindex) => Some(*ifindex),
        RouteAttribute::MultiPath(hops) => hops.first().map(|hop| hop.interface_index),
        _ => None,
    });
    is_default.then_some((metric.unwrap_or(0), device?))
}
