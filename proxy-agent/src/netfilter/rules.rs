//! The rules as text: what iptables lists, and what iptables-restore is to be told. Pure.

/// What kube-proxy calls the chain, its jump and its rules. It finds them as its own, and this finds what it has left.
pub(crate) const KUBE_FORWARD: &str = "KUBE-FORWARD";
const JUMP: &str = r#"FORWARD -m comment --comment "kubernetes forwarding rules" -j KUBE-FORWARD"#;
const MARKED: &str = r#"KUBE-FORWARD -m comment --comment "kubernetes forwarding rules" -m mark --mark"#;
const ESTABLISHED: &str = r#"KUBE-FORWARD -m comment --comment "kubernetes forwarding conntrack rule" -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT"#;

/// What `iptables -S FORWARD` says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Forward {
    /// Packets that no rule accepts are not forwarded: by the policy, or by a rule for all of them.
    pub(super) refuses: bool,
    /// It jumps to KUBE-FORWARD.
    pub(super) jumps: bool,
}

impl Forward {
    pub(super) fn parse(listing: &str) -> Self {
        Self {
            refuses: listing.lines().any(is_refusal),
            jumps: rules(listing).any(|rule| rule == JUMP),
        }
    }
}

/// The policy, or a rule without any condition, which firewalls like to end with.
fn is_refusal(line: &str) -> bool {
    let words: Vec<&str> = line.split_whitespace().collect();
    matches!(
        words[..],
        ["-P", "FORWARD", "DROP"] | ["-A", "FORWARD", "-j", "DROP"] | ["-A", "FORWARD", "-j", "REJECT", ..]
    )
}

/// What `iptables -S KUBE-FORWARD` lists is what [`install`] has written, for whichever mark.
pub(super) fn is_ours(listing: &str) -> bool {
    marks(listing).is_some()
}

/// What `iptables -S KUBE-FORWARD` lists is what [`install`] writes for `mark`.
pub(super) fn is_for(listing: &str, mark: u32) -> bool {
    marks(listing) == Some(format!("{mark:#x}/{mark:#x}"))
}

/// Value and mask of the mark that the chain accepts, if its rules are the two that [`install`] writes.
fn marks(listing: &str) -> Option<String> {
    let rules: Vec<&str> = rules(listing).collect();
    let [marked, ESTABLISHED] = rules[..] else {
        return None;
    };
    let mark = marked.strip_prefix(MARKED)?.strip_suffix("-j ACCEPT")?;
    Some(mark.trim().to_owned())
}

fn rules(listing: &str) -> impl Iterator<Item = &str> {
    listing.lines().filter_map(|line| line.trim().strip_prefix("-A "))
}

/// For `iptables-restore --noflush`: the chain, and the jump to it before all other rules if there is none yet.
///
/// kube-proxy also drops here what conntrack calls INVALID, because its translation does not reach such packets. The programs' does.
pub(super) fn install(mark: u32, jumps: bool) -> String {
    let jump = if jumps {
        String::new()
    } else {
        format!("-I {JUMP}\n")
    };
    format!(
        "*filter\n:{KUBE_FORWARD} - [0:0]\n-A {MARKED} {mark:#010x}/{mark:#010x} -j ACCEPT\n-A {ESTABLISHED}\n{jump}COMMIT\n"
    )
}

/// For `iptables-restore --noflush`: takes away what [`install`] has written.
pub(super) fn remove() -> String {
    format!("*filter\n:{KUBE_FORWARD} - [0:0]\n-D {JUMP}\n-X {KUBE_FORWARD}\nCOMMIT\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    /// As iptables 1.8 lists what [`install`] has written.
    const OURS: &str = r#"-N KUBE-FORWARD
-A KUBE-FORWARD -m comment --comment "kubernetes forwarding rules" -m mark --mark 0x4000/0x4000 -j ACCEPT
-A KUBE-FORWARD -m comment --comment "kubernetes forwarding conntrack rule" -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT
"#;

    #[test]
    fn forward_refuses_by_its_policy_or_by_a_rule_for_all() {
        for (listing, refuses) in [
            ("-P FORWARD ACCEPT\n", false),
            ("-P FORWARD DROP\n", true),
            ("-P FORWARD ACCEPT\n-A FORWARD -j DROP\n", true),
            (
                "-P FORWARD ACCEPT\n-A FORWARD -j REJECT --reject-with icmp-host-prohibited\n",
                true,
            ),
            (
                "-P FORWARD ACCEPT\n-A FORWARD -i eth0 -j DROP\n-A FORWARD -j DOCKER-USER\n",
                false,
            ),
            ("-P INPUT DROP\n-P FORWARD ACCEPT\n", false),
        ] {
            let expected = Forward {
                refuses,
                jumps: false,
            };
            assert_eq!(Forward::parse(listing), expected, "{listing}");
        }
    }

    #[test]
    fn the_jump_is_found_between_other_rules() {
        let listing = "-P FORWARD DROP\n-A FORWARD -j FLANNEL-FWD\n-A FORWARD -m comment --comment \"kubernetes forwarding rules\" \
            -j KUBE-FORWARD\n";
        assert!(Forward::parse(listing).jumps);
        assert!(!Forward::parse("-A FORWARD -j KUBE-FORWARD-2\n").jumps);
    }

    #[test]
    fn the_chain_is_ours_only_with_exactly_our_rules() {
        assert!(is_ours(OURS) && is_for(OURS, 0x4000) && !is_for(OURS, 0x8000));
        let kube_proxys = OURS.replacen(
            "-A",
            "-A KUBE-FORWARD -m conntrack --ctstate INVALID -j DROP\n-A",
            1,
        );
        assert!(!is_ours(&kube_proxys));
        assert!(!is_ours("-N KUBE-FORWARD\n"));
    }

    #[test]
    fn what_is_installed_is_kube_proxys_text() {
        assert_eq!(
            install(0x4000, false),
            "*filter
:KUBE-FORWARD - [0:0]
-A KUBE-FORWARD -m comment --comment \"kubernetes forwarding rules\" -m mark --mark 0x00004000/0x00004000 -j ACCEPT
-A KUBE-FORWARD -m comment --comment \"kubernetes forwarding conntrack rule\" -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT
-I FORWARD -m comment --comment \"kubernetes forwarding rules\" -j KUBE-FORWARD
COMMIT
"
        );
        assert!(!install(0x4000, true).contains("-I FORWARD"));
    }
}
