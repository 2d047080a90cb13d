//! What is said of requests that fail: once when they begin to, and once when they work again.

use std::{fmt, time::Instant};

/// The present outage of one watch, or of another thing that is asked again and again, if there is one.
pub(super) struct Outage {
    /// What fails, as in "watching Service objects".
    what: String,
    since: Option<Instant>,
    last: String,
}

impl Outage {
    pub(super) const fn new(what: String) -> Self {
        Self {
            what,
            since: None,
            last: String::new(),
        }
    }

    /// An attempt has failed. A history that has gone on without us is no outage: the next list brings everything.
    pub(super) fn note(&mut self, error: &impl fmt::Display) {
        let Self { what, .. } = self;
        let text = error.to_string();
        self.since.get_or_insert_with(Instant::now);
        if text == self.last {
            tracing::debug!("{what}: {text}");
            return;
        }
        tracing::warn!("{what}: {text}; trying again, what is known stays in use");
        self.last = text;
    }

    /// The API server has answered.
    pub(super) fn is_over(&mut self) {
        if let Some(since) = self.since.take() {
            let Self { what, .. } = self;
            tracing::info!("{what} again after {:.1?}", since.elapsed());
            self.last.clear();
        }
    }
}
