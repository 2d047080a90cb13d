//! Datagrams that no link carries in one piece, through ClusterIP and NodePort and back, in whatever order the pieces come.

use std::{
    io,
    net::{IpAddr, SocketAddr, SocketAddrV4, SocketAddrV6, UdpSocket},
    os::fd::AsRawFd as _,
    sync::atomic::{AtomicU16, Ordering},
    time::Duration,
};

use harness::{
    agent::TcAttach,
    bpf::{Layer, Packet, Transport},
    exec,
    topology::{Host, Topology},
    traffic::PATIENCE,
    wait,
    world::{Published, Variant, World},
};
use nix::sys::socket::{
    AddressFamily, MsgFlags, SockFlag, SockProtocol, SockType, SockaddrIn, SockaddrIn6, sendto, socket,
};
use proxy_agent::model::Family;

const VARIANTS: [Variant; 2] = [crate::IPV4_UDP, crate::IPV6_UDP];
const SIZES: [usize; 3] = [1_473, 4_000, 60_000];
/// Bytes of a piece that is sent by hand.
const PIECE: usize = 1_024;
/// The orders of four pieces: some before the first one, all before it, one of them twice.
const ORDERS: [&[usize]; 3] = [&[1, 0, 3, 2], &[3, 2, 1, 0], &[2, 2, 0, 0, 3, 1, 1]];
/// For a datagram that may be lost.
const SOON: Duration = Duration::from_millis(300);
/// Until fragments have come to an address for long enough that early ones wait there.
const SETTLED: Duration = Duration::from_secs(20);

#[test]
fn large_datagrams_pass_in_whatever_order_their_fragments_come() {
    all_pass(&World::start(TcAttach::Auto).unwrap());
}

/// The kernel puts datagrams together between the hooks, and takes them apart again.
#[test]
fn large_datagrams_pass_where_conntrack_looks_on() {
    let world = World::start(TcAttach::Auto).unwrap();
    watch(&world);
    all_pass(&world);
}

/// Replies to a neighbour go up to conntrack with all of their fragments, or it waits for the others in vain.
#[test]
fn large_datagrams_pass_between_bridged_pods_where_conntrack_looks_on() {
    let topology = Topology::build().unwrap();
    topology.nodes[0].bridge_pods().unwrap();
    let world = World::on(topology, TcAttach::Auto).unwrap();
    watch(&world);
    all_pass(&world);
}

fn watch(world: &World) {
    for node in &world.topology.nodes {
        let rules = "table inet watch { chain forward { type filter hook forward priority 0; \
                     ct state invalid drop; }; }";
        exec::output(node.host.ns.command("nft").arg(rules)).unwrap();
    }
}

fn all_pass(world: &World) {
    let [one, two] = &world.topology.nodes;
    let near_and_far = [&one.pods[0], &two.pods[0]];
    let paths: Vec<_> = VARIANTS
        .into_iter()
        .flat_map(|variant| near_and_far.map(|endpoint| (variant, endpoint)))
        .flat_map(|(variant, endpoint)| {
            // A Service each: two sockets can't have the same port.
            let [inner, outer] = [(); 2].map(|()| world.publish_closed(variant, &[endpoint]).unwrap());
            let inside = Path::new(variant, &one.pods[2], endpoint, inner.vip(), &inner);
            let target = outer.node_port(&one.host);
            let outside = Path::new(variant, &world.topology.client, endpoint, target, &outer);
            [(inside, inner), (outside, outer)]
        })
        .collect();
    for (path, _) in &paths {
        for size in SIZES {
            path.exchange(size);
        }
    }
    for (path, _) in &paths {
        wait::until("early fragments to wait", SETTLED, || Ok(path.try_early()?)).unwrap();
        for order in ORDERS {
            path.exchange_in_order(order);
        }
    }
}

/// A client with its socket, and an endpoint with its.
struct Path<'t> {
    client: &'t Host,
    endpoint: &'t Host,
    asks: UdpSocket,
    answers: UdpSocket,
    target: SocketAddr,
}

fn bound(host: &Host, at: SocketAddr) -> UdpSocket {
    let socket = host.ns.run(|| UdpSocket::bind(at)).unwrap();
    socket.set_read_timeout(Some(PATIENCE)).unwrap();
    socket
}

/// Bytes that differ from one place to another, and from one datagram to another.
fn payload(len: usize) -> Vec<u8> {
    let id = next_id();
    (0..len)
        .map(|index| u8::try_from((index / 7 + index + usize::from(id)) % 251).unwrap())
        .collect()
}

fn next_id() -> u16 {
    static NEXT: AtomicU16 = AtomicU16::new(1);
    NEXT.fetch_add(1, Ordering::Relaxed)
}

impl<'t> Path<'t> {
    fn new(
        variant: Variant,
        client: &'t Host,
        endpoint: &'t Host,
        target: SocketAddr,
        service: &Published<'_>,
    ) -> Self {
        Self {
            client,
            endpoint,
            asks: bound(client, client.at(variant.family, 0)),
            answers: bound(endpoint, service.direct(endpoint)),
            target,
        }
    }

    /// By sockets: the kernel makes the fragments.
    fn exchange(&self, len: usize) {
        let (there, back) = (payload(len), payload(len));
        self.asks.send_to(&there, self.target).unwrap();
        let peer = self.arrives(&self.answers, &there);
        self.answers.send_to(&back, peer).unwrap();
        assert_eq!(self.arrives(&self.asks, &back), self.target);
    }

