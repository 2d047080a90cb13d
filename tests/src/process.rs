//! A server process that ends with its owner.

use std::{
    fs::{self, File},
    os::unix::process::CommandExt as _,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    thread,
    time::Duration,
};

use anyhow::{Context as _, Result, bail};

use crate::wait;

/// Killed on drop; the end of its log is printed when the thread panics.
#[derive(Debug)]
pub struct Process {
    name: &'static str,
    child: Child,
    log: PathBuf,
}

impl Process {
    /// Starts `command`, which logs to `<directory>/<name>.log`.
    ///
    /// # Errors
    ///
    /// There is no such program, or the log cannot be written.
    pub fn start(name: &'static str, command: &mut Command, directory: &Path) -> Result<Self> {
        let log = directory.join(format!("{name}.log"));
        let file = File::options().create(true).append(true).open(&log)?;
        // A group of its own: Ctrl-C in a terminal is for whoever started us, who then ends it in order.
        let command = command
            .process_group(0)
            .stdin(Stdio::null())
            .stdout(file.try_clone()?)
            .stderr(file);
        let child = command.spawn().with_context(|| format!("cannot start {name}"))?;
        Ok(Self { name, child, log })
    }

    /// Calls `probe` until it succeeds, or the process ends, or `limit` is over.
    ///
    /// # Errors
    ///
    /// Not in time, or the process has ended.
    pub fn wait_until<T>(&mut self, limit: Duration, probe: impl FnMut() -> Result<T>) -> Result<T> {
        self.wait_until_every(wait::PAUSE, limit, probe)
    }

    /// As [`Self::wait_until`], with this long between two calls of a probe that costs much.
    ///
    /// # Errors
    ///
    /// As [`Self::wait_until`].
    pub fn wait_until_every<T>(
        &mut self,
        pause: Duration,
        limit: Duration,
        mut probe: impl FnMut() -> Result<T>,
    ) -> Result<T> {
        let name = self.name;
        wait::until_every(pause, name, limit, || match self.alive() {
            Ok(()) => probe().map(Ok),
            // No use in waiting for a dead one.
            Err(ended) => Ok(Err(ended)),
        })?
        .with_context(|| format!("{name} does not get ready"))
    }

    /// Its number.
    #[must_use]
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// Whether it still runs.
    ///
    /// # Errors
    ///
    /// It has ended; the end of its log is in the message.
    pub fn alive(&mut self) -> Result<()> {
        match self.child.try_wait()? {
            Some(status) => bail!(
                "{} ended ({status}); its log ends with:\n{}",
                self.name,
                self.log_tail()
            ),
            None => Ok(()),
        }
    }

    fn log_tail(&self) -> String {
        let log = fs::read_to_string(&self.log).unwrap_or_default();
        let lines: Vec<&str> = log.lines().collect();
        lines[lines.len().saturating_sub(15)..].join("\n")
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        if thread::panicking() {
            eprintln!("--- end of the log of {}\n{}\n---", self.name, self.log_tail());
        }
        // SIGKILL; one that has ended by itself is only reaped.
        let ended = self.child.kill().and_then(|()| self.child.wait());
        if let Err(error) = ended {
            eprintln!("{} may be left behind: {error}", self.name);
        }
    }
}
