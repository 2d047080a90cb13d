//! Clusters that are in memory already: what is measured is the plan and the maps.

use anyhow::{Context as _, Result};

use super::{Plan, row, system_calls};
use crate::{
    figures::Figure,
    process::{Worker, in_turn},
    progress::progress,
    stats::{median, p99},
};

/// The rows, and what could not be measured.
pub(super) fn measure(plan: Plan) -> Result<(Vec<Figure>, Vec<String>)> {
    let (mut workers, mut rows) = (Vec::new(), Vec::new());
    for services in plan.sizes {
        let (worker, times) = cold(services, plan.cold_rounds)?;
        workers.push(worker);
        rows.extend(times);
    }
    rows.extend(changes(
        "endpoint",
        "one endpoint changed",
        plan.rounds,
        &mut workers,
    )?);
    rows.extend(changes(
        "service",
        "one Service added",
        plan.rounds,
        &mut workers,
    )?);
    let flaps = plan.rounds.div_ceil(20);
    rows.extend(flapping(flaps, &mut workers)?);
    rows.extend(large(plan, &mut workers)?);
    let skipped = match system_calls::measure(&mut workers)? {
        Ok(calls) => {
            rows.extend(calls);
            Vec::new()
        }
        Err(reason) => vec![format!("system calls per change: {reason}")],
    };
    Ok((rows, skipped))
}

/// What all of them have left for later: they wait for it at the same time.
fn later(workers: &mut [Worker]) -> Result<()> {
    for worker in &mut *workers {
        worker.tell("later")?;
    }
    workers
        .iter_mut()
        .try_for_each(|worker| worker.answer("later").map(drop))
}

/// Each time in a process of its own, of which the last goes on.
fn cold(services: u32, rounds: u32) -> Result<(Worker, [Figure; 2])> {
    let (mut times, mut peaks) = (Vec::new(), Vec::new());
    let mut round = || -> Result<Worker> {
        progress(&format!("in memory: cold start of {services} Services"));
        let mut worker = Worker::start(&["worker"], services)?;
        times.push(worker.ask("cold")?);
        peaks.push(worker.ask("memory")?);
        Ok(worker)
    };
    for _ in 1..rounds {
        round()?;
    }
    let worker = round()?;
    let middle = |what, values: &[f64], unit| -> Result<Figure> {
        Ok(row(what, services, median(values).context("no round")?, unit))
    };
    let rows = [
        middle("cold start", &times, "ms")?,
        middle("peak memory after it", &peaks, "MiB")?,
    ];
    Ok((worker, rows))
}

fn changes(command: &str, what: &str, rounds: u32, workers: &mut [Worker]) -> Result<Vec<Figure>> {
    progress(&format!("in memory: {what}"));
    let times = in_turn(command, rounds, workers)?;
    let mut rows = Vec::new();
    let mut medians = Vec::new();
    for (worker, times) in workers.iter().zip(&times) {
        let middle = median(times).context("no measurement")?;
        medians.push(middle);
        rows.push(row(what, worker.services, middle, "ms").with_p99(p99(times)));
    }
    later(workers)?;
    if let ([first, ..], [.., last], [smallest, .., largest]) =
        (medians.as_slice(), medians.as_slice(), &*workers)
    {
        let sizes = format!("{} / {}", largest.services, smallest.services);
        rows.push(Figure::new(&format!("{what}: ratio"), &sizes, last / first, ""));
    }
    Ok(rows)
}

fn flapping(rounds: u32, workers: &mut [Worker]) -> Result<Vec<Figure>> {
    progress("in memory: 1 % of the endpoints flapping");
    let mut rows = Vec::new();
    for worker in workers {
        let (mut times, mut later) = (Vec::new(), Vec::new());
        for _ in 0..rounds {
            times.push(worker.ask("flap")?);
            later.push(worker.ask("later")?);
        }
        let (what, size) = ("1 % of the endpoints replaced in one pass", worker.services);
        rows.push(row(what, size, median(&times).context("no round")?, "ms"));
        let what = "deleting their old lists";
        rows.push(row(what, size, median(&later).context("no round")?, "ms"));
    }
    Ok(rows)
}

fn large(plan: Plan, workers: &mut [Worker]) -> Result<Vec<Figure>> {
    progress("in memory: one large Service");
    let (name, mut rows) = (format!("a Service of {} endpoints", plan.large), Vec::new());
    for worker in workers {
        let added = worker.ask(&format!("large {}", plan.large))?;
        rows.push(row(&format!("{name} added"), worker.services, added, "ms"));
        let mut times = Vec::new();
        for _ in 0..plan.rounds.div_ceil(20) {
            times.push(worker.ask(&format!("large-endpoint {}", plan.large))?);
            worker.ask("later")?;
        }
        let changed = median(&times).context("no round")?;
        let what = format!("{name}, one of them replaced");
        rows.push(row(&what, worker.services, changed, "ms"));
    }
    Ok(rows)
}
