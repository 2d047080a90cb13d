//! The kernel's table of connections, by netlink.

mod flow;
mod netlink;

pub(crate) use self::{
    flow::{Ends, Flow},
    netlink::{ConntrackError, Table},
};
