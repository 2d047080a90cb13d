//! The rules that are rendered for random clusters, by an interpreter: they send every packet where the model does, but for what
//! kube-proxy's rules, which they are to the letter, do otherwise. Each of these is a function below.

use std::{net::SocketAddr, sync::LazyLock};

use harness::{
    manifests::cluster,
    rules::{self, Fate, Rules},
};
use proptest::prelude::*;
use proxy_agent::model::{Desired, Family, FrontendAddress, FrontendKey, FrontendKind, compute};

use crate::{
    oracle::{config, packets, world},
    packet::{NODE, Packet},
    tracer::{Shares, trace},
};

static PACKETS: LazyLock<Vec<Packet>> = LazyLock::new(packets::all);

proptest! {
    #![proptest_config(config(100))]

    #[test]
    fn the_rendered_rules_send_every_packet_where_the_model_does(world in world()) {
        let desired = compute(&cluster(world.objects()), &world.context);
        for family in Family::ALL {
            let rules = Rules::rendered(&desired, family, &NODE);
            let rules = rules.unwrap_or_else(|error| panic!("{error:#}"));
            let packets = PACKETS.iter().filter(|packet| Family::of(packet.source) == family);
            for packet in packets {
                if has_more_claims(&desired, packet) {
                    continue;
                }
                let found = by_rules(&rules, packet);
                let expected = trace(&desired, packet).shares();
                if is_refused_to_others(&desired, packet, &expected) {
                    let is_let_go = only(&found) == Some(Fate::Untouched);
                    prop_assert!(is_let_go || found == expected, "{:?}: {:?}", packet, found);
                    continue;
                }
                if is_refused_at_all_addresses(&desired, packet, &expected) {
                    prop_assert!(is_refusal(&found), "{:?}: {:?}", packet, found);
                    continue;
                }
                prop_assert!(are_near(&found, &expected), "{:?}: {:?} instead of {:?}", packet, found, expected);
            }
        }
    }
}

/// Where several Services claim an address, the rules of all of them are there: if the first has no endpoints, and so no rule in table
/// nat, the next one serves.
fn has_more_claims(desired: &Desired, packet: &Packet) -> bool {
    keys(packet).iter().any(|key| desired.refused.contains_key(key))
}

/// Who is refused at an external address is so by KUBE-EXTERNAL-SERVICES, which OUTPUT does not call: what the node sends goes out, unless
/// the Service has endpoints and keeps the node from them by its ranges.
fn is_refused_to_others(desired: &Desired, packet: &Packet, expected: &Shares) -> bool {
    let [key, _] = keys(packet);
    let frontend = desired.frontends.get(&key);
    let is_external = frontend.is_some_and(|at| at.kind != FrontendKind::ClusterIP);
    packet.interface.is_none()
        && !packet.is_node(packet.destination.ip())
        && is_external
        && is_refusal(expected)
}

/// A NodePort without endpoints is refused at each of the node's addresses, whichever `--nodeport-addresses` serve it otherwise.
fn is_refused_at_all_addresses(desired: &Desired, packet: &Packet, expected: &Shares) -> bool {
    let [ip, node_port] = keys(packet);
    let Some(frontend) = desired.frontends.get(&node_port) else {
        return false;
    };
    let family = Family::of(packet.source);
    let to = packet.destination.ip();
    let list = &desired.lists[&frontend.list_key(family, frontend.external_clients)];
    packet.is_node(to)
        && !desired.node.of(family).node_ports.serves(to)
        && !desired.frontends.contains_key(&ip)
        && list.endpoints.is_empty()
        && only(expected) == Some(Fate::Untouched)
}

/// As the address and as one of the node's.
fn keys(packet: &Packet) -> [FrontendKey; 2] {
    let to = packet.destination.ip();
    [FrontendAddress::Ip(to), FrontendAddress::AnyNode(Family::of(to))].map(|address| FrontendKey {
        address,
        port: packet.destination.port(),
        protocol: packet.protocol,
    })
}

fn only(shares: &Shares) -> Option<Fate> {
    let mut fates = shares.keys();
    let (fate, _) = fates.next()?;
    fates.next().is_none().then_some(*fate)
}

fn is_refusal(shares: &Shares) -> bool {
    matches!(only(shares), Some(Fate::Rejected | Fate::Dropped))
}

fn by_rules(rules: &Rules, packet: &Packet) -> Shares {
    let node = rules::Node {
        addresses: NODE.to_vec(),
        ..rules::Node::default()
    };
    let asked = rules::Packet {
        protocol: packet.protocol,
        interface: packet.interface.clone(),
        ..rules::Packet::tcp(SocketAddr::new(packet.source, 40_000), packet.destination)
    };
    let answer = rules.ask(&node, &asked);
    let answer = answer.unwrap_or_else(|error| panic!("{error:#}"));
    let mut shares = Shares::new();
    for (outcome, share) in answer.0 {
        *shares
            .entry((outcome.fate, outcome.masqueraded_by.is_some()))
            .or_default() += share;
    }
    shares
}

fn are_near(one: &Shares, other: &Shares) -> bool {
    let mut pairs = one.values().zip(other.values());
    one.keys().eq(other.keys()) && pairs.all(|(one, other)| (one - other).abs() < 1e-8)
}
