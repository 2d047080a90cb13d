//! Sockets that have been led to an endpoint.

use std::collections::BTreeMap;

use anyhow::Result;
use aya::{
    Pod,
    maps::{HashMap, Map},
};
use proxy_common::{Addr4, Addr6, Address, Cookie, Peer, PeerKey, ServiceName, Socket, TCP, UDP};

use super::{PinDir, hash, name, names, open, protocol, rows::SocketRow, socket};

/// The sockets of the node and of its pods.
///
/// # Errors
/// When nothing is pinned there, or it can't be read.
pub fn sockets(pins: &PinDir) -> Result<Vec<SocketRow>> {
    let names = names(pins)?;
    let mut rows = Vec::new();
    for (map, number) in [("TCP_SOCKETS", TCP), ("UDP_SOCKETS", UDP)] {
        rows.extend(connected::<Addr4>(pins, &names, &format!("{map}4"), number)?);
        rows.extend(connected::<Addr6>(pins, &names, &format!("{map}6"), number)?);
    }
    rows.extend(unconnected::<Addr4>(pins, &names, "DATAGRAMS4")?);
    rows.extend(unconnected::<Addr6>(pins, &names, "DATAGRAMS6")?);
    rows.sort();
    Ok(rows)
}

fn connected<A: Address>(
    pins: &PinDir,
    names: &BTreeMap<u32, ServiceName>,
    map: &str,
    number: u8,
) -> Result<impl Iterator<Item = SocketRow>>
where
    Socket<A>: Pod,
{
    let row = move |(cookie, known): (Cookie, Socket<A>)| SocketRow {
        service: name(names, known.service()),
        protocol: protocol(number),
        socket: cookie.get(),
        connected: true,
        asked: socket(known.asked()),
        endpoint: socket(known.endpoint()),
    };
    Ok(hash(pins, map)?.into_iter().map(row))
}

fn unconnected<A: Address>(
    pins: &PinDir,
    names: &BTreeMap<u32, ServiceName>,
    map: &str,
) -> Result<Vec<SocketRow>>
where
    PeerKey<A>: Pod,
    Peer<A>: Pod,
{
    let row = |(key, peer): (PeerKey<A>, Peer<A>)| SocketRow {
        service: name(names, peer.service()),
        protocol: protocol(UDP),
        socket: key.socket().get(),
        connected: false,
        asked: socket(key.end()),
        endpoint: socket(peer.end()),
    };
    let map: HashMap<_, PeerKey<A>, Peer<A>> = Map::LruHashMap(open(pins, map)?).try_into()?;
    let there = map.iter().flatten().filter(|(key, _)| !key.is_endpoint());
    Ok(there.map(row).collect())
}
