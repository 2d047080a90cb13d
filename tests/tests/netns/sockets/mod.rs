//! Sockets whose destinations are translated where a process names them, with clients as programs have them.
//!
//! Nodes of this test bed have no route to Services: what reaches one from a node was translated before any packet.

mod addresses;
mod affinity;
mod attachment;
mod check;
mod crowd;
mod curl;
mod dns;
mod ended;
mod handover;
mod late_connection;
mod listener;
mod local_policy;
mod many;
mod many_messages;
mod mapped;
mod no_endpoints;
mod peer_name;
mod pods;
mod reconnected;
mod source_port;
mod source_ranges;
mod unconnected;

use std::{
    collections::BTreeSet,
    io,
    net::{IpAddr, SocketAddr, UdpSocket},
};

use anyhow::ensure;
use harness::{
    agent::{Agent, READY},
    exec,
    topology::Host,
    traffic::{Client, PATIENCE, Role, Server},
    wait,
    world::{Published, Variant, World},
};
use proxy_agent::dataplane::bpf::{
    dump::{self, FlowRow},
    object::PinDir,
};
use proxy_agent::model::Family;
use socket2::{Domain, Protocol, Socket, Type};

/// One of two endpoints is missed by so many clients once in 10^12.
const ASKS: usize = 40;

/// For an address that comes to a node which others use, too: it is there at once, and no socket of theirs takes it for its source.
const NOBODYS_SOURCE: &str = " nodad preferred_lft 0";

fn answerer(variant: Variant, client: &Host, target: SocketAddr) -> String {
    let answer = Client::new(&client.ns).ask(variant.protocol, target);
    let answer = answer.unwrap_or_else(|error| panic!("{variant:?}: {} asks {target}: {error}", client.name));
    answer.server
}

fn meets_exactly(variant: Variant, client: &Host, target: SocketAddr, pods: &[&Host]) {
    let met: BTreeSet<String> = (0..ASKS).map(|_| answerer(variant, client, target)).collect();
    let wanted: BTreeSet<String> = pods.iter().map(|pod| pod.name.clone()).collect();
    assert_eq!(met, wanted, "{variant:?}: {} asks {target}", client.name);
}

/// A connected socket, also of UDP.
fn connected(variant: Variant, client: &Host, target: SocketAddr) -> io::Result<Socket> {
    client.ns.run(|| {
        let socket = open(variant, Domain::for_address(target))?;
        socket.connect(&target.into())?;
        Ok(socket)
    })
}

/// To be called where the socket belongs.
fn open(variant: Variant, domain: Domain) -> io::Result<Socket> {
    let (kind, protocol) = match variant.protocol {
        proxy_agent::model::Protocol::Udp => (Type::DGRAM, Protocol::UDP),
        _ => (Type::STREAM, Protocol::TCP),
    };
    let socket = Socket::new(domain, kind, Some(protocol))?;
    socket.set_read_timeout(Some(PATIENCE))?;
    Ok(socket)
}

/// Asks on a connected socket: who answers, and whom it sees.
fn ask(socket: &Socket) -> io::Result<(String, SocketAddr)> {
    use std::io::Read as _;

    socket.send(b"who\n")?;
    let mut buffer = [0; 2048];
    let length = (&mut &*socket).read(&mut buffer)?;
    Ok(parse(&buffer[..length]))
}

/// `<server> <client> …`.
fn parse(reply: &[u8]) -> (String, SocketAddr) {
    let reply = String::from_utf8_lossy(reply);
    let mut words = reply.split_whitespace();
    let (server, client) = words.next().zip(words.next()).unwrap();
    (server.to_owned(), client.parse().unwrap())
}

/// A socket of UDP that is connected to nobody.
fn unconnected(client: &Host, family: Family) -> UdpSocket {
    let any = match family {
        Family::V4 => "0.0.0.0:0",
        Family::V6 => "[::]:0",
    };
    let socket = client.ns.run(|| UdpSocket::bind(any)).unwrap();
    socket.set_read_timeout(Some(PATIENCE)).unwrap();
    socket
}

/// Everything that a program may try on one that has been ended fails.
fn is_ended(socket: &Socket) -> bool {
    let failed = ask(socket).map_err(|error| error.kind());
    failed.is_err() && failed != Err(io::ErrorKind::WouldBlock) && socket.peer_addr().is_err()
}

fn ends(socket: &Socket) {
    wait::until("the socket's end", READY, || {
        ensure!(is_ended(socket), "it lives");
        Ok(())
    })
    .unwrap();
}

/// An IPv4 address in an IPv6 one.
fn mapped(address: SocketAddr) -> SocketAddr {
    let ip = match address.ip() {
        IpAddr::V4(ip) => IpAddr::V6(ip.to_ipv6_mapped()),
        ip @ IpAddr::V6(_) => ip,
    };
    SocketAddr::new(ip, address.port())
}

/// Who answers, and from where.
fn exchange(socket: &UdpSocket, target: SocketAddr) -> io::Result<(String, SocketAddr)> {
    socket.send_to(b"who", target)?;
    let mut buffer = [0; 2048];
    let (length, from) = socket.recv_from(&mut buffer)?;
    Ok((parse(&buffer[..length]).0, from))
}

/// The flows of a Service that packets on devices of a node have opened.
fn flows(agent: &Agent, service: &Published<'_>) -> Vec<FlowRow> {
    let rows = dump::flows(&PinDir::new(agent.pin_root())).unwrap();
    let id = service.service.id();
    rows.into_iter().filter(|row| row.service == id).collect()
}

/// Leads an address that is nobody's from the first node to the client outside, who answers at it for as long as the server lives.
fn catch(world: &World, variant: Variant, address: SocketAddr) -> Server {
    let outside = &world.topology.client;
    let node = &world.topology.nodes[0].host;
    let (ip, via) = (address.ip(), outside.ip(variant.family));
    exec::ip_batch(Some(node.ns.name()), &format!("route replace {ip} via {via}\n")).unwrap();
    outside.ns.sysctl(&[("ipv6/ip_nonlocal_bind", "1")]).unwrap();
    exec::ip_batch(Some(outside.ns.name()), &format!("route add local {ip} dev lo\n")).unwrap();
    Server::start(&outside.ns, "outside", Role::WhoAmI, variant.protocol, address).unwrap()
}

/// Another address of a Service, `network` beside that of its ClusterIP.
fn beside(address: IpAddr, network: u8) -> IpAddr {
    match address {
        IpAddr::V4(ip) => {
            let [first, _, third, fourth] = ip.octets();
            [first, network, third, fourth].into()
        }
        IpAddr::V6(ip) => {
            let mut segments = ip.segments();
            segments[2] = network.into();
            segments.into()
        }
    }
}
