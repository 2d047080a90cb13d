//! What `iptables-save` says. Pure.

use std::collections::BTreeMap;

/// The chains of a table, each with its rules as they are listed, without `-A CHAIN `.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Saved {
    pub(super) chains: BTreeMap<String, Vec<String>>,
}

impl Saved {
    /// Of one table.
    pub(super) fn parse(listing: &str) -> Self {
        let mut saved = Self::default();
        for line in listing.lines() {
            if let Some(name) = line.strip_prefix(':') {
                let name = name.split_whitespace().next().unwrap_or_default();
                saved.chains.entry(name.to_owned()).or_default();
            } else if let Some((chain, rule)) = line.strip_prefix("-A ").and_then(|rule| rule.split_once(' '))
            {
                let rules = saved.chains.entry(chain.to_owned()).or_default();
                rules.push(rule.trim_end().to_owned());
            }
        }
        saved
    }

    pub(super) fn has_rule(&self, chain: &str, rule: &str) -> bool {
        let rules = self.chains.get(chain);
        rules.is_some_and(|rules| rules.iter().any(|known| known == rule))
    }
}

#[cfg(test)]
mod tests {
    use super::Saved;

    #[test]
    fn chains_and_their_rules_are_read() {
        let saved = Saved::parse(
            "# Generated\n*nat\n:OUTPUT ACCEPT [0:0]\n:KUBE-SERVICES - [0:0]\n\
             -A OUTPUT -m comment --comment \"kubernetes service portals\" -j KUBE-SERVICES\nCOMMIT\n",
        );
        let names: Vec<_> = saved.chains.keys().collect();
        assert_eq!(names, ["KUBE-SERVICES", "OUTPUT"]);
        let rule = "-m comment --comment \"kubernetes service portals\" -j KUBE-SERVICES";
        assert!(saved.has_rule("OUTPUT", rule) && !saved.has_rule("KUBE-SERVICES", rule));
    }
}
