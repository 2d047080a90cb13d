//! What is in the kernel of kube-proxy's chains and jumps, and the text that makes and removes what surrounds the rendered rules.
//! Pure.

use std::fmt::Write as _;

use super::{
    render::{
        Renderer,
        jumps::{JUMPS, Jump, KUBELET_JUMPS},
        names::{
            CANARY, EXTERNAL_SERVICES, FORWARD, KUBELET_FIREWALL, MARK_MASQ, NODE_PORTS, POSTROUTING,
            PROXY_FIREWALL, SERVICES, is_service_chain,
        },
    },
    saved::Saved,
};

/// The tables that have the canary; the first is looked at.
pub(super) const TABLES: [&str; 3] = ["mangle", "nat", "filter"];
/// kubelet's canary: where it is, kubelet's chains are kubelet's.
const KUBELET_CANARY: &str = "KUBE-KUBELET-CANARY";
/// kube-proxy's chains beside those of Services.
const OWN: [&str; 8] = [
    SERVICES,
    EXTERNAL_SERVICES,
    NODE_PORTS,
    POSTROUTING,
    MARK_MASQ,
    FORWARD,
    PROXY_FIREWALL,
    CANARY,
];

/// All tables of one family.
#[derive(Clone, Debug, Default)]
pub(super) struct Tables {
    pub(super) mangle: Saved,
    pub(super) nat: Saved,
    pub(super) filter: Saved,
}

impl Tables {
    /// The chains of Services that nobody needs any more.
    pub(super) fn stale(&self, renderer: &Renderer) -> Vec<String> {
        let chains = self.nat.chains.keys();
        let stale = chains.filter(|chain| is_service_chain(chain) && !renderer.is_active(chain));
        stale.cloned().collect()
    }

    /// For `iptables-restore` after the `rendered` text: canaries and jumps that are not there. A chain that is named twice would
    /// be emptied.
    pub(super) fn missing(&self, rendered: &str) -> String {
        let is_rendered = rendered.contains(&format!("\n:{KUBELET_FIREWALL} "));
        let mut text = String::new();
        for name in TABLES {
            let table = self.table(name);
            let mut lines = String::new();
            if !table.chains.contains_key(CANARY) {
                let _ = writeln!(lines, ":{CANARY} - [0:0]");
            }
            if name == "filter" && !is_rendered && !table.chains.contains_key(KUBELET_FIREWALL) {
                let _ = writeln!(lines, ":{KUBELET_FIREWALL} - [0:0]");
            }
            for jump in self.missing_jumps(name) {
                let _ = writeln!(lines, "-I {} {}", jump.from, rule(jump));
            }
            text += &section(name, &lines);
        }
        text
    }

    /// How many of the canaries, the jumps and the chains in use are not there.
    pub(super) fn count_missing(&self, chains: impl Iterator<Item = String>) -> usize {
        let canaries = TABLES
            .iter()
            .filter(|name| !self.table(name).chains.contains_key(CANARY));
        let jumps: usize = TABLES.iter().map(|name| self.missing_jumps(name).count()).sum();
        let chains = chains.filter(|chain| !self.nat.chains.contains_key(chain));
        canaries.count() + jumps + chains.count()
    }

    fn missing_jumps<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'static Jump> + 'a {
        let jumps = JUMPS
            .iter()
            .chain(&KUBELET_JUMPS)
            .filter(move |jump| jump.table == name);
        jumps.filter(move |jump| !self.table(name).has_rule(jump.from, &rule(jump)))
    }

    /// For `iptables-restore`: takes away every rule and chain of kube-proxy's but the `needed` one, and of kubelet's where there is no
    /// kubelet.
    pub(super) fn removal(&self, needed: Option<&str>) -> String {
        let has_kubelet = self.mangle.chains.contains_key(KUBELET_CANARY);
        let mut text = String::new();
        for name in TABLES {
            let table = self.table(name);
            let jumps = JUMPS.iter().chain(KUBELET_JUMPS.iter().filter(|_| !has_kubelet));
            let jumps = jumps.filter(|jump| jump.table == name && table.has_rule(jump.from, &rule(jump)));
            let jumps = jumps.filter(|jump| needed != Some(jump.to));
            let is_own = |chain: &&String| {
                let chain = chain.as_str();
                let is_proxys = OWN.contains(&chain) && needed != Some(chain);
                is_proxys || is_service_chain(chain) || (chain == KUBELET_FIREWALL && !has_kubelet)
            };
            let chains: Vec<_> = table.chains.keys().filter(is_own).collect();
            let mut lines = String::new();
            for chain in &chains {
                let _ = writeln!(lines, ":{chain} - [0:0]");
            }
            for jump in jumps {
                let _ = writeln!(lines, "-D {} {}", jump.from, rule(jump));
            }
            for chain in &chains {
                let _ = writeln!(lines, "-X {chain}");
            }
            text += &section(name, &lines);
        }
        text
    }

    fn table(&self, name: &str) -> &Saved {
        match name {
            "mangle" => &self.mangle,
            "nat" => &self.nat,
            _ => &self.filter,
        }
    }
}

/// Nothing for a table that nothing is to be done to.
fn section(table: &str, lines: &str) -> String {
    if lines.is_empty() {
        return String::new();
    }
    format!("*{table}\n{lines}COMMIT\n")
}

