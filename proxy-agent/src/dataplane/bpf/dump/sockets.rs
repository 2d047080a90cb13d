//! Sockets that have been led to an endpoint.

use std::collections::BTreeMap;

use anyhow::Result;
use aya::{
    Pod,
    maps::{HashMap, Map},
};
use proxy_common::{Addr4, Addr6, Address, Cookie, Peer, PeerKey, ServiceName, Socket, TCP, UDP};

use super::{PinDir, hash, name, names, open, protocol, rows::SocketRow, socket};
use crate::dataplane::bpf::sockets::ends;

/// The sockets of the node and of its pods.
///
/// # Errors
/// When nothing is pinned there, or it can't be read.
pub fn sockets(pins: &PinDir) -> Result<Vec<SocketRow>> {
    let names = names(pins)?;
    let mut rows = Vec::new();
    rows.extend(connected(pins, &names, "TCP_SOCKETS", TCP)?);
    rows.extend(connected(pins, &names, "UDP_SOCKETS", UDP)?);
    rows.extend(unconnected::<Addr4>(pins, &names, "DATAGRAMS4")?);
    rows.extend(unconnected::<Addr6>(pins, &names, "DATAGRAMS6")?);
    rows.sort();
    Ok(rows)
}

fn connected(
    pins: &PinDir,
    names: &BTreeMap<u32, ServiceName>,
    map: &str,
    number: u8,
) -> Result<impl Iterator<Item = SocketRow>> {
    let row = move |(cookie, known): (Cookie, Socket)| {
        let [asked, endpoint] = ends(&known).map(|end| end.to_string());
        SocketRow {
            service: name(names, known.service()),
            protocol: protocol(number),
            socket: cookie.get(),
            connected: true,
            asked,
            endpoint,
        }
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
