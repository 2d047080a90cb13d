//! What the programs do not serve: told once, and counted.

use std::collections::{BTreeMap, BTreeSet};

use super::encode::{Reason, Unserved};
use crate::model::FrontendKey;

/// As many are told one by one in one pass.
const LINES: usize = 20;

/// The frontends that are not served.
#[derive(Debug, Default)]
pub(super) struct Report {
    known: BTreeMap<FrontendKey, Unserved>,
    counts: BTreeMap<Reason, usize>,
}

impl Report {
    /// From now on these, and tells of those that are new.
    pub(super) fn replace(&mut self, unserved: &BTreeMap<FrontendKey, Unserved>) {
        self.tell(unserved);
        self.known.clear();
        self.counts.clear();
        self.add(unserved);
    }

    /// Of `frontends`, from now on these.
    pub(super) fn update(
        &mut self,
        frontends: &BTreeSet<FrontendKey>,
        unserved: &BTreeMap<FrontendKey, Unserved>,
    ) {
        self.tell(unserved);
        for old in frontends.iter().filter_map(|key| self.known.remove(key)) {
            self.counts.entry(old.reason).and_modify(|count| *count -= 1);
        }
        self.add(unserved);
    }

    /// How many frontends there are for each reason.
    pub(super) fn counts(&self) -> BTreeMap<&'static str, usize> {
        let count = |reason: Reason| self.counts.get(&reason).copied().unwrap_or_default();
        Reason::ALL.map(|reason| (reason.label(), count(reason))).into()
    }

    fn add(&mut self, unserved: &BTreeMap<FrontendKey, Unserved>) {
        for (key, entry) in unserved {
            self.known.insert(key.clone(), entry.clone());
            *self.counts.entry(entry.reason).or_default() += 1;
        }
    }

    fn tell(&self, unserved: &BTreeMap<FrontendKey, Unserved>) {
        let is_new = |(key, entry): &(&FrontendKey, &Unserved)| self.known.get(key) != Some(entry);
        let mut new = unserved.iter().filter(is_new);
        for (_, entry) in new.by_ref().take(LINES) {
            tracing::warn!("{entry}");
        }
        let more = new.count();
        if more > 0 {
            tracing::warn!("and {more} more frontends: see kube-portal inspect limits");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{Family, FrontendAddress, Protocol};

    fn key(port: u16) -> FrontendKey {
        FrontendKey {
            address: FrontendAddress::AnyNode(Family::V4),
            port,
            protocol: Protocol::Tcp,
        }
    }

    fn unserved(entries: &[(u16, Reason)]) -> BTreeMap<FrontendKey, Unserved> {
        let entry = |(port, reason): &(u16, Reason)| {
            let entry = Unserved {
                service: "default/web".to_owned(),
                frontend: port.to_string(),
                reason: *reason,
            };
            (key(*port), entry)
        };
        entries.iter().map(entry).collect()
    }

    /// How many for which reason, without those that have none.
    fn counts(report: &Report) -> Vec<(&'static str, usize)> {
        let counts = report.counts();
        assert_eq!(counts.len(), Reason::ALL.len());
        counts.into_iter().filter(|(_, count)| *count > 0).collect()
    }

    #[test]
    fn frontends_are_counted_by_reason_as_they_come_change_and_go() {
        use Reason::{Sctp, UnspecifiedAddress};
        let mut report = Report::default();
        report.replace(&unserved(&[(1, Sctp), (2, Sctp), (3, UnspecifiedAddress)]));
        assert_eq!(counts(&report), [("sctp", 2), ("unspecified-address", 1)]);

        let touched = [1, 2, 4, 5].map(key).into();
        report.update(
            &touched,
            &unserved(&[(1, UnspecifiedAddress), (4, UnspecifiedAddress)]),
        );
        assert_eq!(counts(&report), [("unspecified-address", 3)]);

        report.replace(&unserved(&[(9, Sctp)]));
        assert_eq!(counts(&report), [("sctp", 1)]);
    }
}
