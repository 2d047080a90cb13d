//! Proof that sockets are caught: one of our own asks for an address that nobody has, and the programs note whose it is.

use std::{
    borrow::BorrowMut,
    net::{IpAddr, SocketAddr},
};

use anyhow::{Context as _, Result};
use aya::{
    Ebpf,
    maps::{HashMap, Map, MapData},
};
use proxy_common::{Address as _, CANARY4, CANARY6, Cookie};
use socket2::{Domain, Protocol, Socket, Type};

use crate::dataplane::bpf::{dump, object::PinDir};

/// Any would do: nothing is ever sent.
const PORT: u16 = 9;

/// The network namespace of this thread, as the programs see it; `None` if they do not see its sockets.
pub(super) fn sing(object: &mut Ebpf) -> Result<Option<Cookie>> {
    let map = object
        .map_mut("CANARIES")
        .context("the BPF object lacks map CANARIES")?;
    sing_by(HashMap::try_from(map)?)
}

/// The same for whoever has not loaded the programs.
///
/// # Errors
/// When nothing is pinned there, or this process may not write it.
pub fn sing_pinned(pins: &PinDir) -> Result<Option<Cookie>> {
    sing_by(HashMap::try_from(Map::HashMap(dump::open(pins, "CANARIES")?))?)
}

fn sing_by<M: BorrowMut<MapData>>(mut canaries: HashMap<M, Cookie, Cookie>) -> Result<Option<Cookie>> {
    let v4 = sing_to(&mut canaries, CANARY4.to_ip(), Domain::IPV4)?;
    // A kernel without IPv6 has no such sockets to catch.
    let v6 = sing_to(&mut canaries, CANARY6.to_ip(), Domain::IPV6).unwrap_or(v4);
    Ok(v4.filter(|netns| v6 == Some(*netns)))
}

fn sing_to<M: BorrowMut<MapData>>(
    canaries: &mut HashMap<M, Cookie, Cookie>,
    address: IpAddr,
    domain: Domain,
) -> Result<Option<Cookie>> {
    let socket = Socket::new(domain, Type::DGRAM, Some(Protocol::UDP)).context("no socket")?;
    let cookie = Cookie::new(socket.cookie().context("the socket has no number")?);
    canaries.insert(cookie, Cookie::NONE, 0).context("CANARIES")?;
    // It fails in any case: refused by the programs, or without a way there.
    let _ = socket.connect(&SocketAddr::new(address, PORT).into());
    let seen = canaries.get(&cookie, 0);
    let _ = canaries.remove(&cookie);
    Ok(Some(seen.context("CANARIES")?).filter(|netns| *netns != Cookie::NONE))
}
