//! What the programs know of connected UDP sockets.

use std::net::SocketAddr;

use anyhow::{Context as _, Result};
use aya::maps::{HashMap, Map, MapData, MapError};
use proxy_common::{Addr6, Address as _, Cookie, Port, Socket};

use crate::{
    dataplane::bpf::{dump, object::PinDir},
    node::sock_diag::{SockDiag, UdpSocket},
};

/// `UDP_SOCKETS`.
pub(in crate::dataplane::bpf) struct KnownSockets(HashMap<MapData, Cookie, Socket>);

impl KnownSockets {
    /// As they are pinned.
    ///
    /// # Errors
    /// When they cannot be opened.
    pub(in crate::dataplane::bpf) fn open(pins: &PinDir) -> Result<Self> {
        let map = Map::HashMap(dump::open(pins, "UDP_SOCKETS")?);
        Ok(Self(map.try_into()?))
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
        match self.0.get(&Cookie::new(socket.number), 0) {
            Ok(known) => Ok(Some(ends(&known))),
            Err(MapError::KeyNotFound) => Ok(None),
            Err(error) => Err(error.into()),
        }
    }
}

/// Whom a socket has asked for, and the endpoint that it has got, in their own family.
pub(in crate::dataplane::bpf) fn ends(known: &Socket) -> [SocketAddr; 2] {
    let end = |(address, port): (Addr6, Port)| SocketAddr::new(address.to_ip().to_canonical(), port.get());
    [end(known.asked()), end(known.endpoint())]
}
