//! One socket that is connected to one after the other: nothing of the first is left.

use std::{
    io::ErrorKind,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
};

use anyhow::ensure;
use harness::{
    agent::READY,
    topology::Host,
    wait,
    world::{Published, Variant, World, shared_with_sockets},
};
use nix::libc::AF_UNSPEC;
use proxy_agent::dataplane::bpf::{dump, object::PinDir};
use socket2::{Domain, SockAddr, SockRef, Socket};

use super::{ask, mapped, open};

for_each_tcp!(
    what_has_failed_to_reach_a_service_is_connected_elsewhere_and_forgotten,
    what_was_connected_to_a_service_is_disconnected_then_connected_elsewhere_and_forgotten,
);

/// Whom the programs know the socket to have asked for.
pub(super) fn known(world: &World, socket: &Socket) -> Vec<String> {
    let number = SockRef::from(socket).cookie().unwrap();
    let rows = dump::sockets(&PinDir::new(world.agents[0].pin_root())).unwrap();
    let own = rows.into_iter().filter(|row| row.socket == number);
    own.map(|row| row.asked).collect()
}

/// Once it is closed.
pub(super) fn is_forgotten(world: &World, socket: Socket) {
    let number = SockRef::from(&socket).cookie().unwrap();
    drop(socket);
    wait::until("nothing is known of a closed socket", READY, || {
        let rows = dump::sockets(&PinDir::new(world.agents[0].pin_root()))?;
        ensure!(rows.iter().all(|row| row.socket != number), "{rows:?}");
        Ok(())
    })
    .unwrap();
}

fn is_refused(socket: &Socket, target: SocketAddr) {
    let error = socket.connect(&target.into()).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::ConnectionRefused, "{error}");
}

fn is_with(world: &World, socket: Socket, target: SocketAddr, pod: &Host, known_as: &[SocketAddr]) {
    socket.connect(&target.into()).unwrap();
    assert_eq!(socket.peer_addr().unwrap().as_socket(), Some(target));
    assert_eq!(ask(&socket).unwrap().0, pod.name);
    let known_as: Vec<String> = known_as.iter().map(ToString::to_string).collect();
    assert_eq!(known(world, &socket), known_as);
}

fn what_has_failed_to_reach_a_service_is_connected_elsewhere_and_forgotten(variant: Variant) {
    let world = shared_with_sockets();
    let [one, two] = &world.topology.nodes;
    let pod = &two.pods[0];
    let closed = world.publish_closed(variant, &[pod]).unwrap();
    let service = world.publish(variant, &[pod]).unwrap();
    for client in [&one.host, &one.pods[2]] {
        let refused = || {
            let socket = client.ns.run(|| open(variant, Domain::for_address(closed.vip())));
            let socket = socket.unwrap();
            is_refused(&socket, closed.vip());
            assert_eq!(known(&world, &socket), [closed.vip().to_string()]);
            socket
        };
        is_with(&world, refused(), service.direct(pod), pod, &[]);
        is_with(&world, refused(), service.vip(), pod, &[service.vip()]);
    }
}

#[test]
fn an_ipv6_socket_that_has_failed_to_reach_an_ipv4_service_is_connected_elsewhere_and_the_first_is_forgotten()
{
    let world = shared_with_sockets();
    let [one, two] = &world.topology.nodes;
    let pod = &two.pods[0];
    let closed = world.publish_closed(crate::IPV4_TCP, &[pod]).unwrap();
    let service = world.publish(crate::IPV4_TCP, &[pod]).unwrap();
    let refused = || {
        let socket = one.host.ns.run(|| open(crate::IPV6_TCP, Domain::IPV6)).unwrap();
        socket.set_only_v6(false).unwrap();
        is_refused(&socket, mapped(closed.vip()));
        assert_eq!(known(&world, &socket), [closed.vip().to_string()]);
        socket
    };
    is_with(&world, refused(), mapped(service.direct(pod)), pod, &[]);
    is_with(&world, refused(), mapped(service.vip()), pod, &[service.vip()]);
}

#[test]
fn what_had_no_way_to_a_service_s_endpoint_is_forgotten_when_it_is_connected_elsewhere_or_closed() {
    let world = shared_with_sockets();
    let [one, two] = &world.topology.nodes;
    let pod = &two.pods[0];
    for variant in [crate::IPV4_TCP, crate::IPV6_TCP] {
        let served = world.publish(variant, &[pod]).unwrap();
        let without_way = publish_without_way(&world, variant, pod);
        let failed = || {
            let socket = one
                .host
                .ns
                .run(|| open(variant, Domain::for_address(served.vip())));
            let socket = socket.unwrap();
            socket.connect(&without_way.vip().into()).unwrap_err();
            assert_eq!(known(&world, &socket), [without_way.vip().to_string()]);
            socket
        };
        is_with(&world, failed(), served.direct(pod), pod, &[]);
        is_forgotten(&world, failed());
    }
}

#[test]
fn an_ipv6_socket_that_had_no_way_to_an_ipv4_service_is_connected_to_ipv6_and_the_first_is_forgotten() {
    let world = shared_with_sockets();
    let [one, two] = &world.topology.nodes;
    let pod = &two.pods[0];
    let without_way = publish_without_way(&world, crate::IPV4_TCP, pod);
    let service = world.publish(crate::IPV6_TCP, &[pod]).unwrap();
    let failed = || {
        let socket = one.host.ns.run(|| open(crate::IPV6_TCP, Domain::IPV6)).unwrap();
        socket.set_only_v6(false).unwrap();
        socket.connect(&mapped(without_way.vip()).into()).unwrap_err();
        assert_eq!(known(&world, &socket), [without_way.vip().to_string()]);
        socket
    };
    is_with(&world, failed(), service.direct(pod), pod, &[]);
    is_with(&world, failed(), service.vip(), pod, &[service.vip()]);
}

fn publish_without_way<'w>(world: &'w World, variant: Variant, pod: &Host) -> Published<'w> {
    let service = world.publish_edited(variant, &[pod], |service| {
        for endpoint in &mut service.endpoints {
            endpoint.address = nowhere(endpoint.address);
        }
    });
    let service = service.unwrap();
    world.agents[0].wait_for(&service.service).unwrap();
    service
}

/// Nodes have no route to it.
fn nowhere(like: IpAddr) -> IpAddr {
    match like {
        IpAddr::V4(_) => Ipv4Addr::new(198, 51, 100, 1).into(),
        IpAddr::V6(_) => Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 1).into(),
    }
}

fn what_was_connected_to_a_service_is_disconnected_then_connected_elsewhere_and_forgotten(variant: Variant) {
    let world = shared_with_sockets();
    let [one, two] = &world.topology.nodes;
    let pod = &two.pods[0];
    let service: Published<'_> = world.publish(variant, &[pod]).unwrap();
    for client in [&one.host, &one.pods[2]] {
        let socket = super::connected(variant, client, service.vip()).unwrap();
        assert_eq!(known(&world, &socket), [service.vip().to_string()]);
        disconnect(&socket);
        is_with(&world, socket, service.direct(pod), pod, &[]);
    }
}

/// As connect(2) has it: to an address of no family.
fn disconnect(socket: &Socket) {
    const { assert!(AF_UNSPEC == 0) };
    // SAFETY: all zeros are an address of no family, and so long it is one that the kernel takes.
    let ((), nobody) = unsafe {
        SockAddr::try_init(|_, length| {
            *length = 16;
            Ok(())
        })
    }
    .unwrap();
    socket.connect(&nobody).unwrap();
}
