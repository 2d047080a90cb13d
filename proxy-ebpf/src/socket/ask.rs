//! Whose sockets are translated, and where to.
//!
//! Those of the node's own network namespace have nobody else to do it. Of pods it is the TCP connections that no rule wants to see
//! on a device: whoever is to be masqueraded, is let in by address, is refused or is told nothing is left to the device that its packets
//! arrive on. UDP of pods always is: a flow on a device leaves an endpoint that is gone, a connected socket could not.

use aya_ebpf::programs::SockAddrContext;
use proxy_common::{
    Cookie, Counter, FrontendFlags, LOOPBACK_NODE_PORTS, List, NODE_PORTS, Port, Settings, SocketRules, TCP,
};

use super::{
    netns,
    place::{self, Place},
};
use crate::{
    Family,
    choice::{self, Choice},
    count, kept_back,
    lookup::{self, Found},
    maps::SETTINGS,
};

/// Whose socket it is.
pub(super) struct Asker {
    pub(super) is_node: bool,
    netns: Cookie,
    settings: &'static Settings,
}

/// What is to become of what a process has asked for.
pub(super) enum Reply<A> {
    /// It is left to whoever has the address, or to a device.
    Pass,
    /// Nobody serves it.
    Refused,
    /// The endpoint, the list that it is in, and the Service port.
    Endpoint((A, Port), List, u32),
}

impl Asker {
    /// The one whose socket it is, if its sockets are translated.
    #[inline(always)]
    pub(super) fn of(ctx: &SockAddrContext, protocol: u8) -> Option<Self> {
        let settings = SETTINGS.get(0)?;
        let (netns, rules) = (netns(ctx), settings.sockets());
        let is_node = netns == settings.netns();
        let is_served = if is_node {
            rules.has(SocketRules::NODE)
        } else {
            protocol == TCP && rules.has(SocketRules::PODS)
        };
        (is_served && !settings.is_draining()).then_some(Self {
            is_node,
            netns,
            settings,
        })
    }

    /// The frontend that it has asked for. Loopback addresses are the node's for the node alone.
    #[inline(always)]
    pub(super) fn frontend<F: Family>(&self, asked: (F::Address, Port), protocol: u8) -> Option<Found> {
        let addresses = if self.is_node {
            NODE_PORTS | LOOPBACK_NODE_PORTS
        } else {
            NODE_PORTS
        };
        lookup::frontend::<F>(asked, protocol, addresses)
    }

    /// Local pods and processes of the node, in the words of `FrontendFlags`.
    #[inline(always)]
    pub(super) fn is_internal<F: Family>(&self) -> bool {
        self.is_node || self.settings.sockets().has(F::POD_SOCKETS)
    }

    /// What the frontend has for it.
    #[inline(always)]
    pub(super) fn reply<P: Place>(
        &self,
        ctx: &SockAddrContext,
        found: &Found,
        asked: (<P::Family as Family>::Address, Port),
    ) -> Reply<<P::Family as Family>::Address> {
        let frontend = found.frontend;
        let is_internal = self.is_internal::<P::Family>();
        let has_ranges = frontend.flags().has(FrontendFlags::SOURCE_RANGES);
        let is_left = !self.is_node
            && (frontend.masquerades(is_internal) || has_ranges || frontend.list_for(is_internal).len == 0);
        if is_left {
            return Reply::Pass;
        }
        let mut source = P::Family::node(self.settings);
        if has_ranges {
            source = place::source_or::<P>(ctx, source);
        }
        match choice::choose::<P::Family, Cookie>(frontend, is_internal, &source, &self.netns) {
            Choice::Endpoint(endpoint, list) => Reply::Endpoint(endpoint, list, frontend.service()),
            Choice::Refused => Reply::Refused,
            Choice::Silence(_) => {
                kept_back::expect::<P::Family>(asked);
                Reply::Pass
            }
            Choice::SlotMissing => {
                count::add(Counter::SlotMissing);
                Reply::Pass
            }
        }
    }
}
