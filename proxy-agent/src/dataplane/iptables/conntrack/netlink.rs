//! Asks the kernel for its table, and to delete entries, by the netfilter netlink family.

use std::io;

use rtnetlink::{
    packet_core::{
        ErrorBuffer, NLM_F_ACK, NLM_F_DUMP, NLM_F_REQUEST, NLMSG_DONE, NLMSG_ERROR, NetlinkBuffer,
    },
    sys::{Socket, SocketAddr, constants::NETLINK_NETFILTER},
};

use super::flow::{Flow, TUPLE_ORIG, ZONE, attribute};
use crate::model::Family;

/// `NFNL_SUBSYS_CTNETLINK << 8`, with `IPCTNL_MSG_CT_GET` and `IPCTNL_MSG_CT_DELETE`.
const GET: u16 = 1 << 8 | 1;
const DELETE: u16 = 1 << 8 | 2;
const NESTED: u16 = 1 << 15;
const HEADER: usize = 16;
/// `struct nfgenmsg`.
const GENERIC: usize = 4;

/// The table of connections cannot be read or written.
#[derive(Debug, thiserror::Error)]
#[error("cannot {what} the kernel's table of connections (nf_conntrack_netlink): {source}")]
pub(in super::super) struct ConntrackError {
    what: &'static str,
    source: io::Error,
}

/// One family's table, of the network namespace of the thread.
pub(super) struct Table {
    socket: Socket,
    family: Family,
}

impl Table {
    pub(super) fn open(family: Family) -> Result<Self, ConntrackError> {
        let open = || {
            let mut socket = Socket::new(NETLINK_NETFILTER)?;
            socket.bind_auto()?;
            socket.connect(&SocketAddr::new(0, 0))?;
            Ok(socket)
        };
        let socket = open().map_err(|source| ConntrackError { what: "open", source })?;
        Ok(Self { socket, family })
    }

    pub(super) fn udp_flows(&mut self) -> Result<Vec<Flow>, ConntrackError> {
        let mut flows = Vec::new();
        self.ask(GET, NLM_F_DUMP, &[], |payload| {
            flows.extend(payload.get(GENERIC..).and_then(Flow::parse));
        })
        .map_err(|source| ConntrackError { what: "read", source })?;
        Ok(flows)
    }

    /// One that has gone meanwhile is no error.
    pub(super) fn delete(&mut self, flow: &Flow) -> Result<(), ConntrackError> {
        let mut attributes = attribute(TUPLE_ORIG | NESTED, &flow.tuple);
        if let Some(zone) = &flow.zone {
            attributes.extend(attribute(ZONE, zone));
        }
        match self.ask(DELETE, NLM_F_ACK, &attributes, |_| ()) {
            Err(error) if error.raw_os_error() == Some(nix::errno::Errno::ENOENT as i32) => Ok(()),
            result => result.map_err(|source| ConntrackError {
                what: "delete from",
                source,
            }),
        }
    }

    /// Sends a request and gives each answer's payload, until the last one.
    fn ask(&self, kind: u16, flags: u16, attributes: &[u8], mut answer: impl FnMut(&[u8])) -> io::Result<()> {
        self.socket.send(&self.request(kind, flags, attributes), 0)?;
        loop {
            let (datagram, _) = self.socket.recv_from_full()?;
            let mut rest = &datagram[..];
            while !rest.is_empty() {
                let message = NetlinkBuffer::new_checked(rest).map_err(io::Error::other)?;
                match message.message_type() {
                    NLMSG_DONE => return Ok(()),
                    NLMSG_ERROR => return outcome(message.payload()),
                    _ => answer(message.payload()),
                }
                let length = usize::try_from(message.length()).unwrap_or(usize::MAX);
                rest = rest.get(length.next_multiple_of(4)..).unwrap_or_default();
            }
        }
    }

    fn request(&self, kind: u16, flags: u16, attributes: &[u8]) -> Vec<u8> {
        let length = HEADER + GENERIC + attributes.len();
        let mut bytes = vec![0; HEADER];
        let mut header = NetlinkBuffer::new(&mut bytes);
        header.set_length(u32::try_from(length).unwrap_or(u32::MAX));
        header.set_message_type(kind);
        header.set_flags(NLM_F_REQUEST | flags);
        let family = match self.family {
            Family::V4 => nix::libc::AF_INET,
            Family::V6 => nix::libc::AF_INET6,
        };
        bytes.extend([u8::try_from(family).unwrap_or_default(), 0, 0, 0]);
        bytes.extend(attributes);
        bytes
    }
}

/// An error message without an error is an acknowledgement.
fn outcome(payload: &[u8]) -> io::Result<()> {
    let error = ErrorBuffer::new_checked(payload).map_err(io::Error::other)?;
    match error.code() {
        None => Ok(()),
        Some(code) => Err(io::Error::from_raw_os_error(-code.get())),
    }
}
