//! Asks the kernel for its table, and to delete entries, by the netfilter netlink family.

use std::io;

use nix::libc::{AF_INET, AF_INET6};
use rtnetlink::packet_core::{NLM_F_ACK, NLM_F_DUMP};

use super::flow::{Flow, TUPLE_ORIG, ZONE};
use crate::{
    model::Family,
    netfilter::nfnetlink::{Nfnetlink, Request, attribute},
};

/// `NFNL_SUBSYS_CTNETLINK << 8`, with `IPCTNL_MSG_CT_GET` and `IPCTNL_MSG_CT_DELETE`.
const GET: u16 = 1 << 8 | 1;
const DELETE: u16 = 1 << 8 | 2;
const NESTED: u16 = 1 << 15;

/// The table of connections cannot be read or written.
#[derive(Debug, thiserror::Error)]
#[error("cannot {what} the kernel's table of connections (nf_conntrack_netlink): {source}")]
pub(in super::super) struct ConntrackError {
    what: &'static str,
    source: io::Error,
}

/// One family's table, of the network namespace of the thread.
pub(super) struct Table {
    netlink: Nfnetlink,
    family: Family,
}

impl Table {
    pub(super) fn open(family: Family) -> Result<Self, ConntrackError> {
        let netlink = Nfnetlink::open().map_err(|source| ConntrackError { what: "open", source })?;
        Ok(Self { netlink, family })
    }

    pub(super) fn udp_flows(&mut self) -> Result<Vec<Flow>, ConntrackError> {
        let mut flows = Vec::new();
        self.ask(GET, NLM_F_DUMP, &[], |attributes| {
            flows.extend(Flow::parse(attributes))
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
