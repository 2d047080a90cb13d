//! The text that `iptables-restore` reads, put together from its parts.

use std::{fmt::Write as _, sync::Arc};

use super::{
    Extent, Renderer, RuleCounts,
    chains::Chains,
    fixed::{Part, chain_lines},
    lines::Lines,
};
use crate::model::ServicePortId;

/// About what a rule of a Service's own chains takes.
const BYTES_PER_RULE: usize = 128;

impl Renderer {
    /// What to restore. `stale` are chains of table nat that are to be deleted: those that [`Self::is_active`] does not know.
    #[must_use]
    pub fn text(&self, extent: Extent, stale: &[String]) -> String {
        let mut out = String::with_capacity(self.expected_bytes(extent));
        out.push_str("*filter\n");
        out.push_str(&self.fixed.filter.chains);
        write_rules(&mut out, &self.fixed.filter, &self.filter, |_| ());
        out.push_str("COMMIT\n*nat\n");
        out.push_str(&self.fixed.nat.chains);
        for (_, chains) in self.chains(extent) {
            chains.names().for_each(|name| chain_lines(&mut out, &[name]));
        }
        chain_lines(&mut out, stale);
        write_rules(&mut out, &self.fixed.nat, &self.nat, |out| {
            self.write_chains(out, extent, stale)
        });
        out.push_str("COMMIT\n");
        out
    }

    /// How many rules the text of this extent has.
    #[must_use]
    pub fn rule_counts(&self, extent: Extent) -> RuleCounts {
        let shared =
            |part: &Part, lines: &[Lines]| part.rules() + lines.iter().map(Lines::rules).sum::<usize>();
        let own: usize = self.chains(extent).map(|(_, chains)| chains.rules()).sum();
        RuleCounts {
            filter: shared(&self.fixed.filter, &self.filter),
            nat: shared(&self.fixed.nat, &self.nat) + own,
        }
    }

    fn write_chains(&self, out: &mut String, extent: Extent, stale: &[String]) {
        let comments = !self.is_large();
        for (port, chains) in self.chains(extent) {
            let name = comments.then(|| port.to_string());
            chains.write(out, name.as_deref());
        }
        for chain in stale {
            let _ = writeln!(out, "-X {chain}");
        }
    }

    fn chains(&self, extent: Extent) -> impl Iterator<Item = (&Arc<ServicePortId>, &Chains)> {
        let (all, pending) = match extent {
            Extent::Full => (Some(self.chains.iter()), None),
            Extent::Partial => (None, Some(self.pending.iter())),
        };
        let with_chains = |port| self.chains.get_key_value(port);
        let pending = pending.into_iter().flatten().filter_map(with_chains);
        all.into_iter().flatten().chain(pending)
    }

    fn expected_bytes(&self, extent: Extent) -> usize {
        let shared: usize = self.filter.iter().chain(&self.nat).map(Lines::bytes).sum();
        let own: usize = self.chains(extent).map(|(_, chains)| chains.rules()).sum();
        4096 + shared + own * BYTES_PER_RULE
    }
}

/// The Services' rules in the shared chains and what is `between`, among the rest of a table's rules.
fn write_rules(out: &mut String, fixed: &Part, lines: &[Lines], between: impl FnOnce(&mut String)) {
    out.push_str(&fixed.first);
    lines.iter().for_each(|lines| lines.write(out));
    between(out);
    out.push_str(&fixed.last);
}
