//! Who decides where a packet ends.

use std::net::SocketAddr;

use harness::{
    bpf::{self, Datapath, Hook, Layer, Outcome, SYN, Setup, Transport},
    rules::{Fate, Packet, Rules},
};
use proxy_agent::model::Protocol;

use super::{Document, Shares};
use crate::{packet, tracer};

/// Longer than clients keep their endpoints.
const FORGOTTEN: u32 = 10_801;

/// The published rules. What others than kube-proxy masquerade is theirs.
pub(super) fn by_document(document: &Document, packet: &Packet) -> Shares {
    by_rules(document, &document.rules, document.masquerades, packet)
}

/// The rules that we write for the same cluster.
pub(super) fn by_rendered(document: &Document, rendered: &Rules, packet: &Packet) -> Shares {
    by_rules(document, rendered, "KUBE-POSTROUTING", packet)
}

fn by_rules(document: &Document, rules: &Rules, masquerades: &str, packet: &Packet) -> Shares {
    let answer = rules.ask(&document.node, packet);
    let answer = answer.unwrap_or_else(|error| panic!("{error:#}"));
    let mut shares = Shares::new();
    for (outcome, share) in answer.0 {
        let masqueraded = outcome.masqueraded_by.as_deref() == Some(masquerades);
        *shares.entry((outcome.fate, masqueraded)).or_default() += share;
    }
    shares
}

/// What the node shall do.
pub(super) fn by_model(document: &Document, packet: &Packet) -> Shares {
    let packet = packet::Packet {
        source: packet.source.ip(),
        interface: packet.interface.clone(),
        destination: packet.destination,
        protocol: packet.protocol,
        node: document.node.addresses.clone().into(),
    };
    tracer::trace(&document.desired, &packet).shares()
}

/// The programs of a node, loaded into the kernel.
pub(super) struct Programs {
    datapath: Datapath,
    /// To look for clients that keep their endpoints takes longer than everything else.
    has_affinity: bool,
    port: u16,
}

/// By how much the shares of so many tries differ from the true ones no more than once in a million times.
pub(super) fn doubt(tries: u16) -> f64 {
    2.5 / f64::from(tries).sqrt()
}

impl Programs {
    /// To be made, and used, in a network namespace of its own.
    pub(super) fn of(document: &Document) -> Self {
        let mut datapath = Datapath::load(Setup {
            layer: Layer::Ethernet,
            node: document.node.addresses.clone(),
            ports: vec![1_024..=29_999, 61_000..=65_535],
            pods: document.pods.clone(),
        });
        datapath.apply_desired(&document.desired);
        let mut ports = document.desired.service_ports.values();
        Self {
            datapath,
            has_affinity: ports.any(|port| port.session_affinity.is_some()),
            port: 1_024,
        }
    }

    /// What becomes of so many connections, none of which the programs remember when the next one comes.
    pub(super) fn shares(&mut self, packet: &Packet, tries: u16) -> Shares {
        let mut shares = Shares::new();
        for _ in 0..tries {
            let end = self.open(packet);
            *shares.entry(end).or_default() += 1.0 / f64::from(tries);
            if self.has_affinity {
                self.datapath.age_affinities(FORGOTTEN);
            }
        }
        shares
    }

    /// What becomes of one more connection of the packet's client.
    pub(super) fn open(&mut self, packet: &Packet) -> (Fate, bool) {
        self.port = self.port.checked_add(1).unwrap_or(1_024);
        let source = SocketAddr::new(packet.source.ip(), self.port);
        let transport = match packet.protocol {
            Protocol::Udp => Transport::Udp,
            _ => Transport::Tcp(SYN),
        };
        let request = bpf::Packet::new(source, packet.destination, transport);
        let sent = self
            .datapath
            .send_bytes(Hook::Ingress, &request.bytes(Layer::Ethernet));
        let inside = match sent.expect("a whole packet can be sent") {
            Outcome::Dropped => return (Fate::Dropped, false),
            Outcome::Redirected(_) => return (Fate::Rejected, false),
            Outcome::Next(bytes) => bpf::Packet::parse(&bytes, Layer::Ethernet),
        };
        let arrived = self.datapath.send(Hook::Egress, &inside);
        let fate = if arrived.destination == packet.destination {
            Fate::Untouched
        } else {
            Fate::Endpoint(arrived.destination)
        };
        (fate, arrived.source.ip() != packet.source.ip())
    }
}
