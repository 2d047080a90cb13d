//! What becomes of a packet.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
    net::SocketAddr,
};

/// All that may become of a packet, each with its probability; together they are 1.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Answer(pub BTreeMap<Outcome, f64>);

/// One way that a packet may go.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Outcome {
    /// Where it ends.
    pub fate: Fate,
    /// The chain whose rule replaced its source by the node's address.
    pub masqueraded_by: Option<String>,
    /// The lists of `-m recent` that its source is put on.
    pub remembered_in: BTreeSet<String>,
}

/// Where a packet ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Fate {
    /// Its destination is rewritten to this.
    Endpoint(SocketAddr),
    /// The sender is told that nobody is there.
    Rejected,
    /// The sender is told nothing.
    Dropped,
    /// It goes where it was sent.
    Untouched,
}

impl Answer {
    /// Whether both hold the same outcomes, with probabilities that differ by no more than `tolerance`.
    #[must_use]
    pub fn is_near(&self, other: &Self, tolerance: f64) -> bool {
        self.0.keys().eq(other.0.keys())
            && self
                .0
                .values()
                .zip(other.0.values())
                .all(|(one, other)| (one - other).abs() <= tolerance)
    }

    /// Each fate with its probability, whatever else differs.
    #[must_use]
    pub fn fates(&self) -> BTreeMap<Fate, f64> {
        let mut fates = BTreeMap::new();
        for (outcome, probability) in &self.0 {
            *fates.entry(outcome.fate).or_default() += probability;
        }
        fates
    }

    pub(super) fn add(&mut self, outcome: Outcome, probability: f64) {
        *self.0.entry(outcome).or_default() += probability;
    }
}

/// `0.5 10.180.0.1:80 masqueraded, 0.5 10.180.0.2:80 masqueraded`, with four digits.
impl fmt::Display for Answer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let words = self
            .0
            .iter()
            .map(|(outcome, probability)| format!("{probability:.4} {outcome}"));
        f.write_str(&words.collect::<Vec<_>>().join(", "))
    }
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.fate {
            Fate::Endpoint(address) => write!(f, "{address}")?,
            Fate::Rejected => f.write_str("rejected")?,
            Fate::Dropped => f.write_str("dropped")?,
            Fate::Untouched => f.write_str("untouched")?,
        }
        if let Some(chain) = &self.masqueraded_by {
            write!(f, " masqueraded by {chain}")?;
        }
        for list in &self.remembered_in {
            write!(f, " remembered in {list}")?;
        }
        Ok(())
    }
}
