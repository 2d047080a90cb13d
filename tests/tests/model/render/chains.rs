//! What a kernel has after `iptables-restore --noflush`, as far as chains go.

use std::collections::BTreeMap;

/// The rules of each chain, by table and name.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Chains(BTreeMap<(String, String), Vec<String>>);

impl Chains {
    /// Does what a text says, which has to make sense: a rule needs its chain, and so does what it leads to.
    pub(super) fn restore(&mut self, text: &str) {
        let mut table = "";
        for line in text.lines() {
            match line.split_once(' ').unwrap_or((line, "")) {
                ("COMMIT", "") => self.check(table),
                ("-A", rule) => self.append(table, rule),
                ("-X", chain) => self.delete(table, chain),
                (word, counters) if word.starts_with(':') => {
                    assert_eq!(counters, "- [0:0]", "{line}");
                    self.0
                        .insert((table.to_owned(), word[1..].to_owned()), Vec::new());
                }
                (word, "") if word.starts_with('*') => table = &word[1..],
                _ => panic!("what is this? {line}"),
            }
        }
    }

    /// The names of the Services' chains.
    pub(super) fn of_services(&self) -> impl Iterator<Item = &str> {
        let prefixes = ["KUBE-SVC-", "KUBE-SVL-", "KUBE-EXT-", "KUBE-FW-", "KUBE-SEP-"];
        let names = self.0.keys().map(|(_, chain)| chain.as_str());
        names.filter(move |chain| prefixes.iter().any(|prefix| chain.starts_with(prefix)))
    }

    /// How many rules a table has.
    pub(super) fn rules(&self, table: &str) -> usize {
        let of_table = self.0.iter().filter(|((name, _), _)| name == table);
        of_table.map(|(_, rules)| rules.len()).sum()
    }

    fn append(&mut self, table: &str, rule: &str) {
        let (chain, rule) = rule.split_once(' ').expect("a chain and a rule");
        let key = (table.to_owned(), chain.to_owned());
        let rules = self.0.get_mut(&key);
        rules
            .unwrap_or_else(|| panic!("table {table} has no chain {chain}"))
            .push(rule.to_owned());
    }

    fn delete(&mut self, table: &str, chain: &str) {
        let rules = self.0.remove(&(table.to_owned(), chain.to_owned()));
        assert_eq!(rules, Some(Vec::new()), "{chain} is deleted, but was not flushed");
    }

    fn check(&self, table: &str) {
        let rules = self.0.iter().filter(|((name, _), _)| name == table);
        for rule in rules.flat_map(|(_, rules)| rules) {
            let target = rule.split_once("-j ").map_or("", |(_, target)| target);
            let target = target.split(' ').next().unwrap_or_default();
            let known = (table.to_owned(), target.to_owned());
            let is_ours = target.starts_with("KUBE-");
            assert!(
                !is_ours || self.0.contains_key(&known),
                "nowhere to jump to: {rule}"
            );
        }
    }
}
