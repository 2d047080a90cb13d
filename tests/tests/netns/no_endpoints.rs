//! A Service that nobody serves: its clients are refused at once instead of waiting.

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

for_each_variant!(
    a_pod_is_refused,
    a_client_outside_is_refused_by_a_node_port,
    a_pod_on_another_node_is_refused_by_a_node_port,
    a_node_without_a_local_endpoint_is_silent_under_policy_local,
);

const VARIANTS: [Variant; 4] = [crate::IPV4_TCP, crate::IPV4_UDP, crate::IPV6_TCP, crate::IPV6_UDP];
/// Less than the second after which a SYN is sent again: the first one must have been answered.
const AT_ONCE: Duration = Duration::from_millis(900);

fn a_pod_is_refused(variant: Variant) {
    let world = shared();
    let [one, _] = &world.topology.nodes;
    let service = world.publish(variant, &[]).unwrap();
    for target in [service.vip(), service.external_ip(), service.node_port(&one.host)] {
        is_refused(variant, &one.pods[2], target);
    }
}

fn a_client_outside_is_refused_by_a_node_port(variant: Variant) {
    let world = shared();
    let service = world.publish(variant, &[]).unwrap();
    for node in &world.topology.nodes {
        is_refused(variant, &world.topology.client, service.node_port(&node.host));
    }
}

fn a_pod_on_another_node_is_refused_by_a_node_port(variant: Variant) {
    let world = shared();
    let [one, two] = &world.topology.nodes;
    let service = world.publish(variant, &[]).unwrap();
    is_refused(variant, &two.pods[1], service.node_port(&one.host));
}

fn a_node_without_a_local_endpoint_is_silent_under_policy_local(variant: Variant) {
    let world = shared();
    let [one, two] = &world.topology.nodes;
    let local = world.publish(variant, &[&two.pods[0]]).unwrap();
    let yaml = local.service.to_yaml();
    let edited = yaml.replace(
        "  type: NodePort",
        "  type: NodePort\n  externalTrafficPolicy: Local",
    );
    assert_ne!(yaml, edited);
    world.manifests.write_text(&local.service.name, &edited).unwrap();
    // An agent that serves what was written later has read this, too.
    let served = world.publish(variant, &[&two.pods[0]]).unwrap();
    let ask = |target| ask(variant, &world.topology.client, target);
    ask(served.node_port(&one.host)).unwrap();
    let silence = ask(local.node_port(&one.host)).unwrap_err();
    assert!(
        matches!(silence.kind(), ErrorKind::TimedOut | ErrorKind::WouldBlock),
        "{silence}"
    );
    ask(local.node_port(&two.host)).unwrap();
}

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
