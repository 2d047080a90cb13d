//! Ending UDP sockets of the node whose datagrams go to an endpoint which is gone, or past a Service: their process is told by an error
//! and connects again. What is sent by an unconnected socket finds another endpoint by itself, and TCP connections are never ended.

use std::{collections::BTreeSet, net::SocketAddr};

use anyhow::{Context as _, Result};
use proxy_common::UDP;

use super::known::KnownSockets;
use crate::{
    dataplane::{
        bpf::{node_maps::NodeMaps, object::PinDir},
        udp::Wanted,
    },
    explain::Complaint,
    model::{Desired, Family, FrontendKey, Protocol},
    netfilter::conntrack::{Ends, Table},
    node::sock_diag::{SockDiag, UdpSocket},
};

const UNENDED: &str = "UDP sockets that are connected to endpoints which are gone cannot be ended (that needs the kernel's module udp_diag, and CONFIG_INET_DIAG_DESTROY); their processes have to notice by themselves";

/// Frontends whose sockets are to be looked at.
#[derive(Debug, Default)]
pub(in crate::dataplane::bpf) struct Misled {
    /// A socket may have been connected by what the maps said a moment before.
    once_more: BTreeSet<FrontendKey>,
    complaint: Complaint,
}

impl Misled {
    /// Looks at UDP frontends in the next pass: whoever connected again now would not be led by programs.
    pub(in crate::dataplane::bpf) fn put_off(&mut self, changed: impl Iterator<Item = FrontendKey>) {
        self.once_more.extend(changed.filter(is_udp));
    }

    /// Ends sockets whose datagrams go to none of the endpoints of the UDP frontends that they are connected to: of those of `changed`
    /// and of the time before. Warns once of what cannot be done.
    pub(in crate::dataplane::bpf) fn end(
        &mut self,
        pins: &PinDir,
        desired: &Desired,
        changed: impl Iterator<Item = FrontendKey>,
        node: &NodeMaps,
    ) {
        let before = std::mem::take(&mut self.once_more);
        self.put_off(changed);
        let keys: BTreeSet<_> = self.once_more.union(&before).cloned().collect();
        if keys.is_empty() {
            return;
        }
        let wanted = Wanted::of_those(desired, &keys);
        let ended = end(|socket, known| misled(&wanted, socket, known, node), pins);
        self.complaint.about(ended);
    }
}

/// Ends those that programs have led to an endpoint which is gone, when there may be no programs any more for the others.
pub(in crate::dataplane::bpf) fn end_known(pins: &PinDir, wanted: &Wanted) -> Result<()> {
    end(
        |socket, known| {
            Ok(known
                .of(socket)?
                .filter(|[asked, endpoint]| wanted.is_misled(*asked, *endpoint))
                .map(|[_, to]| to))
        },
        pins,
    )
}

fn end(
    misled: impl Fn(&UdpSocket, &KnownSockets) -> Result<Option<SocketAddr>>,
    pins: &PinDir,
) -> Result<()> {
    let diag = SockDiag::open().context(UNENDED)?;
    let sockets = diag.connected_udp().context(UNENDED)?;
    if sockets.is_empty() {
        return Ok(());
    }
    let known = KnownSockets::open(pins)?;
    let (mut ended, mut failed) = (Vec::new(), None);
    for socket in sockets {
        let misled = misled(&socket, &known).and_then(|endpoint| {
            let ended = endpoint.is_some() && diag.end(&socket)?;
            Ok(endpoint.filter(|_| ended))
        });
        // One that cannot be told or ended does not stop the others.
        match misled {
            Ok(endpoint) => ended.extend(endpoint),
            Err(error) => failed = Some(error),
        }
    }
    if !ended.is_empty() {
        tracing::info!(
            sockets = ended.len(),
            endpoints = ?BTreeSet::from_iter(ended),
            "ended UDP sockets that were connected to endpoints which are gone, or past their Service"
        );
    }
    failed.map_or(Ok(()), |error| Err(error.context(UNENDED)))
}

/// Where its datagrams go, if that is nobody who serves.
fn misled(
    wanted: &Wanted,
    socket: &UdpSocket,
    known: &KnownSockets,
    node: &NodeMaps,
) -> Result<Option<SocketAddr>> {
    let [asked, endpoint] = match known.of(socket)? {
        Some(led) => led,
        None if is_asked(wanted, socket.peer, node) => [socket.peer, by_rules(socket)?],
        None => return Ok(None),
    };
    // Connecting again would lead it nowhere else.
    let waits = asked == endpoint && wanted.is_unheard(socket.source.ip(), asked);
    Ok(Some(endpoint).filter(|_| !waits && wanted.is_misled(asked, endpoint)))
}

/// Whether a socket that no program has led, because there were none when it was connected, or not this Service, is with a Service. What
/// is an address of the node besides may be a listener's.
fn is_asked(wanted: &Wanted, peer: SocketAddr, node: &NodeMaps) -> bool {
    if node.is_local(peer.ip()) {
        node.serves_node_ports(peer.ip()) && wanted.has_node_port(peer)
    } else {
        wanted.has_address(peer)
    }
}

/// Where netfilter leads it, by rules that were there before the programs; else nobody does.
fn by_rules(socket: &UdpSocket) -> Result<SocketAddr> {
    let request = Ends {
        source: socket.source,
        destination: socket.peer,
    };
    let table = Table::open(Family::of(socket.peer.ip()))?;
    let flow = table.find(UDP, request)?;
    Ok(flow.map_or(socket.peer, |flow| flow.reply.source))
}

fn is_udp(key: &FrontendKey) -> bool {
    key.protocol == Protocol::Udp
}
