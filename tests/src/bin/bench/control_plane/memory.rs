//! Clusters that are in memory already: what is measured is the plan and the maps.

use std::{
    env, fs,
    io::{BufRead as _, BufReader, Write as _},
    process::{Child, ChildStdin, ChildStdout, Command, Stdio},
};

use anyhow::{Context as _, Result};

use super::{Plan, progress, row, system_calls};
use crate::{
    figures::Figure,
    stats::{median, p99},
};

/// The rows, and what could not be measured.
pub(super) fn measure(plan: Plan) -> Result<(Vec<Figure>, Vec<String>)> {
    progress("in memory: making clusters");
    let mut workers = Vec::new();
    for services in plan.sizes {
        workers.push(Worker::start(services)?);
    }
    let mut rows = cold(&mut workers)?;
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

/// Sizes in turn, so that a noisy minute concerns all of them.
fn in_turn(command: &str, rounds: u32, workers: &mut [Worker]) -> Result<Vec<Vec<f64>>> {
    let mut times = vec![Vec::new(); workers.len()];
    for _ in 0..rounds {
        for (worker, times) in workers.iter_mut().zip(&mut times) {
            times.push(worker.ask(command)?);
        }
    }
    Ok(times)
}

fn cold(workers: &mut [Worker]) -> Result<Vec<Figure>> {
    let mut rows = Vec::new();
    for worker in workers {
        progress(&format!("in memory: cold start of {} Services", worker.services));
        let time = row("cold start", worker.services, worker.ask("cold")?, "ms");
        let peak = row(
            "peak memory after it",
            worker.services,
            worker.ask("memory")?,
            "MiB",
        );
        // By the size that the promise names: what is larger or smaller has none.
        let is_named = worker.services == 10_000;
        rows.push(if is_named { time.below(2_000.0) } else { time });
        rows.push(if is_named { peak.below(100.0) } else { peak });
    }
    Ok(rows)
}

fn changes(command: &str, what: &str, rounds: u32, workers: &mut [Worker]) -> Result<Vec<Figure>> {
    progress(&format!("in memory: {what}"));
    let times = in_turn(command, rounds, workers)?;
    let mut rows = Vec::new();
    let mut medians = Vec::new();
    for (worker, times) in workers.iter_mut().zip(&times) {
        let middle = median(times).context("no measurement")?;
        medians.push(middle);
        rows.push(
            row(what, worker.services, middle, "ms")
                .with_p99(p99(times))
                .below(5.0),
        );
        worker.ask("later")?;
    }
    if let ([first, ..], [.., last], [smallest, .., largest]) =
        (medians.as_slice(), medians.as_slice(), &*workers)
    {
        let sizes = format!("{} / {}", largest.services, smallest.services);
        rows.push(Figure::new(&format!("{what}: ratio"), &sizes, last / first, "").below(1.5));
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

/// A process of [`super::worker`]; it ends when its input does.
pub(super) struct Worker {
    pub(super) services: u32,
    child: Child,
    input: Option<ChildStdin>,
    output: BufReader<ChildStdout>,
}

impl Worker {
    fn start(services: u32) -> Result<Self> {
        let mut child = Command::new(env::current_exe()?)
            .args(["worker", &services.to_string()])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .context("cannot start a process of its own for a cluster")?;
        let output = child.stdout.take().context("the process has no output")?;
        Ok(Self {
            services,
            input: child.stdin.take(),
            output: BufReader::new(output),
            child,
        })
    }

    pub(super) fn ask(&mut self, command: &str) -> Result<f64> {
        let input = self.input.as_mut().context("the input is closed")?;
        let mut answer = String::new();
        writeln!(input, "{command}")?;
        self.output.read_line(&mut answer)?;
        answer.trim().parse().with_context(|| {
            format!(
                "the process of {} Services has ended at {command:?}",
                self.services
            )
        })
    }

    pub(super) fn id(&self) -> u32 {
        self.child.id()
    }
}

impl Drop for Worker {
    fn drop(&mut self) {
        drop(self.input.take());
        if let Err(error) = self.child.wait() {
            eprintln!("bench: a process could not be waited for: {error}");
        }
    }
}

/// Peak of a process's resident memory in MiB, by its id or `self`.
pub(super) fn peak(process: &str) -> Result<f64> {
    let status = fs::read_to_string(format!("/proc/{process}/status"))?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    let kib = line.and_then(|line| line.trim().strip_suffix(" kB"));
    let kib: f64 = kib.context("no VmHWM in /proc")?.trim().parse()?;
    Ok(kib / 1024.0)
}
