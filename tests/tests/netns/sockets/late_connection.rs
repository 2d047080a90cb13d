//! Connections that are waited for by `poll`, as event loops do it.

use std::{io, net::SocketAddr, os::fd::AsFd as _};

use harness::{
    topology::Host,
    traffic::PATIENCE,
    world::{Variant, shared_with_sockets},
};
use nix::{
    libc,
    poll::{PollFd, PollFlags, PollTimeout, poll},
};
use socket2::{Domain, Socket};

use super::{ask, open};

for_each_tcp!(
    a_connection_that_is_polled_for_gets_ready,
    a_connection_that_is_polled_for_is_refused_by_an_endpoint_whose_port_is_closed,
);

fn a_connection_that_is_polled_for_gets_ready(variant: Variant) {
    let world = shared_with_sockets();
    let [one, two] = &world.topology.nodes;
    let service = world.publish(variant, &[&two.pods[0]]).unwrap();
    for client in [&one.host, &one.pods[2]] {
        let socket = polled(variant, client, service.vip());
        assert!(socket.take_error().unwrap().is_none());
        assert_eq!(socket.peer_addr().unwrap().as_socket(), Some(service.vip()));
        socket.set_nonblocking(false).unwrap();
        assert_eq!(ask(&socket).unwrap().0, two.pods[0].name);
    }
}

fn a_connection_that_is_polled_for_is_refused_by_an_endpoint_whose_port_is_closed(variant: Variant) {
    let world = shared_with_sockets();
    let [one, two] = &world.topology.nodes;
    let service = world.publish_closed(variant, &[&two.pods[0]]).unwrap();
    for client in [&one.host, &one.pods[2]] {
        let error = polled(variant, client, service.vip())
            .take_error()
            .unwrap()
            .unwrap();
        assert_eq!(error.kind(), io::ErrorKind::ConnectionRefused, "{error}");
    }
}

/// A socket that can be written to, or has failed.
fn polled(variant: Variant, client: &Host, target: SocketAddr) -> Socket {
    let socket = client
        .ns
        .run(|| open(variant, Domain::for_address(target)))
        .unwrap();
    socket.set_nonblocking(true).unwrap();
    let error = socket.connect(&target.into()).unwrap_err();
    assert_eq!(error.raw_os_error(), Some(libc::EINPROGRESS), "{error}");
    let mut files = [PollFd::new(socket.as_fd(), PollFlags::POLLOUT)];
    let ready = poll(&mut files, PollTimeout::try_from(PATIENCE).unwrap()).unwrap();
    assert_eq!(ready, 1, "{} asks {target}", client.name);
    socket
}
