//! What a connection pays for getting its endpoint where the process connects, instead of packet by packet.
//!
//! ```text
//! stage ─▶ probes            one cluster: sockets of one node are translated at connect, pods' of the other are not
//! rounds ─▶ comparison, way  two ways right after each other, all comparisons in turn
//! summary                    medians, ratios and differences, targets, and how they change with the number of Services
//! programs                   the kernel's own count of our programs' time
//! ```

mod comparison;
mod probes;
mod programs;
mod rounds;
mod stage;
mod summary;
mod way;

use std::time::Duration;

use anyhow::Result;

use crate::{
    figures::{Figure, Figures},
    progress::progress,
    random::{self, Random},
};
use stage::Stage;

const TRANSLATED: &str = "connections translated at connect";

/// How much is measured.
struct Plan {
    /// Services, ascending.
    sizes: &'static [u32],
    rounds: u32,
    slice: Duration,
    /// For each of the programs: the kernel's count has to outweigh its measuring.
    programs: Duration,
}

impl Plan {
    const FULL: Self = Self {
        sizes: &[10, 10_000, 50_000],
        rounds: 120,
        slice: Duration::from_millis(30),
        programs: Duration::from_millis(200),
    };
    const QUICK: Self = Self {
        sizes: &[10, 20],
        rounds: 2,
        slice: Duration::from_millis(20),
        programs: Duration::from_millis(20),
    };
}

/// Measures everything.
pub(crate) fn run(quick: bool, seed: Option<u64>) -> Result<Figures> {
    let plan = if quick { Plan::QUICK } else { Plan::FULL };
    let seed = random::seed_or_now(seed)?;
    progress("building the cluster");
    let stage = Stage::build()?;
    let mut random = Random(seed);
    let mut rows = Vec::new();
    for services in plan.sizes {
        rows.extend(measure(&stage, &plan, *services, &mut random)?);
    }
    rows.extend(summary::flat(&rows, plan.sizes));
    progress("");
    Ok(Figures {
        notes: vec![random::note(seed)],
        ..Figures::of_this_machine(rows, Vec::new())?
    })
}

fn measure(stage: &Stage, plan: &Plan, services: u32, random: &mut Random) -> Result<Vec<Figure>> {
    progress(&format!("{services} Services"));
    stage.serve(services)?;
    let before = stage.translated()?;
    let rounds = rounds::measure(stage, plan, services, random)?;
    let translated = stage::is_translated(before, stage.translated()?, rounds.at_connect)?;
    let mut rows = summary::figures(&rounds.samples, services);
    rows.push(Figure::new(
        TRANSLATED,
        &services.to_string(),
        translated as f64,
        "",
    ));
    progress(&format!("{services} Services: the programs"));
    rows.extend(programs::measure(stage, services, plan.programs)?);
    Ok(rows)
}
