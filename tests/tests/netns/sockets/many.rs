//! Sockets that come and go leave nothing behind.

use std::{
    io::ErrorKind,
    net::{SocketAddr, UdpSocket},
    path::Path,
    process::Command,
    thread,
};

use anyhow::{Context as _, Result, ensure};
use harness::{
    agent::READY,
    exec,
    topology::Host,
    wait,
    world::{Variant, World},
};
use proxy_agent::{dataplane::bpf::object::PinDir, model::Protocol};
use serde_json::Value;
use socket2::Domain;

use super::{exchange, open, unconnected};

const VARIANTS: [Variant; 4] = [crate::IPV4_TCP, crate::IPV4_UDP, crate::IPV6_TCP, crate::IPV6_UDP];
/// Of each variant by each thread: a million in all.
const MANY: usize = 125_000;
const THREADS: usize = 2;
const MAPS: [&str; 6] = [
    "TCP_SOCKETS",
    "UDP_SOCKETS",
    "UNCONNECTED4",
    "UNCONNECTED6",
    "DATAGRAMS4",
    "DATAGRAMS6",
];

#[test]
fn a_million_short_lived_sockets_leave_the_tables_empty() {
    let world = World::start_with_sockets(&[]).unwrap();
    let [one, two] = &world.topology.nodes;
    let pins = PinDir::new(world.agents[0].pin_root());
    for variant in VARIANTS {
        let service = world.publish(variant, &[&one.pods[0], &two.pods[0]]).unwrap();
        are_noted_while_they_live(variant, &one.host, service.vip(), &pins);
        // With nobody there connections are refused, which takes no time of servers.
        let nobody = world
            .publish_closed(variant, &[&one.pods[0], &two.pods[0]])
            .unwrap();
        many(variant, &one.host, nobody.vip());
        wait::until("empty tables", READY, || {
            let sizes = sizes(&pins)?;
            ensure!(sizes == [0; MAPS.len()], "{MAPS:?} have {sizes:?}");
            Ok(())
        })
        .unwrap();
    }
}

/// Otherwise empty tables would say nothing.
fn are_noted_while_they_live(variant: Variant, client: &Host, target: SocketAddr, pins: &PinDir) {
    let connected = super::connected(variant, client, target).unwrap();
    let size = |name: &str| size(&pins.map(name)).unwrap();
    let suffix = if target.is_ipv4() { "4" } else { "6" };
    assert_eq!(size(&format!("{}_SOCKETS", variant.protocol)), 1);
    drop(connected);
    if variant.protocol == Protocol::Udp {
        let socket = unconnected(client, variant.family);
        exchange(&socket, target).unwrap();
        assert_eq!(size(&format!("UNCONNECTED{suffix}")), 1);
        assert_eq!(size(&format!("DATAGRAMS{suffix}")), 2);
    }
}

fn many(variant: Variant, client: &Host, target: SocketAddr) {
    client.ns.run(|| {
        thread::scope(|scope| {
            for _ in 0..THREADS {
                scope.spawn(|| (0..MANY).for_each(|_| one(variant, target)));
            }
        });
    });
}

fn one(variant: Variant, target: SocketAddr) {
    let socket = open(variant, Domain::for_address(target)).unwrap();
    if variant.protocol == Protocol::Tcp {
        let error = socket.connect(&target.into()).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::ConnectionRefused, "{error}");
        return;
    }
    let socket = UdpSocket::from(socket);
    socket.send_to(b"unconnected", target).unwrap();
    socket.connect(target).unwrap();
}

fn sizes(pins: &PinDir) -> Result<[usize; MAPS.len()]> {
    let sizes: Vec<usize> = MAPS
        .iter()
        .map(|name| size(&pins.map(name)))
        .collect::<Result<_>>()?;
    Ok(sizes.try_into().expect("a size for each map"))
}

fn size(map: &Path) -> Result<usize> {
    let json = exec::output(
        Command::new("bpftool")
            .args(["-j", "map", "dump", "pinned"])
            .arg(map),
    )?;
    let entries: Value = serde_json::from_str(&json)?;
    Ok(entries.as_array().context("no array of entries")?.len())
}
