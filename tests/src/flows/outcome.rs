//! What comes of a flow.

use std::{collections::BTreeMap, fmt};

use super::{Endpoint, Source};

/// What comes of a flow.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// New flows go to each of these, which see the client or the node.
    Any(BTreeMap<Endpoint, Source>),
    /// All flows of a client go to one of these.
    One(BTreeMap<Endpoint, Source>),
    /// The client is told at once that nobody is there.
    Refused,
    /// The client is told nothing.
    Silence,
    /// It is not for the Service: whoever has the address gets it as it was sent.
    LeftAlone,
    /// Something that no table may ask for.
    Odd(String),
}

impl Outcome {
    /// One try that ended at `endpoint`.
    #[must_use]
    pub fn at(endpoint: Endpoint, source: Source) -> Self {
        Self::Any([(endpoint, source)].into())
    }

    /// What several tries of one flow have shown.
    #[must_use]
    pub fn and(self, other: Self) -> Self {
        match (self, other) {
            (Self::Any(mut all), Self::Any(more)) => {
                for (endpoint, source) in more {
                    if all
                        .insert(endpoint, source)
                        .is_some_and(|before| before != source)
                    {
                        return Self::Odd(format!("{endpoint} sees now the client and now the node"));
                    }
                }
                Self::Any(all)
            }
            (one, other) if one == other => one,
            (one, other) => Self::Odd(format!("now {one}, now {other}")),
        }
    }

    /// Whether all endpoints see the node in the client's place.
    #[must_use]
    pub fn is_masqueraded(&self) -> bool {
        match self {
            Self::Any(all) | Self::One(all) => all.values().all(|source| *source == Source::Masqueraded),
            _ => false,
        }
    }

    /// This one if nothing gets through then, else silence.
    #[must_use]
    pub fn stopped(self) -> Self {
        match self {
            Self::Refused => Self::Refused,
            _ => Self::Silence,
        }
    }

    /// How many endpoints there are to meet.
    #[must_use]
    pub fn endpoints(&self) -> usize {
        match self {
            Self::Any(all) => all.len(),
            _ => 1,
        }
    }
}

/// As a table writes it.
impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let targets = |all: &BTreeMap<Endpoint, Source>| {
            let words = all
                .iter()
                .map(|(endpoint, source)| format!("{endpoint} {source}"));
            words.collect::<Vec<_>>().join(", ")
        };
        match self {
            Self::Any(all) => f.write_str(&targets(all)),
            Self::One(all) => write!(f, "one of {}", targets(all)),
            Self::Refused => f.write_str("refused"),
            Self::Silence => f.write_str("silence"),
            Self::LeftAlone => f.write_str("left alone"),
            Self::Odd(what) => f.write_str(what),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn met(endpoint: Endpoint) -> Outcome {
        Outcome::at(endpoint, Source::Kept)
    }

    #[test]
    fn tries_that_differ_in_more_than_the_endpoint_are_odd() {
        assert_eq!(Outcome::Refused.and(Outcome::Refused), Outcome::Refused);
        assert!(matches!(Outcome::Refused.and(Outcome::Silence), Outcome::Odd(_)));
        let masqueraded = Outcome::at(Endpoint::A, Source::Masqueraded);
        assert!(matches!(met(Endpoint::A).and(masqueraded), Outcome::Odd(_)));
        assert_eq!(met(Endpoint::A).and(met(Endpoint::C)).endpoints(), 2);
    }
}
