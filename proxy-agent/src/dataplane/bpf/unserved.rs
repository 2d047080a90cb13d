//! What the programs do not serve: told once, and counted.

use std::collections::{BTreeMap, BTreeSet};

use super::encode::Unserved;
use crate::model::FrontendKey;

/// As many are told one by one in one pass.
const LINES: usize = 20;

/// The frontends that are not served, or not entirely.
#[derive(Debug, Default)]
pub(super) struct Report {
    known: BTreeMap<FrontendKey, Unserved>,
}

impl Report {
    /// From now on these, and tells of those that are new.
    pub(super) fn replace(&mut self, unserved: &BTreeMap<FrontendKey, Unserved>) {
        self.tell(unserved);
        self.known.clone_from(unserved);
    }

    /// Of `frontends`, from now on these.
    pub(super) fn update(
        &mut self,
        frontends: &BTreeSet<FrontendKey>,
        unserved: &BTreeMap<FrontendKey, Unserved>,
    ) {
        self.tell(unserved);
        for frontend in frontends {
            self.known.remove(frontend);
        }
        self.known
            .extend(unserved.iter().map(|(key, entry)| (key.clone(), entry.clone())));
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
