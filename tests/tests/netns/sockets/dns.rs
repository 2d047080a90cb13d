//! A name that a real resolver asks a Service for.

use std::{
    io::ErrorKind,
    net::{Ipv4Addr, UdpSocket},
    process::Command,
    sync::atomic::{AtomicBool, Ordering},
    thread,
    time::Duration,
};

use harness::{
    exec,
    manifests::Endpoint,
    skip::skipped,
    topology::Host,
    world::{Variant, shared_with_sockets},
};

for_each_udp!(nslookup_on_the_node_and_in_a_pod_gets_the_answer_of_a_cluster_ip);

/// Who everyone is.
const ADDRESS: Ipv4Addr = Ipv4Addr::new(192, 0, 2, 53);
const TICK: Duration = Duration::from_millis(50);

fn nslookup_on_the_node_and_in_a_pod_gets_the_answer_of_a_cluster_ip(variant: Variant) {
    if exec::output(Command::new("busybox").args(["nslookup", "--help"])).is_err() {
        let name = "nslookup_on_the_node_and_in_a_pod_gets_the_answer_of_a_cluster_ip";
        skipped(name, "busybox with nslookup is not installed");
        return;
    }
    let world = shared_with_sockets();
    let [one, two] = &world.topology.nodes;
    let pod = &two.pods[0];
    let service = world.publish_edited(variant, &[], |service| {
        service.port = 53;
        service.endpoints = Endpoint::of(&[pod], &[variant.family]);
    });
    let service = service.unwrap();
    world
        .agents
        .iter()
        .try_for_each(|agent| agent.wait_for(&service.service))
        .unwrap();
    let socket = pod.ns.run(|| UdpSocket::bind(service.direct(pod))).unwrap();
    let server = service.vip().ip().to_string();
    let ended = AtomicBool::new(false);
    thread::scope(|scope| {
        scope.spawn(|| answer_all(&socket, &ended));
        let answers = [&one.host, &one.pods[2]].map(|client| nslookup(client, &server));
        ended.store(true, Ordering::Relaxed);
        for answer in answers {
            let answer = answer.unwrap();
            assert!(answer.contains(&ADDRESS.to_string()), "{answer}");
        }
    });
}

fn nslookup(client: &Host, server: &str) -> anyhow::Result<String> {
    let mut command = client.ns.command("busybox");
    exec::output(command.args(["nslookup", "-type=a", "anything.cluster.test", server]))
}

fn answer_all(socket: &UdpSocket, ended: &AtomicBool) {
    socket.set_read_timeout(Some(TICK)).unwrap();
    let mut buffer = [0; 512];
    while !ended.load(Ordering::Relaxed) {
        match socket.recv_from(&mut buffer) {
            Ok((length, client)) => {
                let _ = socket.send_to(&answer(&buffer[..length]), client);
            }
            Err(error) => assert_eq!(error.kind(), ErrorKind::WouldBlock, "{error}"),
        }
    }
}

/// RFC 1035, 4.1: the query again, as a response without an error, and one record for the name at offset 12.
fn answer(query: &[u8]) -> Vec<u8> {
    let mut message = query[..end_of_question(query)].to_vec();
    message[2..12].copy_from_slice(&[0x85, 0x80, 0, 1, 0, 1, 0, 0, 0, 0]);
    message.extend([0xc0, 12, 0, 1, 0, 1, 0, 0, 0, 60, 0, 4]);
    message.extend(ADDRESS.octets());
    message
}

fn end_of_question(query: &[u8]) -> usize {
    let name = query[12..].iter().position(|byte| *byte == 0).unwrap();
    // The empty label, type and class.
    12 + name + 1 + 4
}
