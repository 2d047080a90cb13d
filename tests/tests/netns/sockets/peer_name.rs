//! What a socket says of itself: connection pools look connections up by their peer's name.

use harness::world::{Published, Variant, shared_with_sockets};
use proxy_agent::{
    dataplane::bpf::{dump, object::PinDir},
    model::Protocol,
};
use socket2::Socket;

use super::{ask, connected};

for_each_variant!(the_peer_of_a_socket_is_whom_the_process_has_asked_for);
for_each_udp!(a_socket_that_is_connected_anew_has_the_new_peer);

fn the_peer_of_a_socket_is_whom_the_process_has_asked_for(variant: Variant) {
    let world = shared_with_sockets();
    let [one, two] = &world.topology.nodes;
    for endpoint in [&one.pods[0], &two.pods[0]] {
        let service = world.publish(variant, &[endpoint]).unwrap();
        for client in [&one.host, &one.pods[2]] {
            let socket = connected(variant, client, service.vip()).unwrap();
            // Pods' datagrams are none of sockets'.
            let is_of_socket = client.name == one.host.name || variant.protocol == Protocol::Tcp;
            assert_eq!(is_shown(&service, &socket), is_of_socket);
            assert_eq!(socket.peer_addr().unwrap().as_socket(), Some(service.vip()));
            let (server, seen) = ask(&socket).unwrap();
            assert_eq!(server, endpoint.name);
            assert_eq!(socket.local_addr().unwrap().as_socket(), Some(seen));
        }
    }
}

/// By `inspect sockets`, as whom the process has asked for.
fn is_shown(service: &Published<'_>, socket: &Socket) -> bool {
    let world = shared_with_sockets();
    let rows = dump::sockets(&PinDir::new(world.agents[0].pin_root())).unwrap();
    let cookie = socket.cookie().unwrap();
    let row = rows.iter().find(|row| row.socket == cookie);
    row.is_some_and(|row| {
        (&row.service, &row.asked, row.connected) == (&service.service.id(), &service.vip().to_string(), true)
    })
}

fn a_socket_that_is_connected_anew_has_the_new_peer(variant: Variant) {
    let world = shared_with_sockets();
    let [one, two] = &world.topology.nodes;
    let pods = [&one.pods[0], &two.pods[0]];
    let services = pods.map(|pod| world.publish(variant, &[pod]).unwrap());
    let socket = connected(variant, &one.host, services[0].vip()).unwrap();
    for (service, pod) in services.iter().zip(pods).cycle().take(4) {
        socket.connect(&service.vip().into()).unwrap();
        assert_eq!(socket.peer_addr().unwrap().as_socket(), Some(service.vip()));
        assert_eq!(ask(&socket).unwrap().0, pod.name);
    }
    let direct = services[1].direct(pods[1]);
    socket.connect(&direct.into()).unwrap();
    assert_eq!(socket.peer_addr().unwrap().as_socket(), Some(direct));
}
