//! What a flow has been through, and how long it may then be idle.
//!
//! A set of facts rather than a state machine: the two directions of a flow pass different hooks on different CPUs.

use crate::addr::TCP;

/// Facts about a flow.
#[derive(Clone, Copy, PartialEq, Eq, zerocopy::FromBytes, zerocopy::Immutable, zerocopy::KnownLayout)]
#[cfg_attr(feature = "user", derive(Debug, PartialOrd, Ord))]
#[repr(C)]
pub struct State {
    facts: u8,
}

/// Which way a packet of a flow goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Direction {
    /// From the client.
    Request,
    /// From the endpoint.
    Reply,
}

/// TCP flags that matter here (RFC 9293), all clear for UDP.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TcpFlags(pub u8);

impl TcpFlags {
    const FIN: u8 = 1;
    const SYN: u8 = 1 << 1;
    const RST: u8 = 1 << 2;
    const ACK: u8 = 1 << 4;

    /// Asks for a new connection: SYN without ACK, RST or FIN.
    #[must_use]
    #[inline(always)]
    pub const fn opens(self) -> bool {
        self.0 & (Self::SYN | Self::ACK | Self::RST | Self::FIN) == Self::SYN
    }
}

impl State {
    /// Only the client has been heard.
    pub const NEW: Self = Self { facts: 0 };
    const REPLIED: u8 = 1;
    const REQUEST_FIN: u8 = 1 << 1;
    const REPLY_FIN: u8 = 1 << 2;
    const RESET: u8 = 1 << 3;

    /// The state after a packet.
    ///
    /// A reset is taken back by any later packet that is none: a spurious or off-window RST must not end a living flow. The
    /// SYN of a client that uses its port again after both sides have closed begins a new one.
    #[must_use]
    #[inline(always)]
    pub const fn after(self, flags: TcpFlags, direction: Direction) -> Self {
        let anew = flags.opens() && self.is_closed();
        let mut state = if anew { 0 } else { self.facts & !Self::RESET };
        let fin = match direction {
            Direction::Request => Self::REQUEST_FIN,
            Direction::Reply => {
                state |= Self::REPLIED;
                Self::REPLY_FIN
            }
        };
        if flags.0 & TcpFlags::FIN != 0 {
            state |= fin;
        }
        if flags.0 & TcpFlags::RST != 0 {
            state |= Self::RESET;
        }
        Self { facts: state }
    }

    /// Whether a SYN on the flow's tuple is a new connection: reset, or closed by both sides.
    #[must_use]
    #[inline(always)]
    pub const fn is_closed(self) -> bool {
        self.facts & Self::RESET != 0 || self.facts & Self::BOTH_FINS == Self::BOTH_FINS
    }

    const BOTH_FINS: u8 = Self::REQUEST_FIN | Self::REPLY_FIN;

    /// Seconds that the flow may be idle, by kube-proxy's and nf_conntrack's defaults.
    #[must_use]
    #[inline(always)]
    pub const fn timeout(self, protocol: u8) -> u32 {
        let replied = self.facts & Self::REPLIED != 0;
        if protocol != TCP {
            return if replied { 120 } else { 30 };
        }
        if self.facts & Self::RESET != 0 {
            return 10;
        }
        match (replied, self.facts & Self::BOTH_FINS) {
            (_, Self::BOTH_FINS) => 120,
            (false, _) => 120,
            (true, 0) => 86_400,
            (true, _) => 3_600,
        }
    }

    /// Short name for people.
    #[must_use]
    pub const fn name(self, protocol: u8) -> &'static str {
        let replied = self.facts & Self::REPLIED != 0;
        if protocol != TCP {
            return if replied { "replied" } else { "new" };
        }
        if self.facts & Self::RESET != 0 {
            return "reset";
        }
        match (replied, self.facts & Self::BOTH_FINS) {
            (_, Self::BOTH_FINS) => "closed",
            (false, _) => "syn-sent",
            (true, 0) => "established",
            (true, _) => "closing",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{
        Direction::{Reply, Request},
        State, TcpFlags,
    };
    use crate::addr::{TCP, UDP};

    const SYN: TcpFlags = TcpFlags(0x02);
    const SYN_ACK: TcpFlags = TcpFlags(0x12);
    const ACK: TcpFlags = TcpFlags(0x10);
    const FIN_ACK: TcpFlags = TcpFlags(0x11);
    const RST: TcpFlags = TcpFlags(0x04);

    fn established() -> State {
        State::NEW
            .after(SYN, Request)
            .after(SYN_ACK, Reply)
            .after(ACK, Request)
    }

    #[test]
    fn only_a_bare_syn_opens_a_flow() {
        let opening = [SYN, SYN_ACK, ACK, FIN_ACK, RST, TcpFlags(0x06), TcpFlags(0xc2)].map(TcpFlags::opens);
        assert_eq!(opening, [true, false, false, false, false, false, true]);
    }

    #[test]
    fn an_unanswered_syn_expires_after_two_minutes_and_an_established_flow_after_a_day() {
        assert_eq!(
            (
                State::NEW.after(SYN, Request).timeout(TCP),
                established().timeout(TCP)
            ),
            (120, 86_400)
        );
    }

    #[test]
    fn a_flow_is_closed_when_both_sides_have_said_fin() {
        let half = established().after(FIN_ACK, Request);
        assert!(!half.is_closed());
        assert_eq!(half.timeout(TCP), 3_600);
        assert!(half.after(FIN_ACK, Reply).is_closed());
    }

    #[test]
    fn a_spurious_reset_is_taken_back_by_the_next_packet() {
        let reset = established().after(RST, Reply);
        assert!(reset.is_closed());
        assert_eq!(
            (reset.timeout(TCP), reset.after(ACK, Request).timeout(TCP)),
            (10, 86_400)
        );
    }

    #[test]
    fn a_syn_after_the_close_begins_a_new_flow() {
        let closed = established().after(FIN_ACK, Request).after(FIN_ACK, Reply);
        assert_eq!(closed.after(SYN, Request), State::NEW);
        assert_eq!(
            established().after(SYN, Request),
            established(),
            "a duplicate SYN changes nothing"
        );
    }

    #[test]
    fn udp_lives_thirty_seconds_unanswered_and_two_minutes_answered() {
        let none = TcpFlags(0);
        let asked = State::NEW.after(none, Request);
        assert_eq!(
            (asked.timeout(UDP), asked.after(none, Reply).timeout(UDP)),
            (30, 120)
        );
    }
}
