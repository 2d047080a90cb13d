//! IPv6 sockets, of both families and of one alone.

use std::{
    io,
    net::{SocketAddr, UdpSocket},
    os::fd::AsRawFd as _,
};

use harness::{
    topology::Host,
    traffic::PATIENCE,
    world::{Variant, shared_with_sockets},
};
use nix::libc::{AF_INET, IPPROTO_IPV6, IPV6_ADDRFORM, socklen_t};
use socket2::{Domain, Socket};

use super::{
    ask, exchange, mapped, open,
    reconnected::{is_forgotten, known},
};

#[test]
fn a_connection_to_an_ipv4_service_by_an_ipv6_socket_has_the_service_for_its_peer() {
    for variant in [crate::IPV4_TCP, crate::IPV4_UDP] {
        let world = shared_with_sockets();
        let [one, two] = &world.topology.nodes;
        let service = world.publish(variant, &[&two.pods[0]]).unwrap();
        for client in [&one.host, &one.pods[2]] {
            let target = mapped(service.vip());
            let socket = ipv6(variant, client, false, target).unwrap();
            assert_eq!(socket.peer_addr().unwrap().as_socket(), Some(target));
            assert_eq!(ask(&socket).unwrap().0, two.pods[0].name);
        }
    }
}

#[test]
fn a_datagram_to_an_ipv4_service_by_an_unconnected_ipv6_socket_is_answered_by_the_service() {
    let variant = crate::IPV4_UDP;
    let world = shared_with_sockets();
    let [one, two] = &world.topology.nodes;
    let service = world.publish(variant, &[&two.pods[0]]).unwrap();
    for client in [&one.host, &one.pods[2]] {
        let socket = client.ns.run(|| UdpSocket::bind("[::]:0")).unwrap();
        socket.set_read_timeout(Some(PATIENCE)).unwrap();
        for _ in 0..3 {
            let met = exchange(&socket, mapped(service.vip())).unwrap();
            assert_eq!(met, (two.pods[0].name.clone(), mapped(service.vip())));
        }
    }
}

#[test]
fn a_socket_of_ipv6_alone_reaches_an_ipv6_service_and_no_ipv4_one() {
    for (variant, other) in [
        (crate::IPV6_TCP, crate::IPV4_TCP),
        (crate::IPV6_UDP, crate::IPV4_UDP),
    ] {
        let world = shared_with_sockets();
        let [one, two] = &world.topology.nodes;
        let service = world.publish(variant, &[&two.pods[0]]).unwrap();
        let unreachable = world.publish(other, &[&two.pods[0]]).unwrap();
        for client in [&one.host, &one.pods[2]] {
            let socket = ipv6(variant, client, true, service.vip()).unwrap();
            assert_eq!(ask(&socket).unwrap().0, two.pods[0].name);
            let error = ipv6(variant, client, true, mapped(unreachable.vip())).unwrap_err();
            assert_eq!(error.kind(), io::ErrorKind::NetworkUnreachable, "{error}");
        }
    }
}

#[test]
fn an_ipv6_socket_that_has_become_an_ipv4_one_has_the_service_for_its_peer_and_is_forgotten_when_it_is_closed()
 {
    for variant in [crate::IPV4_TCP, crate::IPV4_UDP] {
        let world = shared_with_sockets();
        let [one, two] = &world.topology.nodes;
        let service = world.publish(variant, &[&two.pods[0]]).unwrap();
        let socket = ipv6(variant, &one.host, false, mapped(service.vip())).unwrap();
        become_ipv4(&socket);
        assert_eq!(socket.peer_addr().unwrap().as_socket(), Some(service.vip()));
        assert_eq!(ask(&socket).unwrap().0, two.pods[0].name);
        assert_eq!(known(&world, &socket), [service.vip().to_string()]);
        is_forgotten(&world, socket);
    }
}

/// As ipv6(7) has it. No library does.
fn become_ipv4(socket: &Socket) {
    let family = AF_INET;
    let length = socklen_t::try_from(size_of_val(&family)).unwrap();
    // SAFETY: an open socket, and an option's value that is read while the call lasts.
    let result = unsafe {
        nix::libc::setsockopt(
            socket.as_raw_fd(),
            IPPROTO_IPV6,
            IPV6_ADDRFORM,
            (&raw const family).cast(),
            length,
        )
    };
    assert_eq!(result, 0, "{}", io::Error::last_os_error());
}

fn ipv6(variant: Variant, client: &Host, is_alone: bool, target: SocketAddr) -> io::Result<Socket> {
    client.ns.run(|| {
        let socket = open(variant, Domain::IPV6)?;
        socket.set_only_v6(is_alone)?;
        socket.connect(&target.into())?;
        Ok(socket)
    })
}
