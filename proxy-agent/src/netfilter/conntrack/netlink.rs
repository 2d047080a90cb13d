//! Asks the kernel for its table, and to delete entries, by the netfilter netlink family.

use std::io;

use nix::{
    errno::Errno,
    libc::{AF_INET, AF_INET6},
};
use rtnetlink::packet_core::{NLM_F_ACK, NLM_F_CREATE, NLM_F_DUMP};

use super::flow::{Ends, Flow, NESTED, SEEN_REPLY, STATUS, TUPLE_ORIG, TUPLE_REPLY, ZONE};
use crate::{
    model::Family,
    netfilter::nfnetlink::{Nfnetlink, Request, attribute},
};

/// `NFNL_SUBSYS_CTNETLINK << 8`, with `IPCTNL_MSG_CT_NEW`, `IPCTNL_MSG_CT_GET` and `IPCTNL_MSG_CT_DELETE`.
const NEW: u16 = 1 << 8;
const GET: u16 = 1 << 8 | 1;
const DELETE: u16 = 1 << 8 | 2;
/// `CTA_TIMEOUT`.
const TIMEOUT: u16 = 7;
/// `IPS_ASSURED`: not the first to go when the table is full. `IPS_CONFIRMED`.
const ASSURED: u32 = 1 << 2;
const CONFIRMED: u32 = 1 << 3;

/// The table of connections cannot be read or written.
#[derive(Debug, thiserror::Error)]
#[error("cannot {what} the kernel's table of connections (nf_conntrack_netlink): {source}")]
pub(crate) struct ConntrackError {
    what: &'static str,
    source: io::Error,
}

/// One family's table, of the network namespace of the thread.
pub(crate) struct Table {
    netlink: Nfnetlink,
    family: Family,
}

impl Table {
    pub(crate) fn open(family: Family) -> Result<Self, ConntrackError> {
        let netlink = Nfnetlink::open().map_err(|source| ConntrackError { what: "open", source })?;
        Ok(Self { netlink, family })
    }

    /// Those that `keep` keeps: the table may have millions.
    pub(crate) fn flows(&self, keep: impl Fn(&Flow) -> bool) -> Result<Vec<Flow>, ConntrackError> {
        let mut flows = Vec::new();
        self.ask(GET, NLM_F_DUMP, &[], |attributes| {
            flows.extend(Flow::parse(attributes).filter(&keep));
        })
        .map_err(|source| ConntrackError { what: "read", source })?;
        Ok(flows)
    }

    /// The one of this name, if there is one.
    pub(crate) fn find(&self, protocol: u8, request: Ends) -> Result<Option<Flow>, ConntrackError> {
        let name = attribute(TUPLE_ORIG | NESTED, &request.tuple(protocol));
        let mut found = None;
        let asked = self.ask(GET, NLM_F_ACK, &name, |attributes| {
            found = Flow::parse(attributes)
        });
        match asked {
            Err(error) if is_gone(&error) => Ok(None),
            result => result
                .map(|()| found)
                .map_err(|source| ConntrackError { what: "read", source }),
        }
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
            Err(error) if is_gone(&error) => Ok(()),
            result => result.map_err(|source| ConntrackError {
                what: "delete from",
                source,
            }),
        }
    }

    fn ask(&self, kind: u16, flags: u16, attributes: &[u8], answer: impl FnMut(&[u8])) -> io::Result<()> {
        let family = match self.family {
            Family::V4 => AF_INET,
            Family::V6 => AF_INET6,
        };
        let request = Request {
            kind,
            flags,
            family,
            attributes,
        };
        self.netlink.ask(request, answer)
    }
}

fn is_gone(error: &io::Error) -> bool {
    error.raw_os_error() == Some(Errno::ENOENT as i32)
}
