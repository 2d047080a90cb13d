//! The rules in netfilter's own chains that lead to ours.

use super::names::{
    EXTERNAL_SERVICES, FORWARD, KUBELET_FIREWALL, NODE_PORTS, POSTROUTING, PROXY_FIREWALL, SERVICES,
};

/// A rule that is put in front of a chain that somebody else's rules are in, too.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Jump {
    /// The table.
    pub table: &'static str,
    /// The chain that it leads to, which has to be made first.
    pub to: &'static str,
    /// The chain that it is in.
    pub from: &'static str,
    /// Only for packets that open a connection.
    pub only_new: bool,
    /// What it is for.
    pub comment: Option<&'static str>,
}

impl Jump {
    /// What `iptables` needs after the name of the chain, argument by argument.
    #[must_use]
    pub fn arguments(&self) -> Vec<&'static str> {
        let mut arguments = Vec::new();
        if self.only_new {
            arguments.extend(["-m", "conntrack", "--ctstate", "NEW"]);
        }
        if let Some(comment) = self.comment {
            arguments.extend(["-m", "comment", "--comment", comment]);
        }
        arguments.extend(["-j", self.to]);
        arguments
    }
}

const fn jump(table: &'static str, to: &'static str, from: &'static str) -> Jump {
    Jump {
        table,
        to,
        from,
        only_new: false,
        comment: None,
    }
}

const fn with(jump: Jump, only_new: bool, comment: &'static str) -> Jump {
    Jump {
        only_new,
        comment: Some(comment),
        ..jump
    }
}

const PORTALS: &str = "kubernetes service portals";
const EXTERNAL_PORTALS: &str = "kubernetes externally-visible service portals";
const BALANCER_FIREWALL: &str = "kubernetes load balancer firewall";

/// kube-proxy's, in the order in which they are put in front: the last comes out on top.
pub const JUMPS: [Jump; 12] = [
    with(jump("filter", EXTERNAL_SERVICES, "INPUT"), true, EXTERNAL_PORTALS),
    with(
        jump("filter", EXTERNAL_SERVICES, "FORWARD"),
        true,
        EXTERNAL_PORTALS,
    ),
    with(
        jump("filter", NODE_PORTS, "INPUT"),
        false,
        "kubernetes health check service ports",
    ),
    with(jump("filter", SERVICES, "FORWARD"), true, PORTALS),
    with(jump("filter", SERVICES, "OUTPUT"), true, PORTALS),
    with(
        jump("filter", FORWARD, "FORWARD"),
        false,
        "kubernetes forwarding rules",
    ),
    with(jump("filter", PROXY_FIREWALL, "INPUT"), true, BALANCER_FIREWALL),
    with(jump("filter", PROXY_FIREWALL, "OUTPUT"), true, BALANCER_FIREWALL),
    with(jump("filter", PROXY_FIREWALL, "FORWARD"), true, BALANCER_FIREWALL),
    with(jump("nat", SERVICES, "OUTPUT"), false, PORTALS),
    with(jump("nat", SERVICES, "PREROUTING"), false, PORTALS),
    with(
        jump("nat", POSTROUTING, "POSTROUTING"),
        false,
        "kubernetes postrouting rules",
    ),
];

/// Those that kubelet has as well: made after [`JUMPS`], never deleted.
pub const KUBELET_JUMPS: [Jump; 2] = [
    jump("filter", KUBELET_FIREWALL, "INPUT"),
    jump("filter", KUBELET_FIREWALL, "OUTPUT"),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_jump_is_written_with_its_condition_its_comment_and_its_target() {
        let written: Vec<String> = JUMPS
            .iter()
            .chain(&KUBELET_JUMPS)
            .map(|jump| format!("{} {} {}", jump.table, jump.from, jump.arguments().join(" ")))
            .collect();
        let new = "-m conntrack --ctstate NEW -m comment --comment";
        let expected = [
            format!("filter INPUT {new} {EXTERNAL_PORTALS} -j KUBE-EXTERNAL-SERVICES"),
            format!("filter FORWARD {new} {EXTERNAL_PORTALS} -j KUBE-EXTERNAL-SERVICES"),
            "filter INPUT -m comment --comment kubernetes health check service ports -j KUBE-NODEPORTS"
                .to_owned(),
            format!("filter FORWARD {new} kubernetes service portals -j KUBE-SERVICES"),
            format!("filter OUTPUT {new} kubernetes service portals -j KUBE-SERVICES"),
            "filter FORWARD -m comment --comment kubernetes forwarding rules -j KUBE-FORWARD".to_owned(),
            format!("filter INPUT {new} kubernetes load balancer firewall -j KUBE-PROXY-FIREWALL"),
            format!("filter OUTPUT {new} kubernetes load balancer firewall -j KUBE-PROXY-FIREWALL"),
            format!("filter FORWARD {new} kubernetes load balancer firewall -j KUBE-PROXY-FIREWALL"),
            "nat OUTPUT -m comment --comment kubernetes service portals -j KUBE-SERVICES".to_owned(),
            "nat PREROUTING -m comment --comment kubernetes service portals -j KUBE-SERVICES".to_owned(),
            "nat POSTROUTING -m comment --comment kubernetes postrouting rules -j KUBE-POSTROUTING"
                .to_owned(),
            "filter INPUT -j KUBE-FIREWALL".to_owned(),
            "filter OUTPUT -j KUBE-FIREWALL".to_owned(),
        ];
        assert_eq!(written, expected);
    }
}
