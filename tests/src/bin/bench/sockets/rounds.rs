//! All comparisons in random order, again and again; the two ways of one right after each other, either first.

use std::time::Duration;

use anyhow::{Context as _, Result};
use harness::signals;

use super::{
    Plan,
    comparison::{Comparison, Load},
    stage::Stage,
    way::Way,
};
use crate::{load, progress::progress, random::Random};

/// Both sides of a comparison in one round.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Sample {
    pub(super) comparison: Comparison,
    pub(super) way: f64,
    pub(super) base: f64,
}

/// What one run comes to.
pub(super) struct Rounds {
    pub(super) samples: Vec<Sample>,
    /// How many connections a program should have given their endpoint.
    pub(super) at_connect: u64,
}

/// So many rounds of everything.
pub(super) fn measure(stage: &Stage, plan: &Plan, services: u32, random: &mut Random) -> Result<Rounds> {
    let mut rounds = Rounds {
        samples: Vec::new(),
        at_connect: 0,
    };
    let mut order = Comparison::all();
    for round in 0..plan.rounds {
        progress(&format!(
            "{services} Services: round {} of {}",
            round + 1,
            plan.rounds
        ));
        random.shuffle(&mut order);
        for comparison in &order {
            signals::check()?;
            rounds.add(stage, *comparison, plan.slice, random)?;
        }
    }
    Ok(rounds)
}

impl Rounds {
    fn add(
        &mut self,
        stage: &Stage,
        comparison: Comparison,
        slice: Duration,
        random: &mut Random,
    ) -> Result<()> {
        let Comparison { load, way, base, .. } = comparison;
        let mut sides = [(way, 0.0), (base, 0.0)];
        random.shuffle(&mut sides);
        for (side, value) in &mut sides {
            *value = self.run(stage, *side, load, slice)?;
        }
        let value = |of| {
            sides
                .iter()
                .find(|(side, _)| *side == of)
                .map(|(_, value)| *value)
        };
        self.samples.push(Sample {
            comparison,
            way: value(way).context("not measured")?,
            base: value(base).context("not measured")?,
        });
        Ok(())
    }

    /// One slice: so many a second, or nanoseconds.
    fn run(&mut self, stage: &Stage, way: Way, load: Load, slice: Duration) -> Result<f64> {
        let targets = stage.targets(way);
        let first = *targets.first().context("no target")?;
        let (value, connections) = stage
            .run(way.client, || match load {
                Load::Connections => {
                    load::connections(&targets, slice).map(|all| (all.per_second, all.connects.len() as u64))
                }
                Load::Requests => load::requests(first, slice).map(|rate| (rate, 1)),
                Load::Connects => load::connects(first, slice).map(|time| (time, 0)),
            })?
            .with_context(|| load.of(way))?;
        if way.is_translated_at_connect() {
            self.at_connect += connections;
        }
        Ok(value)
    }
}
