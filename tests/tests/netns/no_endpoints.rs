//! A Service that nobody serves: refusals where devices and the kernel usually help with packets.

use std::{
    io::{ErrorKind, Result},
    net::{SocketAddr, UdpSocket},
    time::Duration,
};

use harness::{
    agent::TcAttach,
    exec,
    topology::{Host, pod_interface},
    traffic::{Answer, Client},
    world::{Variant, World, shared},
};
use nix::sys::socket::{setsockopt, sockopt::UdpGsoSegment};

const VARIANTS: [Variant; 4] = [crate::IPV4_TCP, crate::IPV4_UDP, crate::IPV6_TCP, crate::IPV6_UDP];
/// Less than the second after which a SYN is sent again: the first one must have been answered.
const AT_ONCE: Duration = Duration::from_millis(900);

/// A pod leaves its checksums to the node, whose device cannot do them: the kernel does, for packets that ask for it. Refusals
/// must not.
#[test]
fn a_refusal_by_a_device_without_checksum_offload_is_understood() {
    let world = World::start(TcAttach::Auto).unwrap();
    let [node, _] = &world.topology.nodes;
    let pod = &node.pods[2];
    let mut ethtool = node.host.ns.command("ethtool");
    exec::output(ethtool.args(["-K", &pod_interface(pod), "tx", "off"])).unwrap();
    for variant in VARIANTS {
        let service = world.publish(variant, &[]).unwrap();
        is_refused(variant, pod, service.vip());
    }
}

#[test]
fn a_datagram_that_the_device_is_to_cut_into_many_is_refused() {
    let world = shared();
    let pod = &world.topology.nodes[0].pods[2];
    for variant in [crate::IPV4_UDP, crate::IPV6_UDP] {
        let service = world.publish(variant, &[]).unwrap();
        let error = pod.ns.run(|| send_segmented(service.vip())).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::ConnectionRefused, "{error}");
    }
}

fn send_segmented(target: SocketAddr) -> Result<usize> {
    let any = if target.is_ipv4() { "0.0.0.0:0" } else { "[::]:0" };
    let socket = UdpSocket::bind(any)?;
    socket.connect(target)?;
    socket.set_read_timeout(Some(AT_ONCE))?;
    setsockopt(&socket, UdpGsoSegment, &1_200)?;
    socket.send(&[0x5a; 12_000])?;
    socket.recv(&mut [0; 16])
}

pub(crate) fn is_refused(variant: Variant, client: &Host, target: SocketAddr) {
    let error = ask(variant, client, target).unwrap_err();
    assert_eq!(
        error.kind(),
        ErrorKind::ConnectionRefused,
        "{} asks {target}: {error}",
        client.name
    );
}

fn ask(variant: Variant, client: &Host, target: SocketAddr) -> Result<Answer> {
    Client::new(&client.ns)
        .patience(AT_ONCE)
        .ask(variant.protocol, target)
}
