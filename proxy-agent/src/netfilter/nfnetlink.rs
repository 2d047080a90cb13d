//! Questions to the kernel by the netfilter netlink family.

use std::io;

use rtnetlink::{
    packet_core::{
        ErrorBuffer, NLM_F_REQUEST, NLMSG_DONE, NLMSG_ERROR, NetlinkBuffer, NlaBuffer, NlasIterator,
    },
    sys::{Socket, SocketAddr, constants::NETLINK_NETFILTER},
};

const HEADER: usize = 16;
/// `struct nfgenmsg`.
const GENERIC: usize = 4;

/// What is asked.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Request<'a> {
    /// The subsystem and its message: `NFNL_SUBSYS_… << 8 | …`.
    pub(crate) kind: u16,
    /// `NLM_F_DUMP`, or `NLM_F_ACK`, without which nothing tells the last answer.
    pub(crate) flags: u16,
    /// `AF_INET`, `AF_INET6` or `AF_UNSPEC`.
    pub(crate) family: i32,
    /// Each as [`attribute`] makes it.
    pub(crate) attributes: &'a [u8],
}

/// In the network namespace of the thread that has opened it.
pub(crate) struct Nfnetlink(Socket);

impl Nfnetlink {
    pub(crate) fn open() -> io::Result<Self> {
        let mut socket = Socket::new(NETLINK_NETFILTER)?;
        socket.bind_auto()?;
        socket.connect(&SocketAddr::new(0, 0))?;
        Ok(Self(socket))
    }

    /// Sends a request and gives each answer's attributes, until the last one.
    pub(crate) fn ask(&self, request: Request<'_>, mut answer: impl FnMut(&[u8])) -> io::Result<()> {
        self.0.send(&request.bytes(), 0)?;
        loop {
            let (datagram, _) = self.0.recv_from_full()?;
            let mut rest = &datagram[..];
            while !rest.is_empty() {
                let message = NetlinkBuffer::new_checked(rest).map_err(io::Error::other)?;
                match message.message_type() {
                    NLMSG_DONE => return Ok(()),
                    NLMSG_ERROR => return outcome(message.payload()),
                    _ => answer(message.payload().get(GENERIC..).unwrap_or_default()),
                }
                let length = usize::try_from(message.length()).unwrap_or(usize::MAX);
                rest = rest.get(length.next_multiple_of(4)..).unwrap_or_default();
            }
        }
    }
}

impl Request<'_> {
    fn bytes(&self) -> Vec<u8> {
        let length = HEADER + GENERIC + self.attributes.len();
        let mut bytes = vec![0; HEADER];
        let mut header = NetlinkBuffer::new(&mut bytes);
        header.set_length(u32::try_from(length).unwrap_or(u32::MAX));
        header.set_message_type(self.kind);
        header.set_flags(NLM_F_REQUEST | self.flags);
        bytes.extend([u8::try_from(self.family).unwrap_or_default(), 0, 0, 0]);
        bytes.extend(self.attributes);
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

/// An attribute with its padding. A nested one carries `NLA_F_NESTED`.
pub(crate) fn attribute(kind: u16, value: &[u8]) -> Vec<u8> {
    let length = u16::try_from(4 + value.len()).unwrap_or(u16::MAX);
    let mut bytes = [length.to_ne_bytes(), kind.to_ne_bytes()].concat();
    bytes.extend(value);
    bytes.resize(bytes.len().next_multiple_of(4), 0);
    bytes
}

/// Those that can be read: what cannot ends the walk.
pub(crate) fn each(attributes: &[u8]) -> impl Iterator<Item = NlaBuffer<&[u8]>> {
    NlasIterator::new(attributes).map_while(Result::ok)
}

/// The value of the first attribute of this kind.
pub(crate) fn find(attributes: &[u8], kind: u16) -> Option<&[u8]> {
    each(attributes)
        .find(|attribute| attribute.kind() == kind)
        .map(|attribute| {
            let attribute: NlaBuffer<&[u8]> = attribute;
            let length = usize::from(attribute.length());
            &attribute.into_inner()[4..length]
        })
}
