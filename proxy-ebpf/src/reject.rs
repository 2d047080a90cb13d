//! Telling a client that nobody serves what it asks for.

use aya_ebpf::programs::TcContext;
use proxy_common::Counter;

use crate::{
    Family,
    parse::Packet,
    verdict::{Action, Drop},
};

/// Answers the packet.
#[inline(always)]
pub(crate) fn packet<F: Family>(_ctx: &TcContext, _packet: &Packet<'_, F::Address>) -> Result<Action, Drop> {
    Err(Drop(Counter::NoEndpoints))
}
