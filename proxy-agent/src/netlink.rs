//! Questions to the kernel by netlink families that no library here speaks.

use std::io;

use rtnetlink::{
    packet_core::{ErrorBuffer, NLM_F_REQUEST, NLMSG_DONE, NLMSG_ERROR, NetlinkBuffer},
    sys::{Socket, SocketAddr},
};

const HEADER: usize = 16;

/// A socket of one family, in the network namespace of the thread that has opened it.
pub(crate) struct Netlink(Socket);

impl Netlink {
    /// `family` is one of `NETLINK_…`.
    pub(crate) fn open(family: isize) -> io::Result<Self> {
        let mut socket = Socket::new(family)?;
        socket.bind_auto()?;
        socket.connect(&SocketAddr::new(0, 0))?;
        Ok(Self(socket))
    }

    /// Sends a message of this kind and gives each answer's payload, until the last one. `flags` has `NLM_F_DUMP`, or `NLM_F_ACK`,
    /// without which nothing tells the last answer.
    pub(crate) fn ask(
        &self,
        kind: u16,
        flags: u16,
        payload: &[u8],
        mut answer: impl FnMut(&[u8]),
    ) -> io::Result<()> {
        self.0.send(&message(kind, flags, payload), 0)?;
        loop {
            let (datagram, _) = self.0.recv_from_full()?;
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
}

fn message(kind: u16, flags: u16, payload: &[u8]) -> Vec<u8> {
    let length = HEADER + payload.len();
    let mut bytes = vec![0; HEADER];
    let mut header = NetlinkBuffer::new(&mut bytes);
    header.set_length(u32::try_from(length).unwrap_or(u32::MAX));
    header.set_message_type(kind);
    header.set_flags(NLM_F_REQUEST | flags);
    bytes.extend(payload);
    bytes
}

/// An error message without an error is an acknowledgement.
fn outcome(payload: &[u8]) -> io::Result<()> {
    let error = ErrorBuffer::new_checked(payload).map_err(io::Error::other)?;
    match error.code() {
        None => Ok(()),
        Some(code) => Err(io::Error::from_raw_os_error(-code.get())),
    }
}
