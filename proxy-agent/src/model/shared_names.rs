//! Names that many objects carry, each kept once.

use std::{collections::BTreeSet, sync::Arc};

/// The names that were met, among them those of the nodes of thousands of endpoints.
#[derive(Clone, Debug, Default)]
pub(super) struct SharedNames(BTreeSet<Arc<str>>);

impl SharedNames {
    /// Replaces `name` by the one that is kept.
    pub(super) fn share(&mut self, name: &mut Arc<str>) {
        match self.0.get(name) {
            Some(kept) => *name = Arc::clone(kept),
            None => drop(self.0.insert(Arc::clone(name))),
        }
    }

    /// Forgets those that nobody else has.
    pub(super) fn tidy(&mut self) {
        self.0.retain(|name| Arc::strong_count(name) > 1);
    }
}

/// What was met says nothing about the cluster.
impl PartialEq for SharedNames {
    fn eq(&self, _: &Self) -> bool {
        true
    }
}

impl Eq for SharedNames {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn equal_names_are_one_until_nobody_has_them() {
        let mut names = SharedNames::default();
        let (mut one, mut other): (Arc<str>, Arc<str>) = ("node".into(), "node".into());
        names.share(&mut one);
        names.share(&mut other);
        assert!(Arc::ptr_eq(&one, &other));
        names.tidy();
        assert_eq!(names.0.len(), 1);
        drop((one, other));
        names.tidy();
        assert!(names.0.is_empty());
    }
}
