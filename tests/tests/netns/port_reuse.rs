//! Clients that use their ports again as fast as they can, and a pod's address that another pod gets at once.

use std::{
    io,
    net::{SocketAddr, TcpStream},
    time::Duration,
};

use harness::{
    topology::Host,
    traffic::{Answer, Client, Role, Server},
    wait,
    world::{Variant, shared},
};
use nix::sys::socket::{setsockopt, sockopt::Linger};
use proxy_agent::model::Protocol;

for_each_tcp!(
    connections_from_few_ports_that_are_used_again_at_once_all_succeed,
    one_port_asks_the_node_ports_of_both_nodes_at_the_same_time,
    a_pod_that_gets_the_address_of_another_is_served_at_once,
);

/// Ports of the client.
const PORTS: u16 = 60;
/// Connections from each of them.
const ROUNDS: u16 = 15;
/// A port in TIME_WAIT can be used again after a second.
const LIMIT: Duration = Duration::from_secs(5);

fn connections_from_few_ports_that_are_used_again_at_once_all_succeed(variant: Variant) {
    let world = shared();
    // The other node has no route to the new pod.
    let [one, _] = &world.topology.nodes;
    let number = if variant == crate::IPV4_TCP { 211 } else { 212 };
    let pod = one.add_pod(&format!("hasty-{number}"), number).unwrap();
    pod.ns
        .sysctl(&[
            ("ipv4/tcp_tw_reuse", "1"),
            (
                "ipv4/ip_local_port_range",
                &format!("50000 {}", 50_000 + PORTS - 1),
            ),
        ])
        .unwrap();
    let service = world.publish(variant, &[&one.pods[0], &one.pods[1]]).unwrap();
    for target in [service.vip(), service.node_port(&one.host)] {
        for _ in 0..PORTS * ROUNDS {
            ask_and_reset(&pod, target).unwrap();
        }
        // Now each is closed as it should be, so that the next one from its port meets what is left of it for a minute.
        for _ in 0..PORTS * 2 {
            ask(&pod, target);
        }
    }
}

/// A connection that ends with a reset, after which neither side remembers it.
fn ask_and_reset(pod: &Host, target: SocketAddr) -> io::Result<()> {
    let stream: TcpStream = Client::new(&pod.ns).connect(target)?;
    let linger = nix::libc::linger {
        l_onoff: 1,
        l_linger: 0,
    };
    setsockopt(&stream, Linger, &linger)?;
    Ok(())
}

fn ask(pod: &Host, target: SocketAddr) -> Answer {
    wait::until("a source port", LIMIT, || {
        match Client::new(&pod.ns).ask(Protocol::Tcp, target) {
            Err(error) if error.kind() == io::ErrorKind::AddrNotAvailable => Err(error.into()),
            answer => Ok(answer.unwrap()),
        }
    })
    .unwrap()
}

fn one_port_asks_the_node_ports_of_both_nodes_at_the_same_time(variant: Variant) {
    let world = shared();
    let [one, two] = &world.topology.nodes;
    let service = world.publish(variant, &[&two.pods[0]]).unwrap();
    // No ports that the kernel picks for others; a port is taken in both families at once.
    let first = if variant == crate::IPV4_TCP {
        21_000
    } else {
        21_100
    };
    for port in first..first + 100 {
        let client = Client::new(&world.topology.client.ns).from_port(port);
        let mut talks = [one, two].map(|node| {
            let target = service.node_port(&node.host);
            client.talk(Protocol::Tcp, target).unwrap()
        });
        for round in ["one", "two"] {
            let seen = talks.each_mut().map(|talk| talk.ask(round).unwrap().client);
            assert_ne!(seen[0], seen[1]);
        }
    }
}

fn a_pod_that_gets_the_address_of_another_is_served_at_once(variant: Variant) {
    let world = shared();
    let [one, _] = &world.topology.nodes;
    let number = if variant == crate::IPV4_TCP { 213 } else { 214 };
    let mut service = None;
    for generation in ["old", "new", "newest"] {
        // Until the kernel is done with the namespace of the one before, the address is taken.
        let add = || one.add_pod(&format!("{generation}-{number}"), number);
        let pod = wait::until("the address", LIMIT, add).unwrap();
        let service = service.get_or_insert_with(|| world.publish_closed(variant, &[&pod]).unwrap());
        let server = Server::start(
            &pod.ns,
            &pod.name,
            Role::WhoAmI,
            Protocol::Tcp,
            service.direct(&pod),
        )
        .unwrap();
        for (host, target) in [
            (&one.pods[2], service.vip()),
            (&world.topology.client, service.node_port(&one.host)),
        ] {
            let client = Client::new(&host.ns);
            // The agent has to see the new interface first.
            let patient = client.patience(Duration::from_millis(200));
            let ask = || Ok(patient.ask(Protocol::Tcp, target)?);
            wait::until("the new pod", LIMIT, ask).unwrap();
            for _ in 0..50 {
                assert_eq!(client.ask(Protocol::Tcp, target).unwrap().server, pod.name);
            }
            // Cut in the middle: its pod is gone before it is closed.
            drop(client.connect(target).unwrap());
        }
        drop(server);
    }
}
