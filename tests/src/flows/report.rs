//! What a runner has found.

use std::{collections::BTreeMap, fmt};

use super::{Client, Flow, Outcome, VARIANTS};
use crate::world::Variant;

/// A flow in one of its variants.
#[derive(Clone, Copy, Debug)]
pub struct Case<'f> {
    /// The row.
    pub flow: &'f Flow,
    /// With what.
    pub variant: Variant,
}

impl<'f> Case<'f> {
    /// Every flow in each of its variants.
    pub fn all(flows: &'f [Flow]) -> impl Iterator<Item = Self> {
        let cases = |flow| VARIANTS.map(|variant| Self { flow, variant });
        flows.iter().flat_map(cases)
    }
}

/// What went wrong, and what could not be tried.
#[derive(Debug)]
pub struct Report {
    runner: &'static str,
    tried: usize,
    faults: Vec<String>,
    left_out: BTreeMap<&'static str, usize>,
}

impl Report {
    /// Of the runner of this name.
    #[must_use]
    pub const fn new(runner: &'static str) -> Self {
        Self {
            runner,
            tried: 0,
            faults: Vec::new(),
            left_out: BTreeMap::new(),
        }
    }

    /// Splits off what programs on devices cannot be asked: it is counted, and said at the end.
    #[must_use]
    pub fn on_devices<'f>(&mut self, flows: &'f [Flow]) -> Vec<Case<'f>> {
        let (own, others): (Vec<_>, Vec<_>) =
            Case::all(flows).partition(|case| case.flow.client == Client::Node);
        if !own.is_empty() {
            self.left_out.insert(
                "client `node`: what a node itself sends meets no program on a device",
                own.len(),
            );
        }
        others
    }

    /// Holds what was seen of many tries against the table.
    pub fn sampled(&mut self, case: Case<'_>, seen: &Outcome) {
        self.note(case, seen, case.flow.is_met_by(seen));
    }

    /// Holds all that may come of a flow against the table.
    pub fn exact(&mut self, case: Case<'_>, seen: &Outcome) {
        self.note(case, seen, case.flow.expected == *seen);
    }

    fn note(&mut self, Case { flow, variant }: Case<'_>, seen: &Outcome, is_right: bool) {
        self.tried += 1;
        if is_right {
            return;
        }
        let family = variant.family;
        self.faults.push(format!(
            "{} ({} → {}, {}), {family} {}, {}: expected {}; got {seen}",
            flow.place,
            flow.client,
            flow.destination,
            flow.block.title,
            variant.protocol,
            self.runner,
            flow.expected
        ));
    }

    /// Says what was tried and what was not.
    ///
    /// # Panics
    ///
    /// When a flow did not go as the table says, or nothing was tried.
    pub fn finish(mut self) {
        self.faults.sort();
        println!("{self}");
        assert!(self.tried > 0, "{}: nothing was tried", self.runner);
        assert!(self.faults.is_empty(), "{self}");
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for fault in &self.faults {
            writeln!(f, "{fault}")?;
        }
        for (why, count) in &self.left_out {
            writeln!(f, "{}: {count} flows left out: {why}", self.runner)?;
        }
        write!(
            f,
            "{}: {} of {} flows are wrong",
            self.runner,
            self.faults.len(),
            self.tried
        )
    }
}
