//! What the programs know of connected UDP sockets.

use std::net::SocketAddr;

use anyhow::{Context as _, Result};
use aya::{
    Pod,
    maps::{HashMap, Map, MapData, MapError},
};
use proxy_common::{Addr4, Addr6, Address, Cookie, Socket};

use crate::{
    dataplane::bpf::{dump, flows::socket, object::PinDir},
    model::Family,
    node::sock_diag::{SockDiag, UdpSocket},
};

/// `UDP_SOCKETS4` and `UDP_SOCKETS6`.
pub(in crate::dataplane::bpf) struct KnownSockets {
    v4: HashMap<MapData, Cookie, Socket<Addr4>>,
    v6: HashMap<MapData, Cookie, Socket<Addr6>>,
}

impl KnownSockets {
    /// As they are pinned.
    ///
    /// # Errors
    /// When they cannot be opened.
    pub(in crate::dataplane::bpf) fn open(pins: &PinDir) -> Result<Self> {
        Ok(Self {
            v4: Map::HashMap(dump::open(pins, "UDP_SOCKETS4")?).try_into()?,
            v6: Map::HashMap(dump::open(pins, "UDP_SOCKETS6")?).try_into()?,
        })
    }

    /// How many there are in the network namespace of this thread. What is known besides have been closed unseen.
    ///
    /// # Errors
    /// When the kernel does not list them.
    pub(in crate::dataplane::bpf) fn count(&self) -> Result<usize> {
        let sockets = SockDiag::open()?.connected_udp();
        let sockets = sockets.context("cannot list UDP sockets")?;
        let known = sockets.iter().map(|socket| self.of(socket));
        known.map(|known| Ok(usize::from(known?.is_some()))).sum()
    }

    /// Whom it has asked for, and the endpoint that it has got; `None` if no program has led it.
    pub(super) fn of(&self, socket: &UdpSocket) -> Result<Option<[SocketAddr; 2]>> {
        match Family::of(socket.peer.ip()) {
            Family::V4 => of(&self.v4, socket.number),
            Family::V6 => of(&self.v6, socket.number),
        }
    }
}

fn of<A: Address>(map: &HashMap<MapData, Cookie, Socket<A>>, number: u64) -> Result<Option<[SocketAddr; 2]>>
where
    Socket<A>: Pod,
{
    match map.get(&Cookie::new(number), 0) {
        Ok(known) => Ok(Some([socket(known.asked()), socket(known.endpoint())])),
        Err(MapError::KeyNotFound) => Ok(None),
        Err(error) => Err(error.into()),
    }
}
