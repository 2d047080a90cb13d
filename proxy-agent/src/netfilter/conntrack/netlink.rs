//! Asks the kernel for its table, and to delete entries, by the netfilter netlink family.

use std::io;

use rtnetlink::{
    packet_core::{
        ErrorBuffer, NLM_F_ACK, NLM_F_CREATE, NLM_F_DUMP, NLM_F_REQUEST, NLMSG_DONE, NLMSG_ERROR,
        NetlinkBuffer,
    },
    sys::{Socket, SocketAddr, constants::NETLINK_NETFILTER},
};

use super::flow::{Ends, Flow, NESTED, SEEN_REPLY, STATUS, TUPLE_ORIG, TUPLE_REPLY, ZONE, attribute};
use crate::model::Family;

/// `NFNL_SUBSYS_CTNETLINK << 8`, with `IPCTNL_MSG_CT_NEW`, `IPCTNL_MSG_CT_GET` and `IPCTNL_MSG_CT_DELETE`.
const NEW: u16 = 1 << 8;
const GET: u16 = 1 << 8 | 1;
const DELETE: u16 = 1 << 8 | 2;
/// `CTA_TIMEOUT`.
const TIMEOUT: u16 = 7;
/// `IPS_ASSURED`: not the first to go when the table is full. `IPS_CONFIRMED`.
const ASSURED: u32 = 1 << 2;
const CONFIRMED: u32 = 1 << 3;
const HEADER: usize = 16;
/// `struct nfgenmsg`.
const GENERIC: usize = 4;

/// The table of connections cannot be read or written.
#[derive(Debug, thiserror::Error)]
#[error("cannot {what} the kernel's table of connections (nf_conntrack_netlink): {source}")]
pub(crate) struct ConntrackError {
    what: &'static str,
    source: io::Error,
}

/// One family's table, of the network namespace of the thread.
pub(crate) struct Table {
    socket: Socket,
    family: Family,
}

impl Table {
    pub(crate) fn open(family: Family) -> Result<Self, ConntrackError> {
        let open = || {
            let mut socket = Socket::new(NETLINK_NETFILTER)?;
            socket.bind_auto()?;
            socket.connect(&SocketAddr::new(0, 0))?;
            Ok(socket)
        };
        let socket = open().map_err(|source| ConntrackError { what: "open", source })?;
        Ok(Self { socket, family })
    }

    /// Those that `keep` keeps: the table may have millions.
    pub(crate) fn flows(&self, keep: impl Fn(&Flow) -> bool) -> Result<Vec<Flow>, ConntrackError> {
        let mut flows = Vec::new();
        self.ask(GET, NLM_F_DUMP, &[], |payload| {
            let flow = payload.get(GENERIC..).and_then(Flow::parse);
            flows.extend(flow.filter(&keep));
        })
        .map_err(|source| ConntrackError { what: "read", source })?;
        Ok(flows)
    }

    /// One that has gone meanwhile is no error.
    pub(crate) fn delete(&self, flow: &Flow) -> Result<(), ConntrackError> {
        let mut attributes = attribute(TUPLE_ORIG | NESTED, &flow.tuple);
        if let Some(zone) = &flow.zone {
            attributes.extend(attribute(ZONE, zone));
        }
        self.ask_to_delete(&attributes)
    }

    /// Sees to it that nobody is given the source of `request` towards its destination for `seconds`: there is a flow of that name.
    pub(crate) fn reserve(&self, protocol: u8, request: Ends, seconds: u32) -> Result<(), ConntrackError> {
        let attributes = [
            attribute(TUPLE_ORIG | NESTED, &request.tuple(protocol)),
            attribute(TUPLE_REPLY | NESTED, &request.reversed().tuple(protocol)),
            attribute(STATUS, &(SEEN_REPLY | ASSURED | CONFIRMED).to_be_bytes()),
            attribute(TIMEOUT, &seconds.to_be_bytes()),
        ];
        self.ask(NEW, NLM_F_ACK | NLM_F_CREATE, &attributes.concat(), |_| ())
            .map_err(|source| ConntrackError {
                what: "write to",
                source,
            })
    }

    /// Takes back what [`Self::reserve`] has done.
    pub(crate) fn release(&self, protocol: u8, request: Ends) -> Result<(), ConntrackError> {
        self.ask_to_delete(&attribute(TUPLE_ORIG | NESTED, &request.tuple(protocol)))
    }

    fn ask_to_delete(&self, attributes: &[u8]) -> Result<(), ConntrackError> {
        match self.ask(DELETE, NLM_F_ACK, attributes, |_| ()) {
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
