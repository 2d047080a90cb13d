//! How many system calls a change costs: counted by strace, exactly.

use std::{
    fs,
    path::Path,
    process::{Child, Command, Stdio},
    thread::{self, ScopedJoinHandle},
    time::Duration,
};

use anyhow::{Context as _, Result, bail};
use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};

use super::{progress, row};
use crate::{figures::Figure, process::Worker};

/// So many of each.
const CHANGES: u32 = 20;

/// The rows, or why there are none.
pub(super) fn measure(workers: &mut [Worker]) -> Result<Result<Vec<Figure>, String>> {
    if Command::new("strace").arg("--version").output().is_err() {
        return Ok(Err("strace is not installed".to_owned()));
    }
    progress("in memory: system calls per change");
    // At the same time: counts, unlike times, do not mind neighbours.
    let counted: Vec<Result<[Figure; 2]>> = thread::scope(|scope| {
        let start = |worker| scope.spawn(|| of_worker(worker));
        let threads: Vec<_> = workers.iter_mut().map(start).collect();
        let join =
            |thread: ScopedJoinHandle<'_, _>| thread.join().unwrap_or_else(|_| bail!("a thread panicked"));
        threads.into_iter().map(join).collect()
    });
    let rows: Vec<_> = counted.into_iter().collect::<Result<_>>()?;
    Ok(Ok(rows.concat()))
}

fn of_worker(worker: &mut Worker) -> Result<[Figure; 2]> {
    let nothing = count(worker, "nothing")?;
    let mut counted = |command, what| -> Result<Figure> {
        let calls = (count(worker, command)? - nothing) / f64::from(CHANGES);
        Ok(row(what, worker.services, calls, "calls"))
    };
    Ok([
        counted("endpoint", "system calls per changed endpoint")?,
        counted("service", "system calls per added Service")?,
    ])
}

/// System calls of the process while it does something many times, and what is left for later.
fn count(worker: &mut Worker, command: &str) -> Result<f64> {
    let directory = tempfile::tempdir()?;
    let log = directory.path().join("calls");
    let mut tracer = attach(worker.id(), &log)?;
    for _ in 0..CHANGES {
        worker.ask(command)?;
    }
    worker.ask("later")?;
    kill(Pid::from_raw(i32::try_from(tracer.id())?), Signal::SIGINT)?;
    tracer.wait()?;
    let text = fs::read_to_string(&log).context("strace has written nothing")?;
    let calls = text.lines().filter(|line| line.contains('(')).count();
    Ok(f64::from(u32::try_from(calls)?))
}

/// Returns once the process is traced.
fn attach(process: u32, log: &Path) -> Result<Child> {
    let tracer = Command::new("strace")
        .args(["-f", "-p", &process.to_string(), "-o"])
        .arg(log)
        .stderr(Stdio::null())
        .spawn()?;
    let status = format!("/proc/{process}/status");
    let is_traced = || -> Result<bool> {
        let text = fs::read_to_string(&status)?;
        let line = text.lines().find_map(|line| line.strip_prefix("TracerPid:"));
        Ok(line.is_some_and(|pid| pid.trim() != "0"))
    };
    while !is_traced()? {
        thread::sleep(Duration::from_millis(1));
    }
    Ok(tracer)
}
