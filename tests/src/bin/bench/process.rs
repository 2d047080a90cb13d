//! Processes that are measured: a program that does what lines on its standard input say, and anyone's peak of memory.

use std::{
    env, fs,
    io::{self, BufRead as _, BufReader, Write as _},
    process::{Child, ChildStdin, ChildStdout, Command, Stdio},
};

use anyhow::{Context as _, Result};

/// A process of this program that obeys; it ends when its input does.
pub(crate) struct Worker {
    pub(crate) services: u32,
    child: Child,
    input: Option<ChildStdin>,
    output: BufReader<ChildStdout>,
}

impl Worker {
    /// Starts this subcommand of this program for so many Services. What runs there is [`obey`].
    pub(crate) fn start(subcommand: &[&str], services: u32) -> Result<Self> {
        let mut child = Command::new(env::current_exe()?)
            .args(subcommand)
            .arg(services.to_string())
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

    /// What it answers.
    pub(crate) fn ask(&mut self, command: &str) -> Result<f64> {
        self.tell(command)?;
        self.answer(command)
    }

    /// Goes on at once; the answer has to be taken later.
    pub(crate) fn tell(&mut self, command: &str) -> Result<()> {
        let input = self.input.as_mut().context("the input is closed")?;
        Ok(writeln!(input, "{command}")?)
    }

    /// What it answers to the `command` that it was told.
    pub(crate) fn answer(&mut self, command: &str) -> Result<f64> {
        let mut answer = String::new();
        self.output.read_line(&mut answer)?;
        answer.trim().parse().with_context(|| {
            format!(
                "the process of {} Services has ended at {command:?}",
                self.services
            )
        })
    }

    pub(crate) fn id(&self) -> u32 {
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

/// Asks each worker so often: in turn, so that a noisy minute concerns all of them.
pub(crate) fn in_turn(command: &str, rounds: u32, workers: &mut [Worker]) -> Result<Vec<Vec<f64>>> {
    let mut times = vec![Vec::new(); workers.len()];
    for _ in 0..rounds {
        for (worker, times) in workers.iter_mut().zip(&mut times) {
            times.push(worker.ask(command)?);
        }
    }
    Ok(times)
}

/// What a [`Worker`] does: a line with a number for each line, until there are no more.
pub(crate) fn obey(mut command: impl FnMut(&str) -> Result<f64>) -> Result<()> {
    let mut out = io::stdout();
    for line in io::stdin().lock().lines() {
        let answer = command(&line?)?;
        writeln!(out, "{answer}")?;
        out.flush()?;
    }
    Ok(())
}

/// The most that a process has had of memory, in MiB: its `VmHWM`.
pub(crate) fn peak_memory(process: u32) -> Result<f64> {
    let status = fs::read_to_string(format!("/proc/{process}/status"))?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    let kib = line.and_then(|line| line.trim().strip_suffix(" kB"));
    let kib: f64 = kib.context("no VmHWM in /proc")?.trim().parse()?;
    Ok(kib / 1024.0)
}
