//! Threads that connect in the same moment.

use std::{
    io::{BufRead as _, BufReader, Write as _},
    net::{SocketAddr, TcpStream, UdpSocket},
    sync::Barrier,
    thread,
};

use harness::{
    topology::Host,
    traffic::PATIENCE,
    world::{Variant, shared_with_sockets},
};
use proxy_agent::model::Protocol;

use super::parse;

for_each_variant!(threads_that_connect_at_once_are_all_answered_and_told_whom_they_have_asked_for);

const THREADS: usize = 32;

fn threads_that_connect_at_once_are_all_answered_and_told_whom_they_have_asked_for(variant: Variant) {
    let world = shared_with_sockets();
    let [one, two] = &world.topology.nodes;
    let pods = [&one.pods[0], &two.pods[0]];
    let service = world.publish(variant, &pods).unwrap();
    for client in [&one.host, &one.pods[2]] {
        for server in at_once(client, variant, service.vip()) {
            assert!(pods.iter().any(|pod| pod.name == server), "{server}");
        }
    }
}

/// Threads are of the namespace and the cgroup of whoever starts them.
fn at_once(client: &Host, variant: Variant, target: SocketAddr) -> Vec<String> {
    let start = Barrier::new(THREADS);
    let meet = || {
        start.wait();
        match variant.protocol {
            Protocol::Udp => by_datagram(target),
            _ => by_connection(target),
        }
    };
    client.ns.run(|| {
        thread::scope(|scope| {
            let threads: Vec<_> = (0..THREADS).map(|_| scope.spawn(meet)).collect();
            threads.into_iter().map(|thread| thread.join().unwrap()).collect()
        })
    })
}

fn by_connection(target: SocketAddr) -> String {
    let mut stream = TcpStream::connect(target).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    assert_eq!(stream.peer_addr().unwrap(), target);
    stream.write_all(b"who\n").unwrap();
    let mut reply = String::new();
    BufReader::new(stream).read_line(&mut reply).unwrap();
    parse(reply.as_bytes()).0
}

fn by_datagram(target: SocketAddr) -> String {
    let any = if target.is_ipv4() { "0.0.0.0:0" } else { "[::]:0" };
    let socket = UdpSocket::bind(any).unwrap();
    socket.set_read_timeout(Some(PATIENCE)).unwrap();
    socket.connect(target).unwrap();
    assert_eq!(socket.peer_addr().unwrap(), target);
    socket.send(b"who").unwrap();
    let mut buffer = [0; 2048];
    let length = socket.recv(&mut buffer).unwrap();
    parse(&buffer[..length]).0
}
