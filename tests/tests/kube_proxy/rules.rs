//! The rules of a node, so that two nodes' can be compared chain by chain.

use std::{collections::BTreeMap, fmt::Write as _};

/// Chains in which each Service has rules. kube-proxy writes them in the order in which its hash map happens to have the Services.
const SHARED: [&str; 5] = [
    "KUBE-SERVICES",
    "KUBE-EXTERNAL-SERVICES",
    "KUBE-NODEPORTS",
    "KUBE-PROXY-FIREWALL",
    "KUBE-FORWARD",
];

/// The rules of each chain, with family and table before its name; those of shared chains are sorted.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Rules(BTreeMap<String, Vec<String>>);

impl Rules {
    /// Adds what `iptables-save` lists.
    pub(crate) fn add(&mut self, family: &str, listing: &str) {
        let mut table = "";
        for line in listing.lines() {
            if let Some(name) = line.strip_prefix('*') {
                table = name;
            } else if let Some(chain) = line.strip_prefix(':') {
                let name = chain.split(' ').next().unwrap_or_default();
                self.0.entry(format!("{family} {table} {name}")).or_default();
            } else if let Some((chain, rule)) = line.strip_prefix("-A ").and_then(|line| line.split_once(' '))
            {
                let rules = self.0.entry(format!("{family} {table} {chain}")).or_default();
                rules.push(rule.to_owned());
            }
        }
        let is_shared = |chain: &String| SHARED.iter().any(|shared| chain.ends_with(&format!(" {shared}")));
        for (_, rules) in self.0.iter_mut().filter(|(chain, _)| is_shared(chain)) {
            rules.sort();
        }
    }

    /// Whether a rule has all of these texts.
    pub(crate) fn has(&self, family: &str, texts: &[&str]) -> bool {
        let of_family = self.0.iter().filter(|(chain, _)| chain.starts_with(family));
        let mut rules = of_family.flat_map(|(_, rules)| rules);
        rules.any(|rule| texts.iter().all(|text| rule.contains(text)))
    }

    /// How many rules for a family have this text.
    pub(crate) fn count_with(&self, family: &str, text: &str) -> usize {
        let of_family = self.0.iter().filter(|(chain, _)| chain.starts_with(family));
        let rules = of_family.flat_map(|(_, rules)| rules);
        rules.filter(|rule| rule.contains(text)).count()
    }

    pub(crate) fn count(&self) -> usize {
        self.0.values().map(Vec::len).sum()
    }

    /// What is different, chain by chain; empty if nothing is.
    pub(crate) fn difference(&self, other: &Self, [own, others]: [&str; 2]) -> String {
        let mut text = String::new();
        let chains: std::collections::BTreeSet<_> = self.0.keys().chain(other.0.keys()).collect();
        for chain in chains {
            let [one, two] = [self, other].map(|rules| rules.0.get(chain));
            if one == two {
                continue;
            }
            let _ = writeln!(text, "{chain}");
            for (who, rules, not) in [(own, one, two), (others, two, one)] {
                let Some(rules) = rules else {
                    let _ = writeln!(text, "  {who}: no such chain");
                    continue;
                };
                let is_there = |rule| not.is_some_and(|not| not.contains(rule));
                let lines: Vec<_> = rules.iter().filter(|rule| !is_there(rule)).collect();
                if lines.is_empty() && not.is_some_and(|not| not.len() == rules.len()) {
                    let _ = writeln!(text, "  {who}: in the order {rules:#?}");
                }
                for rule in lines {
                    let _ = writeln!(text, "  {who}: {rule}");
                }
            }
        }
        text
    }
}

#[cfg(test)]
mod tests {
    use super::Rules;

    fn rules(lines: &str) -> Rules {
        let mut rules = Rules::default();
        rules.add(
            "IPv4",
            &format!("# now\n*nat\n:KUBE-SERVICES - [1:60]\n:KUBE-SVC-A - [0:0]\n{lines}COMMIT\n"),
        );
        rules
    }

    #[test]
    fn rules_of_a_shared_chain_may_come_in_any_order_but_those_of_a_services_own_may_not() {
        let difference = |one, two| rules(one).difference(&rules(two), ["one", "two"]);
        let (one, two) = (
            "-A KUBE-SERVICES -j B\n-A KUBE-SERVICES -j A\n",
            "-A KUBE-SERVICES -j A\n-A KUBE-SERVICES -j B\n",
        );
        assert_eq!(difference(one, two), "");
        let (one, two) = (
            "-A KUBE-SVC-A -j B\n-A KUBE-SVC-A -j A\n",
            "-A KUBE-SVC-A -j A\n-A KUBE-SVC-A -j B\n",
        );
        assert!(difference(one, two).starts_with("IPv4 nat KUBE-SVC-A\n"));
    }

    #[test]
    fn a_rule_that_only_one_has_is_shown_with_its_chain() {
        let one = rules("-A KUBE-SVC-A -j B\n");
        assert_eq!(
            one.difference(&rules(""), ["one", "two"]),
            "IPv4 nat KUBE-SVC-A\n  one: -j B\n"
        );
    }
}
