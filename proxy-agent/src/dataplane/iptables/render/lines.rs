//! Rules in chains that all Services share: written every time, so kept as they are written.

use std::{collections::BTreeMap, sync::Arc};

use crate::model::ServicePortId;

/// By Service port; those that have none are left out.
#[derive(Debug, Default)]
pub(super) struct Lines {
    texts: BTreeMap<Arc<ServicePortId>, Box<str>>,
    bytes: usize,
    rules: usize,
}

impl Lines {
    /// Replaces what a Service port has.
    pub(super) fn set(&mut self, port: &Arc<ServicePortId>, text: &str) {
        let old = if text.is_empty() {
            self.texts.remove(port)
        } else {
            self.texts.insert(Arc::clone(port), text.into())
        };
        let old = old.unwrap_or_default();
        self.bytes = self.bytes + text.len() - old.len();
        self.rules = self.rules + text.lines().count() - old.lines().count();
    }

    pub(super) fn write(&self, out: &mut String) {
        self.texts.values().for_each(|text| out.push_str(text));
    }

    pub(super) const fn bytes(&self) -> usize {
        self.bytes
    }

    pub(super) const fn rules(&self) -> usize {
        self.rules
    }
}
