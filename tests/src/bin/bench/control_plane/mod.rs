//! How fast the maps follow the cluster.

mod api;
mod fill;
mod memory;
mod objects;
mod system_calls;
mod watch;
pub(crate) mod worker;
mod writer;

use std::{
    io::{self, IsTerminal as _, Write as _},
    thread,
};

use anyhow::Result;

use crate::{
    Part,
    figures::{Figure, Figures},
    targets,
};

/// Endpoints of each Service.
const ENDPOINTS: u32 = 10;

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
    targets::set(&mut rows);
    skipped.extend(targets::without_row(&rows));
    Ok(Figures {
        kernel: nix::sys::utsname::uname()?
            .release()
            .to_string_lossy()
            .into_owned(),
        cpus: thread::available_parallelism()?.get(),
        rows,
        skipped,
    })
}

/// One line that replaces the one before, on a terminal; else a line of its own. An empty one at the end.
fn progress(text: &str) {
    if io::stderr().is_terminal() {
        eprint!("\r\x1b[K{text}");
        // A line that is not shown yet is no loss.
        let _ = io::stderr().flush();
    } else if !text.is_empty() {
        eprintln!("{text}");
    }
}

fn row(what: &str, services: u32, value: f64, unit: &'static str) -> Figure {
    Figure::new(what, &services.to_string(), value, unit)
}
