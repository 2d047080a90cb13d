//! Datagrams to several Services by one call.

use std::{
    collections::BTreeMap,
    io::{self, IoSlice},
    mem,
    net::{SocketAddr, UdpSocket},
    os::fd::AsRawFd as _,
};

use harness::world::{Variant, shared_with_sockets};
use nix::libc;
use socket2::SockAddr;

use super::{parse, unconnected};

for_each_udp!(each_message_of_one_call_reaches_the_service_that_it_is_for);

fn each_message_of_one_call_reaches_the_service_that_it_is_for(variant: Variant) {
    let world = shared_with_sockets();
    let [one, two] = &world.topology.nodes;
    let pods = [&one.pods[0], &one.pods[1], &two.pods[0]];
    let services = pods.map(|pod| world.publish(variant, &[pod]).unwrap());
    let socket = unconnected(&one.host, variant.family);
    send(&socket, &services.each_ref().map(|service| service.vip())).unwrap();
    let mut met = BTreeMap::new();
    for _ in &services {
        let mut buffer = [0; 2048];
        let (length, from) = socket.recv_from(&mut buffer).unwrap();
        met.insert(from, parse(&buffer[..length]).0);
    }
    let vips = services.iter().map(|service| service.vip());
    let wanted: BTreeMap<_, _> = vips.zip(pods.map(|pod| pod.name.clone())).collect();
    assert_eq!(met, wanted);
}

/// `sendmmsg(2)`.
fn send(socket: &UdpSocket, targets: &[SocketAddr]) -> io::Result<()> {
    let targets: Vec<SockAddr> = targets.iter().map(|target| (*target).into()).collect();
    let mut text = IoSlice::new(b"who");
    let message = |target: &SockAddr| {
        // SAFETY: all zeros are a message without anything.
        let mut message: libc::mmsghdr = unsafe { mem::zeroed() };
        message.msg_hdr.msg_name = target.as_ptr().cast_mut().cast();
        message.msg_hdr.msg_namelen = target.len();
        message.msg_hdr.msg_iov = (&raw mut text).cast();
        message.msg_hdr.msg_iovlen = 1;
        message
    };
    let mut messages: Vec<libc::mmsghdr> = targets.iter().map(message).collect();
    let count = u32::try_from(messages.len()).expect("a few");
    // SAFETY: addresses and the text, which the kernel only reads, outlive the call, and there are `count` messages.
    let sent = unsafe { libc::sendmmsg(socket.as_raw_fd(), messages.as_mut_ptr(), count, 0) };
    match u32::try_from(sent) {
        Ok(sent) if sent == count => Ok(()),
        Ok(sent) => Err(io::Error::other(format!("{sent} of {count} messages"))),
        Err(_) => Err(io::Error::last_os_error()),
    }
}