/// As `iptables-save` lists it, and as `iptables-restore` reads it.
fn rule(jump: &Jump) -> String {
    let mut text = String::new();
    for argument in jump.arguments() {
        let separator = if text.is_empty() { "" } else { " " };
        let quote = if argument.contains(' ') { "\"" } else { "" };
        let _ = write!(text, "{separator}{quote}{argument}{quote}");
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn all_there() -> Tables {
        let mut tables = Tables::default();
        for name in TABLES {
            let text = format!(":{CANARY} - [0:0]\n");
            let jumps = JUMPS
                .iter()
                .chain(&KUBELET_JUMPS)
                .filter(|jump| jump.table == name);
            let rules: String = jumps
                .map(|jump| format!("-A {} {}\n", jump.from, rule(jump)))
                .collect();
            let saved = Saved::parse(&format!("{text}:{KUBELET_FIREWALL} - [0:0]\n{rules}"));
            match name {
                "mangle" => tables.mangle = saved,
                "nat" => tables.nat = saved,
                _ => tables.filter = saved,
            }
        }
        tables
    }

    #[test]
    fn nothing_is_written_where_nothing_is_missing() {
        let tables = all_there();
        assert_eq!(tables.missing(""), "");
        assert_eq!(tables.count_missing(std::iter::empty()), 0);
    }

    #[test]
    fn canaries_and_jumps_are_made_in_kube_proxys_order() {
        let text = Tables::default().missing("");
        let lines: Vec<_> = text.lines().collect();
        assert_eq!(lines[..3], ["*mangle", ":KUBE-PROXY-CANARY - [0:0]", "COMMIT"]);
        let jumps: Vec<_> = lines.iter().filter(|line| line.starts_with("-I")).collect();
        assert_eq!(jumps.len(), 14);
        assert_eq!(
            *jumps[0],
            "-I OUTPUT -m comment --comment \"kubernetes service portals\" -j KUBE-SERVICES"
        );
        assert_eq!(*jumps[13], "-I OUTPUT -j KUBE-FIREWALL");
        assert_eq!(
            Tables::default().count_missing(["KUBE-SVC-X".to_owned()].into_iter()),
            3 + 14 + 1
        );
    }

    #[test]
    fn the_chain_of_kubelets_firewall_is_made_unless_it_is_rendered() {
        let tables = Tables::default();
        let chain = ":KUBE-FIREWALL - [0:0]\n";
        assert!(tables.missing("").contains(chain));
        assert!(
            !tables
                .missing(&format!("*filter\n{chain}COMMIT\n"))
                .contains(chain)
        );
        assert!(!all_there().missing("").contains(chain));
    }

    #[test]
    fn one_jump_that_is_gone_is_made_again_alone() {
        let mut tables = all_there();
        tables.nat.chains.remove("POSTROUTING");
        assert_eq!(
            tables.missing(""),
            "*nat\n-I POSTROUTING -m comment --comment \"kubernetes postrouting rules\" -j KUBE-POSTROUTING\nCOMMIT\n"
        );
    }

    #[test]
    fn removal_leaves_what_others_have_made() {
        let mut tables = Tables {
            nat: Saved::parse(
                ":PREROUTING ACCEPT [0:0]\n:KUBE-SERVICES - [0:0]\n:KUBE-SEP-AAAAAAAAAAAAAAAA - [0:0]\n:KUBE-MARK-DROP - [0:0]\n:CNI-X - [0:0]\n\
                 -A PREROUTING -m comment --comment \"kubernetes service portals\" -j KUBE-SERVICES\n-A PREROUTING -j CNI-X\n",
            ),
            filter: Saved::parse(":INPUT ACCEPT [0:0]\n:KUBE-FIREWALL - [0:0]\n-A INPUT -j KUBE-FIREWALL\n"),
            ..Tables::default()
        };
        assert_eq!(
            tables.removal(None),
            "*nat\n:KUBE-SEP-AAAAAAAAAAAAAAAA - [0:0]\n:KUBE-SERVICES - [0:0]\n\
             -D PREROUTING -m comment --comment \"kubernetes service portals\" -j KUBE-SERVICES\n\
             -X KUBE-SEP-AAAAAAAAAAAAAAAA\n-X KUBE-SERVICES\nCOMMIT\n\
             *filter\n:KUBE-FIREWALL - [0:0]\n-D INPUT -j KUBE-FIREWALL\n-X KUBE-FIREWALL\nCOMMIT\n"
        );
        tables.mangle = Saved::parse(":KUBE-KUBELET-CANARY - [0:0]\n");
        assert!(!tables.removal(None).contains("KUBE-FIREWALL"), "it is kubelet's");
    }

    #[test]
    fn removal_leaves_the_chain_that_is_needed_and_the_jump_to_it() {
        let jump = "-A FORWARD -m comment --comment \"kubernetes forwarding rules\" -j KUBE-FORWARD";
        let tables = Tables {
            filter: Saved::parse(&format!(
                ":FORWARD DROP [0:0]\n:KUBE-FORWARD - [0:0]\n:KUBE-SERVICES - [0:0]\n{jump}\n"
            )),
            ..Tables::default()
        };
        assert_eq!(
            tables.removal(Some(FORWARD)),
            "*filter\n:KUBE-SERVICES - [0:0]\n-X KUBE-SERVICES\nCOMMIT\n"
        );
        assert!(tables.removal(None).contains("-X KUBE-FORWARD"));
    }
}
