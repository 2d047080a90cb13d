//! Questions to the kernel by the netfilter netlink family.

use std::io;

use rtnetlink::{
    packet_core::{NlaBuffer, NlasIterator},
    sys::constants::NETLINK_NETFILTER,
};

use crate::netlink::Netlink;

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
pub(crate) struct Nfnetlink(Netlink);

impl Nfnetlink {
    pub(crate) fn open() -> io::Result<Self> {
        Netlink::open(NETLINK_NETFILTER).map(Self)
    }

    /// Sends a request and gives each answer's attributes, until the last one.
    pub(crate) fn ask(&self, request: Request<'_>, mut answer: impl FnMut(&[u8])) -> io::Result<()> {
        self.0
            .ask(request.kind, request.flags, &request.payload(), |payload| {
                answer(payload.get(GENERIC..).unwrap_or_default());
            })
    }
}

impl Request<'_> {
    fn payload(&self) -> Vec<u8> {
        let family = u8::try_from(self.family).unwrap_or_default();
        [&[family, 0, 0, 0], self.attributes].concat()
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
