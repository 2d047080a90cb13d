//! Datagrams that a device has gathered into one packet on their way in (`rx-gro-list`), as NICs do under load: the programs see the
//! first one's headers only, and the kernel takes them apart again behind the hooks.

use std::net::UdpSocket;

use harness::{
    agent::TcAttach,
    exec,
    netns::NetNs,
    topology::{Host, pod_interface},
    traffic::PATIENCE,
    world::{Variant, World},
};

/// As many as a device takes in one go, and a socket keeps.
const DATAGRAMS: u8 = 24;
const LEN: usize = 1_000;
/// The packets that the node forwards.
const COUNTED: &str = "table inet count { counter seen { }; chain forward { type filter hook forward priority 0; counter name seen; }; }";

#[test]
fn datagrams_over_ipv4_arrive_one_by_one() {
    arrive_one_by_one(crate::IPV4_UDP);
}

#[test]
fn datagrams_over_ipv6_arrive_one_by_one() {
    arrive_one_by_one(crate::IPV6_UDP);
}

fn arrive_one_by_one(variant: Variant) {
    let world = World::start(TcAttach::Auto).unwrap();
    let [one, two] = &world.topology.nodes;
    let client = &one.pods[2];
    run(
        &one.host.ns,
        "ethtool",
        &format!("-K {} gro on rx-gro-list on", pod_interface(client)),
    );
    exec::output(one.host.ns.command("nft").arg(COUNTED)).unwrap();
    for endpoint in [&one.pods[0], &two.pods[0]] {
        let service = world.publish_closed(variant, &[endpoint]).unwrap();
        let asks = bound(client, client.at(variant.family, 0));
        let answers = bound(endpoint, service.direct(endpoint));
        for target in [
            service.direct(endpoint),
            service.vip(),
            service.node_port(&one.host),
        ] {
            let before = forwarded(&one.host.ns);
            all_at_once(&client.ns, || {
                for number in 0..DATAGRAMS {
                    asks.send_to(&[number; LEN], target).unwrap();
                }
            });
            // It gets the queue going.
            asks.send_to(&[DATAGRAMS; LEN], target).unwrap();
            for number in 0..=DATAGRAMS {
                let mut datagram = [0; 2 * LEN];
                let (len, peer) = answers.recv_from(&mut datagram).unwrap_or_else(|error| {
                    panic!(
                        "datagram {number} to {target} at {}: {error}, {} forwarded",
                        endpoint.name,
                        forwarded(&one.host.ns) - before
                    )
                });
                assert_eq!(datagram[..len], [number; LEN], "datagram {number}");
                answers.send_to(&[number; LEN], peer).unwrap();
                let (len, peer) = asks.recv_from(&mut datagram).unwrap();
                assert_eq!((&datagram[..len], peer), (&[number; LEN][..], target));
            }
            let packets = forwarded(&one.host.ns) - before;
            let one_by_one = 2 * (u64::from(DATAGRAMS) + 1);
            assert!(packets < one_by_one, "nothing was gathered: {packets} packets");
        }
    }
}

fn bound(host: &Host, at: std::net::SocketAddr) -> UdpSocket {
    let socket = host.ns.run(|| UdpSocket::bind(at)).unwrap();
    socket.set_read_timeout(Some(PATIENCE)).unwrap();
    socket
}

/// Everything that `send` sends waits in the pod's queue until it is through; the next packet then takes all of it along.
fn all_at_once(pod: &NetNs, send: impl FnOnce()) {
    run(
        pod,
        "tc",
        "qdisc replace dev eth0 root tbf rate 8bit burst 2kb limit 1mb",
    );
    send();
    run(
        pod,
        "tc",
        "qdisc change dev eth0 root tbf rate 10gbit burst 10mb limit 1mb",
    );
}

fn forwarded(node: &NetNs) -> u64 {
    let counter = exec::output(
        node.command("nft")
            .args(["-j", "list", "counter", "inet", "count", "seen"]),
    )
    .unwrap();
    let counter: serde_json::Value = serde_json::from_str(&counter).unwrap();
    let rows = counter["nftables"].as_array().unwrap();
    let packets = rows.iter().find_map(|row| row["counter"]["packets"].as_u64());
    packets.unwrap()
}

fn run(ns: &NetNs, program: &str, arguments: &str) {
    exec::output(ns.command(program).args(arguments.split_whitespace())).unwrap();
}
