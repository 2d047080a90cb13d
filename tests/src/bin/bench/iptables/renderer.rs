//! The rules as text: no kernel, no iptables.

use anyhow::{Context as _, Result};
use proxy_agent::model::Family;

use super::{Plan, row};
use crate::{
    figures::Figure,
    process::{Worker, in_turn},
    progress::progress,
    stats::{median, p99},
};

/// What a worker is told, and what the row says.
const CHANGES: [(&str, &str); 2] = [
    ("endpoint", "one endpoint changed"),
    ("service", "one Service added"),
];

/// The rows.
pub(super) fn measure(plan: &Plan) -> Result<Vec<Figure>> {
    let (mut workers, mut rows) = (Vec::new(), Vec::new());
    let cases = Family::ALL
        .into_iter()
        .flat_map(|family| plan.sizes.iter().map(move |size| (family, *size)));
    let cases: Vec<_> = cases.collect();
    for (family, services) in &cases {
        let (worker, figures) = full(*family, *services, plan.full_rounds)?;
        workers.push(worker);
        rows.extend(figures);
    }
    let families: Vec<Family> = cases.iter().map(|(family, _)| *family).collect();
    for (command, what) in CHANGES {
        progress(&format!("renderer: {what}"));
        rows.extend(partial(
            command,
            what,
            plan.partial_rounds,
            &families,
            &mut workers,
        )?);
    }
    Ok(rows)
}

/// Each time in a process of its own, of which the last goes on.
fn full(family: Family, services: u32, rounds: u32) -> Result<(Worker, Vec<Figure>)> {
    let of = family;
    progress(&format!("renderer: all rules of {services} Services, {of}"));
    let (mut times, mut last) = (Vec::new(), None);
    for _ in 0..rounds {
        let worker = last.insert(Worker::start(&["rules-worker", flag(family)], services)?);
        times.push(worker.ask("full")?);
    }
    let mut worker = last.context("no round")?;
    let time = median(&times).context("no round")?;
    let rows = vec![
        row(
            &format!("{of}: all rules, as a full restore text"),
            services,
            time,
            "ms",
        ),
        row(
            &format!("{of}: its length"),
            services,
            worker.ask("bytes")? / 1024.0,
            "KiB",
        ),
        row(
            &format!("{of}: peak memory, with the objects"),
            services,
            worker.ask("memory")?,
            "MiB",
        ),
    ];
    Ok((worker, rows))
}

fn partial(
    command: &str,
    what: &str,
    rounds: u32,
    families: &[Family],
    workers: &mut [Worker],
) -> Result<Vec<Figure>> {
    let times = in_turn(command, rounds, workers)?;
    let mut rows = Vec::new();
    for ((worker, times), family) in workers.iter_mut().zip(&times).zip(families) {
        let (of, size) = (*family, worker.services);
        let time = median(times).context("no measurement")?;
        let name = format!("{of}: {what}, as a partial restore text");
        rows.push(row(&name, size, time, "ms").with_p99(p99(times)));
        let bytes = worker.ask("bytes")?;
        rows.push(row(
            &format!("{of}: {what}, its length"),
            size,
            bytes / 1024.0,
            "KiB",
        ));
    }
    Ok(rows)
}

const fn flag(family: Family) -> &'static str {
    match family {
        Family::V4 => "v4",
        Family::V6 => "v6",
    }
}
