//! What is said of a watch that fails: once when it begins to, and once when it works again.

use std::time::Instant;

use kube::runtime::watcher::Error;

use crate::model::ObjectKind;

/// The present outage of one watch, if there is one.
pub(super) struct Outage {
    kind: ObjectKind,
    since: Option<Instant>,
    last: String,
}

impl Outage {
    pub(super) const fn new(kind: ObjectKind) -> Self {
        Self {
            kind,
            since: None,
            last: String::new(),
        }
    }

    /// An attempt has failed. A history that has gone on without us is no outage: the next list brings everything.
    pub(super) fn note(&mut self, error: &Error) {
        let Self { kind, .. } = self;
        let text = error.to_string();
        self.since.get_or_insert_with(Instant::now);
        if text == self.last {
            tracing::debug!("watching {kind} objects: {text}");
            return;
        }
        tracing::warn!("watching {kind} objects: {text}; trying again, what is known stays in use");
        self.last = text;
    }

    /// The API server has answered.
    pub(super) fn is_over(&mut self) {
        if let Some(since) = self.since.take() {
            let Self { kind, .. } = self;
            tracing::info!("watching {kind} objects again after {:.1?}", since.elapsed());
            self.last.clear();
        }
    }
}
