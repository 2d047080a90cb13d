//! The kernel's table of connections, by netlink.

mod flow;
mod netlink;
#[cfg(test)]
mod netns_tests;

pub(crate) use self::{
    flow::{Ends, Flow},
    netlink::{ConntrackError, Table},
};
