//! How fast the maps follow the cluster.

mod api;
mod memory;
mod system_calls;
mod watch;
pub(crate) mod worker;

use anyhow::Result;

use crate::{
    Part,
    figures::{Figure, Figures},
    progress::progress,
    targets,
};

/// How much is measured.
#[derive(Clone, Copy, Debug)]
struct Plan {
    /// Services of the clusters in memory, ascending.
    sizes: [u32; 3],
    /// Measurements of each change.
    rounds: u32,
    /// Cold starts of each size.
    cold_rounds: u32,
    /// Services behind the API server.
    api_services: u32,
    /// Endpoints of the one large Service.
    large: u32,
}

/// Measures everything.
pub(crate) fn run(quick: bool, part: Option<Part>) -> Result<Figures> {
    let plan = if quick {
        Plan {
            sizes: [10, 20, 50],
            rounds: 3,
            cold_rounds: 1,
            api_services: 20,
            large: 100,
        }
    } else {
        Plan {
            sizes: [1_000, 10_000, 50_000],
            rounds: 200,
            cold_rounds: 3,
            api_services: 10_000,
            large: 5_000,
        }
    };
    let (mut rows, mut skipped) = (Vec::new(), Vec::new());
    if part != Some(Part::Api) {
        (rows, skipped) = memory::measure(plan)?;
    }
    if part != Some(Part::Memory) {
        match api::measure(plan)? {
            Some(more) => rows.extend(more),
            None => {
                skipped.push("through the API server: there is no kube-apiserver, which Go builds".to_owned())
            }
        }
    }
    progress("");
    targets::set(&targets::CONTROL_PLANE, &mut rows);
    skipped.extend(targets::without_row(&targets::CONTROL_PLANE, &rows));
    Figures::of_this_machine(rows, skipped)
}

fn row(what: &str, services: u32, value: f64, unit: &str) -> Figure {
    Figure::new(what, &services.to_string(), value, unit)
}