    /// The same with fragments made by hand.
    fn exchange_in_order(&self, order: &[usize]) {
        let (there, back) = (payload(4 * PIECE - 8), payload(4 * PIECE - 8));
        let own = self.asks.local_addr().unwrap();
        send(self.client, own, self.target, &there, order);
        let peer = self.arrives(&self.answers, &there);
        send(
            self.endpoint,
            self.answers.local_addr().unwrap(),
            peer,
            &back,
            order,
        );
        assert_eq!(self.arrives(&self.asks, &back), self.target);
    }

    /// Early fragments there and back, which may be lost.
    fn try_early(&self) -> io::Result<()> {
        let (there, back) = (payload(4 * PIECE - 8), payload(4 * PIECE - 8));
        let (client, endpoint) = (self.asks.local_addr()?, self.answers.local_addr()?);
        send(self.client, client, self.target, &there, ORDERS[0]);
        let peer = arrives_soon(&self.answers, &there)?;
        send(self.endpoint, endpoint, peer, &back, ORDERS[0]);
        arrives_soon(&self.asks, &back).map(drop)
    }

    #[track_caller]
    fn arrives(&self, socket: &UdpSocket, payload: &[u8]) -> SocketAddr {
        let mut buffer = vec![0; 1 << 16];
        let (len, peer) = socket
            .recv_from(&mut buffer)
            .unwrap_or_else(|error| panic!("{} bytes to {}: {error}", payload.len(), self.target));
        assert!(
            buffer[..len] == *payload,
            "{len} bytes are not the {} sent",
            payload.len()
        );
        peer
    }
}

/// Who has sent the datagram, behind which others may have come late.
fn arrives_soon(socket: &UdpSocket, payload: &[u8]) -> io::Result<SocketAddr> {
    socket.set_read_timeout(Some(SOON))?;
    let mut buffer = vec![0; 1 << 16];
    let peer = loop {
        match socket.recv_from(&mut buffer) {
            Ok((len, peer)) if buffer[..len] == *payload => break Ok(peer),
            Ok(_) => {}
            Err(lost) => break Err(lost),
        }
    };
    socket.set_read_timeout(Some(PATIENCE))?;
    peer
}

/// Sends a datagram from `host` in pieces in this order.
fn send(host: &Host, from: SocketAddr, to: SocketAddr, payload: &[u8], order: &[usize]) {
    let packet = Packet {
        payload: payload.to_vec(),
        ..Packet::new(from, to, Transport::Udp)
    };
    let bytes = packet.bytes(Layer::Ip);
    let pieces = match Family::of(from.ip()) {
        Family::V4 => pieces4(&bytes),
        Family::V6 => pieces6(&bytes),
    };
    host.ns.run(|| {
        for index in order {
            send_raw(to.ip(), &pieces[*index]);
        }
    });
}

/// The kernel computes the headers' checksums.
fn pieces4(bytes: &[u8]) -> Vec<Vec<u8>> {
    let (header, carried) = bytes.split_at(20);
    let id = next_id().to_be_bytes();
    pieces(carried, |offset, more, piece| {
        let mut fragment = header.to_vec();
        let field = (offset / 8) | (u16::from(more) << 13);
        fragment[2..4].copy_from_slice(&u16::try_from(20 + piece.len()).unwrap().to_be_bytes());
        fragment[4..6].copy_from_slice(&id);
        fragment[6..8].copy_from_slice(&field.to_be_bytes());
        fragment.extend(piece);
        fragment
    })
}

fn pieces6(bytes: &[u8]) -> Vec<Vec<u8>> {
    let (header, carried) = bytes.split_at(40);
    let id = next_id().to_be_bytes();
    pieces(carried, |offset, more, piece| {
        let mut fragment = header.to_vec();
        let [high, low] = (offset | u16::from(more)).to_be_bytes();
        fragment[4..6].copy_from_slice(&u16::try_from(8 + piece.len()).unwrap().to_be_bytes());
        fragment[6] = 44;
        fragment.extend([header[6], 0, high, low, 0, 0, id[0], id[1]]);
        fragment.extend(piece);
        fragment
    })
}

fn pieces(carried: &[u8], piece: impl Fn(u16, bool, &[u8]) -> Vec<u8>) -> Vec<Vec<u8>> {
    let last = carried.len().div_ceil(PIECE) - 1;
    carried
        .chunks(PIECE)
        .enumerate()
        .map(|(index, bytes)| piece(u16::try_from(index * PIECE).unwrap(), index < last, bytes))
        .collect()
}

/// A packet with its IP header, from the caller's network namespace.
fn send_raw(to: IpAddr, packet: &[u8]) {
    let open = |family| socket(family, SockType::Raw, SockFlag::SOCK_CLOEXEC, SockProtocol::Raw).unwrap();
    let sent = match to {
        IpAddr::V4(to) => {
            let to = SockaddrIn::from(SocketAddrV4::new(to, 0));
            sendto(
                open(AddressFamily::Inet).as_raw_fd(),
                packet,
                &to,
                MsgFlags::empty(),
            )
        }
        IpAddr::V6(to) => {
            let to = SockaddrIn6::from(SocketAddrV6::new(to, 0, 0, 0));
            sendto(
                open(AddressFamily::Inet6).as_raw_fd(),
                packet,
                &to,
                MsgFlags::empty(),
            )
        }
    };
    assert_eq!(sent.unwrap(), packet.len());
}
