//! What the rules of iptables mode cost.
//!
//! ```text
//! renderer ─▶ worker (one process a size and family)   what the node shall do → restore text
//! beside ─▶ proxy, harness::apiserver                  API server → the agent, or the real kube-proxy → rules in the kernel
//! ```

mod beside;
mod proxy;
mod renderer;
pub(crate) mod worker;

use anyhow::Result;
use harness::signals;

use crate::{
    figures::{Figure, Figures},
    progress::progress,
    targets,
};

/// How much is measured.
struct Plan {
    /// Services of the clusters in memory, ascending.
    sizes: &'static [u32],
    /// Full texts of each size, each in a process of its own.
    full_rounds: u32,
    /// Partial texts of each kind and size.
    partial_rounds: u32,
    /// Services behind the API server, ascending; with the iptables of nf_tables, which needs minutes for more, only the first of them.
    api_sizes: &'static [u32],
    /// Starts of each proxy.
    starts: u32,
    /// Changes after each start.
    changes: u32,
}

impl Plan {
    const FULL: Self = Self {
        sizes: &[1_000, 10_000],
        full_rounds: 5,
        partial_rounds: 500,
        api_sizes: &[1_000, 10_000],
        starts: 3,
        changes: 7,
    };
    const QUICK: Self = Self {
        sizes: &[10, 20],
        full_rounds: 1,
        partial_rounds: 3,
        api_sizes: &[10],
        starts: 1,
        changes: 2,
    };
}

/// Measures everything.
pub(crate) fn run(quick: bool) -> Result<Figures> {
    signals::catch()?;
    let plan = if quick { Plan::QUICK } else { Plan::FULL };
    let mut rows = renderer::measure(&plan)?;
    let (mut notes, mut skipped) = (Vec::new(), Vec::new());
    match beside::measure(&plan)? {
        Some((more, backend)) => {
            rows.extend(more);
            notes.push(format!("rules are written with {backend}"));
        }
        None => skipped.push(
            "beside kube-proxy: there is no kube-proxy, etcd or kube-apiserver, which Go builds".to_owned(),
        ),
    }
    progress("");
    targets::set(&targets::IPTABLES, &mut rows);
    skipped.extend(targets::without_row(&targets::IPTABLES, &rows));
    Ok(Figures {
        notes,
        ..Figures::of_this_machine(rows, skipped)?
    })
}

fn row(what: &str, services: u32, value: f64, unit: &str) -> Figure {
    Figure::new(what, &services.to_string(), value, unit)
}
