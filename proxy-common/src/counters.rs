//! Everything that the programs count. Each drop has a counter of its own.

macro_rules! counters {
    ($($(#[doc = $doc:literal])+ $name:ident = $text:literal,)+) => {
        /// What is counted, and its index in `COUNTERS`.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        #[repr(u32)]
        pub enum Counter {
            $($(#[doc = $doc])+ $name,)+
        }

        impl Counter {
            /// All of them, in the order of their indices.
            pub const ALL: &[Self] = &[$(Self::$name),+];

            /// Name for people and programs.
            #[must_use]
            pub const fn name(self) -> &'static str {
                match self {
                    $(Self::$name => $text,)+
                }
            }

            /// What it counts.
            #[must_use]
            pub const fn description(self) -> &'static str {
                match self {
                    $(Self::$name => concat!($($doc),+),)+
                }
            }
        }
    };
}

counters! {
    /// New flows to an endpoint.
    FlowsOpened = "flows_opened",
    /// Flows that got a source binding.
    FlowsMasqueraded = "flows_masqueraded",
    /// UDP flows sent elsewhere because their endpoint is gone.
    FlowsRebalanced = "flows_rebalanced",
    /// Flows that got another source port because another frontend owned the reply's tuple.
    SourcePortsChanged = "source_ports_changed",
    /// Entries of a flow that were evicted and rebuilt from the other one.
    FlowsHealed = "flows_healed",
    /// Connections of sockets that were led to an endpoint at `connect`.
    SocketsConnected = "sockets_connected",
    /// Unconnected sockets that were led to an endpoint at their first datagram to a frontend.
    SocketPeers = "socket_peers",
    /// Unconnected sockets that were led elsewhere because their endpoint is gone.
    SocketPeersMoved = "socket_peers_moved",
    /// Refused at `connect` or `sendmsg`: nobody serves the frontend.
    SocketsRefused = "sockets_refused",
    /// Sockets that are not told whom they have asked for, because the table of sockets is full.
    SocketTableFull = "socket_table_full",
    /// Answered: nobody serves the frontend.
    Refused = "refused",
    /// Dropped: the frontend has no endpoint, and the client cannot be told.
    NoEndpoints = "dropped_no_endpoints",
    /// Dropped: the frontend has no endpoint, and too many clients were told so at this time.
    RejectRate = "dropped_reject_rate",
    /// Dropped: the frontend has no endpoint on this node, and another node may have one.
    NoLocalEndpoints = "dropped_no_local_endpoints",
    /// Dropped: the client is not in `loadBalancerSourceRanges`.
    SourceRange = "dropped_source_range",
    /// Dropped: no source port was free for a masqueraded flow.
    NoSourcePort = "dropped_no_source_port",
    /// Dropped: the interface has no address to masquerade with.
    NoSourceAddress = "dropped_no_source_address",
    /// Dropped: the packet could not be rewritten after its first write.
    RewriteFailed = "dropped_rewrite_failed",
    /// Passed untouched: a list lacked the slot that was picked.
    SlotMissing = "passed_slot_missing",
    /// Passed untouched: a flow table took no entry.
    FlowTableFull = "passed_flow_table_full",
    /// Passed untouched: a fragment of a datagram that is not known to be Service traffic.
    Fragment = "passed_fragment",
    /// Passed untouched: more IPv6 extension headers before the transport header than are looked through.
    ExtensionHeader = "passed_extension_header",
    /// Translations of ICMP errors about flows; an error that passes two hooks may count twice.
    IcmpErrorsTranslated = "icmp_errors_translated",
    /// Kept back: a fragment that came before the first one of its datagram.
    FragmentsHeld = "fragments_held",
    /// Fragments that went on once the first one of their datagram had come.
    FragmentsReleased = "fragments_released",
    /// Dropped: a fragment of a datagram whose first one was dropped or answered.
    FragmentOfDropped = "dropped_fragment",
}

#[cfg(test)]
mod tests {
    use super::Counter;

    #[test]
    fn indices_follow_the_order_of_the_list() {
        assert!(
            Counter::ALL
                .iter()
                .enumerate()
                .all(|(index, counter)| *counter as usize == index)
        );
    }
}
