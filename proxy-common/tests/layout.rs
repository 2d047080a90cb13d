//! The bytes of each wire type, by hand: whoever changes one sees it here, and raises `WIRE_VERSION`.
#![cfg(feature = "user")]

use std::net::IpAddr;

use proxy_common::{
    ASKED, Addr4, Addr6, Address, Affinity, AffinityKey, Asked, Cookie, Endpoint, EndpointKey, Flow,
    FlowFlags, FlowKey, Fragment, FragmentKey, FragmentedKey, Frontend, FrontendFlags, FrontendKey,
    FrontendKind, HeldKey, Interface, InterfaceFlags, Limits, MemberKey, Network, Peer, PeerKey, Port,
    RateLimit, ServiceName, Settings, Socket, SocketRules, SourceRange, TCP, UDP, snat::PortPool,
};

fn bytes_of<T: aya::Pod>(value: &T) -> &[u8] {
    // SAFETY: `Pod` types have neither padding nor uninitialised bytes.
    unsafe { core::slice::from_raw_parts(std::ptr::from_ref(value).cast(), size_of::<T>()) }
}

fn v4(text: &str) -> Addr4 {
    Addr4::from_ip(text.parse::<IpAddr>().expect("an address")).expect("of this family")
}

fn v6(text: &str) -> Addr6 {
    Addr6::from_ip(text.parse::<IpAddr>().expect("an address")).expect("of this family")
}

fn ne(numbers: &[u32]) -> Vec<u8> {
    numbers.iter().flat_map(|number| number.to_ne_bytes()).collect()
}

#[test]
fn a_frontend_key_is_address_port_protocol() {
    assert_eq!(
        bytes_of(&FrontendKey::new(v4("10.97.35.60"), Port::new(80), TCP)),
        [10, 97, 35, 60, 0, 80, 6, 0]
    );
    let key6 = FrontendKey::new(v6("fd00::3c"), Port::new(0x1234), UDP);
    let mut expected = [0; 20];
    expected[..2].copy_from_slice(&[0xfd, 0]);
    expected[15..19].copy_from_slice(&[0x3c, 0x12, 0x34, 17]);
    assert_eq!(bytes_of(&key6), expected);
}

#[test]
fn a_frontend_is_service_lists_affinity_flags_kind() {
    let frontend = Frontend::new(1, FrontendKind::NodePort, FrontendFlags::MASQUERADE)
        .with_cluster_list(2, 3)
        .with_local_list(4, 5)
        .with_affinity(6);
    let mut expected = ne(&[1, 2, 3, 4, 5, 6, 1]);
    expected.extend([4, 0, 0, 0]);
    assert_eq!(bytes_of(&frontend), expected);
}

#[test]
fn an_endpoint_is_address_port_and_share_under_list_and_slot() {
    assert_eq!(bytes_of(&EndpointKey::new(7, 2)), ne(&[7, 2]));
    let endpoint = Endpoint::new(v4("192.168.166.157"), Port::new(80));
    let mut expected = vec![192, 168, 166, 157, 0, 80, 0, 0];
    expected.extend(ne(&[u32::MAX, 0]));
    assert_eq!(bytes_of(&endpoint), expected);
    let endpoint = Endpoint::new(v6("fd00::3c"), Port::new(80)).with_share(8, 9);
    let mut expected = vec![0xfd, 0];
    expected.extend([0; 13]);
    expected.extend([0x3c, 0, 80, 0, 0]);
    expected.extend(ne(&[8, 9]));
    assert_eq!(bytes_of(&endpoint), expected);
    let mut member = ne(&[7]);
    member.extend([192, 168, 166, 157, 0, 80, 0, 0]);
    assert_eq!(
        bytes_of(&MemberKey::new(7, v4("192.168.166.157"), Port::new(80))),
        member
    );
}

#[test]
fn a_flow_is_the_tuple_and_what_is_put() {
    let key = FlowKey::new(
        (v4("10.0.0.1"), Port::new(0x9c40)),
        (v4("10.96.0.10"), Port::new(53)),
        UDP,
    );
    assert_eq!(
        bytes_of(&key),
        [10, 0, 0, 1, 10, 96, 0, 10, 0x9c, 0x40, 0, 53, 17, 0, 0, 0]
    );
    let put = (v4("10.0.0.7"), Port::new(5353));
    let flow = Flow::new(
        put,
        Port::new(0x9c41),
        FlowFlags::REQUEST.with(FlowFlags::NODE_PORT),
        99,
    )
    .of(11, 12);
    let mut expected = vec![10, 0, 0, 7, 0x14, 0xe9, 0x9c, 0x41];
    expected.extend(ne(&[11, 12, 99]));
    expected.extend([0, 0b101, 0, 0]);
    assert_eq!(bytes_of(&flow), expected);
}

#[test]
fn a_datagram_is_its_ends_id_protocol_and_hook() {
    let ends = (v4("10.0.0.1"), v4("10.96.0.10"));
    let key = FragmentKey::new(ends, [0x12, 0x34, 0, 0], UDP, 1);
    let mut bytes = vec![10, 0, 0, 1, 10, 96, 0, 10, 0x12, 0x34, 0, 0, 17, 1, 0, 0];
    assert_eq!(bytes_of(&key), bytes);
    bytes.extend(ne(&[7]));
    assert_eq!(bytes_of(&HeldKey::new(key, 7)), bytes);
    let mut first = vec![10, 0, 0, 7];
    first.extend(ne(&[99, 0]));
    assert_eq!(bytes_of(&Fragment::put(v4("10.0.0.7"), 99)), first);
    let mut address = vec![10, 96, 0, 10];
    address.extend(ne(&[1]));
    assert_eq!(bytes_of(&FragmentedKey::new(v4("10.96.0.10"), 1)), address);
}

#[test]
fn settings_are_the_port_pool_the_next_ids_the_pods_the_mark_whether_flows_are_opened_and_the_node() {
    let bytes = bytes_of(
        &Settings::new(PortPool::new([1024..=29_999, 61_000..=65_535]), 5, 6)
            .with_pods(Some(Network::new(v4("10.1.0.0"), v4("255.255.0.0"))), None)
            .with_forward_mark(0x4000)
            .with_draining(true)
            .with_sockets(
                Cookie::new(3 << 32 | 2),
                SocketRules::NODE.with(SocketRules::PODS6),
            )
            .with_node(v4("10.0.0.2"), v6("fd00::3c")),
    )
    .to_vec();
    assert_eq!(bytes[..8], ne(&[33_512, 2]));
    let ranges: Vec<u8> = [1024_u16, 29_999, 61_000, 65_535]
        .iter()
        .flat_map(|port| port.to_ne_bytes())
        .collect();
    assert_eq!(bytes[8..16], ranges);
    assert_eq!(bytes[24..32], ne(&[5, 6]));
    assert_eq!(bytes[32..40], [10, 1, 0, 0, 255, 255, 0, 0]);
    assert_eq!((&bytes[40..56], &bytes[56..72]), (&[0; 16][..], &[0xff; 16][..]));
    assert_eq!(bytes[72..88], ne(&[0x4000, 1, 2, 3]));
    assert_eq!(bytes[88..92], [10, 0, 0, 2]);
    assert_eq!((&bytes[92..94], bytes[107]), (&[0xfd, 0][..], 0x3c));
    assert_eq!(bytes[108..], ne(&[0b1001]));
}

#[test]
fn a_socket_is_whom_it_has_asked_for_and_whom_it_got() {
    let asked = (v4("10.96.0.10"), Port::new(80));
    let endpoint = (v4("10.244.1.5"), Port::new(0x1f90));
    let ends = [10, 96, 0, 10, 0, 80, 0, 0, 10, 244, 1, 5, 0x1f, 0x90, 0, 0];
    let mapped = [&[0; 10][..], &[0xff; 2]].concat();
    let expected = [&mapped, &ends[..8], &mapped, &ends[8..], &ne(&[7])].concat();
    assert_eq!(bytes_of(&Socket::new(asked, endpoint, 7)), expected);
    let socket = Cookie::new(2 << 32 | 1);
    let key = |side, end: &[u8]| [ne(&[1, 2]), end.to_vec(), ne(&[side])].concat();
    assert_eq!(bytes_of(&PeerKey::asked(socket, asked)), key(0, &ends[..8]));
    assert_eq!(bytes_of(&PeerKey::endpoint(socket, endpoint)), key(1, &ends[8..]));
    let peer = [ends[8..].to_vec(), ne(&[7, 9])].concat();
    assert_eq!(bytes_of(&Peer::new(endpoint, 7, 9)), peer);
    let all = [ne(&[1]), ends[..8].repeat(ASKED)].concat();
    assert_eq!(bytes_of(&Asked::one(asked)), all);
}

#[test]
fn what_is_known_of_clients_stands_under_service_and_address() {
    let range = SourceRange::new(0x0102, v4("10.0.0.0"));
    assert_eq!(bytes_of(&range), [0, 0, 1, 2, 10, 0, 0, 0]);
    let mut key = ne(&[0x0102]);
    key.extend([10, 0, 0, 7]);
    assert_eq!(bytes_of(&AffinityKey::new(0x0102, v4("10.0.0.7"))), key);
    let mut affinity = vec![10, 0, 0, 9, 0x1f, 0x90, 0, 0];
    affinity.extend(ne(&[77]));
    let endpoint = (v4("10.0.0.9"), Port::new(8_080));
    assert_eq!(bytes_of(&Affinity::new(endpoint, 77)), affinity);
}

#[test]
fn interfaces_and_names_are_plain_bytes() {
    let interface = Interface::new(v4("10.0.0.1"), v6("fd00::1"), InterfaceFlags::PODS6);
    let mut expected = vec![10, 0, 0, 1, 0xfd, 0];
    expected.extend([0; 13]);
    expected.push(1);
    let unbridged = expected.clone();
    expected.extend(ne(&[2]));
    expected.extend([0; 8]);
    assert_eq!(bytes_of(&interface), expected);
    assert_eq!(interface.bridge_mac(), None);
    let port = interface.on_bridge([0xee, 1, 2, 3, 4, 5]);
    let bridge = [&ne(&[2 | 4])[..], &[0xee, 1, 2, 3, 4, 5, 0, 0]].concat();
    assert_eq!(bytes_of(&port), [unbridged, bridge].concat());
    let name = ServiceName::new("default/web:http", TCP).with_limits(Limits::PROTOCOL);
    assert_eq!(bytes_of(&name)[..20], *b"\x06\0\x01\0default/web:http");
    assert_eq!((name.text(), name.protocol()), ("default/web:http", TCP));
}

#[test]
fn a_rate_is_the_time_and_what_is_left() {
    assert_eq!(bytes_of(&RateLimit::FULL), ne(&[0, 0]));
    let mut limit = RateLimit::FULL;
    assert!(limit.allows(5_000));
    assert_eq!(bytes_of(&limit), ne(&[5_000, 999]));
}
