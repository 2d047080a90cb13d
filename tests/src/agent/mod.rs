//! The real `kube-portal` binary on a node.

mod binary;
mod hooks;
mod inspect;
pub(crate) mod metrics;
mod shares;
mod source;

use std::{
    collections::BTreeMap,
    fs::{self, File},
    net::SocketAddr,
    os::unix::process::CommandExt as _,
    path::{Path, PathBuf},
    process::{Child, Command, ExitStatus},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    thread,
    time::Duration,
};

use anyhow::{Context as _, Result, bail, ensure};
use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};

use proxy_agent::dataplane::bpf::{dump::is_draining, object::PinDir};

use crate::{cgroup::Cgroup, exec, manifests::Service, netns::NetNs, scratch::Scratch, topology::Host, wait};
pub use binary::binary;
pub use hooks::{Hook, hooks};
pub use inspect::{Row, pins};
pub use metrics::{Series, value as metric};
pub use source::Source;

/// How long an agent may take to do what it was told. Loading and verifying the programs is the longest of it.
pub const READY: Duration = Duration::from_secs(40);

/// How the agent attaches to devices: its `--tc-attach`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum TcAttach {
    /// The agent chooses.
    #[default]
    Auto,
    /// TCX, from Linux 6.6.
    Tcx,
    /// A clsact qdisc with filters.
    Clsact,
}

/// An agent of one node. On drop it is killed and its datapath cleaned up.
#[derive(Debug)]
pub struct Agent {
    binary: PathBuf,
    node: String,
    ns: Arc<NetNs>,
    cgroup: Arc<Cgroup>,
    source: Source,
    tc_attach: TcAttach,
    pin_root: PathBuf,
    log: PathBuf,
    flags: Mutex<Vec<String>>,
    child: Mutex<Option<Child>>,
}

impl TcAttach {
    const fn flag(self) -> &'static str {
        match self {
            Self::Auto => "auto",
            Self::Tcx => "tcx",
            Self::Clsact => "clsact",
        }
    }
}

impl Agent {
    /// Starts the agent of `node`, which reads the manifests of `scratch` and pins in a directory of its own on the
    /// bpffs there.
    ///
    /// # Errors
    ///
    /// The binary has not been built, or the process cannot be started.
    pub fn start(node: &Host, scratch: &Scratch, tc_attach: TcAttach) -> Result<Self> {
        Self::start_from(Source::Manifests(scratch.manifests()), node, scratch, tc_attach)
    }

    /// As [`start`](Self::start), with objects from elsewhere.
    ///
    /// # Errors
    ///
    /// The binary has not been built, or the process cannot be started.
    pub fn start_from(source: Source, node: &Host, scratch: &Scratch, tc_attach: TcAttach) -> Result<Self> {
        let agent = Self::new(source, node, scratch, tc_attach)?;
        agent.run()?;
        Ok(agent)
    }

    /// As [`start`](Self::start), with these flags beside the usual ones.
    ///
    /// # Errors
    ///
    /// The binary has not been built, or the process cannot be started.
    pub fn start_with(node: &Host, scratch: &Scratch, flags: &[&str]) -> Result<Self> {
        Self::start_from_with(Source::Manifests(scratch.manifests()), node, scratch, flags)
    }

    /// As [`start_with`](Self::start_with), with objects from elsewhere.
    ///
    /// # Errors
    ///
    /// The binary has not been built, or the process cannot be started.
    pub fn start_from_with(source: Source, node: &Host, scratch: &Scratch, flags: &[&str]) -> Result<Self> {
        let agent = Self::new(source, node, scratch, TcAttach::Auto)?;
        agent.set_flags(flags);
        agent.run()?;
        Ok(agent)
    }

    fn new(source: Source, node: &Host, scratch: &Scratch, tc_attach: TcAttach) -> Result<Self> {
        Ok(Self {
            binary: binary()?,
            node: node.name.clone(),
            ns: Arc::clone(&node.ns),
            cgroup: own_cgroup(node)?,
            source,
            tc_attach,
            pin_root: scratch.bpffs().join(&node.name),
            log: scratch.path().join(format!("{}.log", node.name)),
            flags: Mutex::default(),
            child: Mutex::new(None),
        })
    }

    /// Starts it again after [`kill`](Self::kill).
    ///
    /// # Errors
    ///
    /// It still runs, or the process cannot be started.
    pub fn run(&self) -> Result<()> {
        let mut running = self.child();
        ensure!(running.is_none(), "the agent of {} runs already", self.node);
        let log = File::options().create(true).append(true).open(&self.log)?;
        let mut command = self.ns.command_in(&self.cgroup, &self.binary)?;
        command.arg("run").args(self.source.flags());
        command
            .args(["--hostname-override", &self.node])
            .arg("--pin-root")
            .arg(&self.pin_root);
        command.args(["--tc-attach", self.tc_attach.flag()]);
        let flags = self.flags.lock().unwrap_or_else(PoisonError::into_inner);
        if !flags.iter().any(|flag| flag == "--cgroup-root") {
            command.arg("--cgroup-root").arg(self.cgroup.path());
        }
        command.args(&*flags);
        // A group of its own: Ctrl-C in a terminal is for whoever started us, who then ends the agent in order.
        let child = command
            .process_group(0)
            .stdin(std::process::Stdio::null())
            .stdout(log.try_clone()?)
            .stderr(log);
        *running = Some(child.spawn().context("cannot start kube-portal")?);
        Ok(())
    }

    /// Ends it and starts it again, from now on with these flags beside the usual ones.
    ///
    /// # Errors
    ///
    /// As [`kill`](Self::kill) and [`run`](Self::run).
    pub fn restart_with(&self, flags: &[&str]) -> Result<()> {
        self.kill()?;
        self.set_flags(flags);
        self.run()
    }

    fn set_flags(&self, flags: &[&str]) {
        *self.flags.lock().unwrap_or_else(PoisonError::into_inner) =
            flags.iter().map(ToString::to_string).collect();
    }

    /// Kills it with SIGKILL: it gets no chance to tidy up.
    ///
    /// # Errors
    ///
    /// It does not run, or had ended by itself.
    pub fn kill(&self) -> Result<()> {
        let mut child = self
            .child()
            .take()
            .with_context(|| format!("no agent runs on {}", self.node))?;
        if let Some(status) = child.try_wait()? {
            bail!(
                "the agent of {} ended by itself ({status}):\n{}",
                self.node,
                self.log_tail()
            );
        }
        child.kill()?;
        child.wait()?;
        Ok(())
    }

    /// Waits until it ends by itself; then [`run`](Self::run) may start it again.
    ///
    /// # Errors
    ///
    /// It does not run, or does not end in time.
    pub fn wait_for_end(&self) -> Result<ExitStatus> {
        let mut running = self.child();
        let child = running
            .as_mut()
            .with_context(|| format!("no agent runs on {}", self.node))?;
        let status = wait::until("the agent ends", READY, || {
            child.try_wait()?.context("it goes on")
        })?;
        *running = None;
        Ok(status)
    }

    /// Sends it a signal: SIGSTOP keeps it from doing anything until SIGCONT.
    ///
    /// # Errors
    ///
    /// It does not run.
    pub fn signal(&self, signal: Signal) -> Result<()> {
        let running = self.child();
        let child = running
            .as_ref()
            .with_context(|| format!("no agent runs on {}", self.node))?;
        kill(Pid::from_raw(i32::try_from(child.id())?), signal)?;
        Ok(())
    }

    /// Its process, if it runs.
    #[must_use]
    pub fn process(&self) -> Option<u32> {
        self.child().as_ref().map(Child::id)
    }

    /// Where it pins.
    #[must_use]
    pub fn pin_root(&self) -> &Path {
        &self.pin_root
    }

    /// `kube-portal <arguments> --pin-root …`, ready to run on the node.
    #[must_use]
    pub fn command(&self, arguments: &[&str]) -> Command {
        let mut command = self.ns.command(&self.binary);
        command
            .args(&arguments[..1])
            .arg("--pin-root")
            .arg(&self.pin_root)
            .args(&arguments[1..]);
        command
    }

    /// Its frontends. They are read from the pinned maps, so the agent need not run.
    ///
    /// # Errors
    ///
    /// The maps are not there yet, or the output is not what was promised.
    pub fn services(&self) -> Result<Vec<Row>> {
        Row::parse_all(&exec::output(
            &mut self.command(&["inspect", "services", "--output", "json"]),
        )?)
    }

    /// Percent of the new connections that each endpoint of `service` gets, which is `namespace/name:port`.
    ///
    /// # Errors
    ///
    /// The maps are not there yet, or the output is not what was promised.
    pub fn shares(&self, service: &str) -> Result<BTreeMap<SocketAddr, f64>> {
        let json = exec::output(&mut self.command(&["inspect", "endpoints", "--output", "json"]))?;
        shares::parse(&json, service)
    }

    /// Waits until the frontends satisfy `condition`.
    ///
    /// # Errors
    ///
    /// Not in time, or the agent has ended; the end of its log is in the message.
    pub fn wait_until(&self, what: &str, condition: impl Fn(&[Row]) -> Result<()>) -> Result<()> {
        self.wait_within(READY, what, condition)
    }

    /// As [`wait_until`](Self::wait_until), for as long as `limit`.
    ///
    /// # Errors
    ///
    /// As [`wait_until`](Self::wait_until).
    pub fn wait_within(
        &self,
        limit: Duration,
        what: &str,
        condition: impl Fn(&[Row]) -> Result<()>,
    ) -> Result<()> {
        let waited = wait::until(what, limit, || {
            // No use in waiting for a dead one.
            if let Some(status) = self.child().as_mut().map(Child::try_wait).transpose()?.flatten() {
                return Ok(Err(anyhow::anyhow!("kube-portal ended ({status})")));
            }
            condition(&self.services()?)?;
            // Before an agent begins to serve by its maps they are complete.
            ensure!(
                !is_draining(&PinDir::new(&self.pin_root))?,
                "the programs open no flows"
            );
            Ok(Ok(()))
        });
        waited.and_then(|ended| ended).map_err(|error| {
            let log = self.log_tail();
            anyhow::anyhow!("{error:#}; the log of {} ends with:\n{log}", self.node)
        })
    }

    /// Waits until `service` is served exactly as written.
    ///
    /// # Errors
    ///
    /// As [`wait_until`](Self::wait_until).
    pub fn wait_for(&self, service: &Service) -> Result<()> {
        self.wait_until(&service.id(), |rows| Row::expect(rows, service))
    }

    /// Runs `kube-portal cleanup`.
    ///
    /// # Errors
    ///
    /// The command failed.
    pub fn cleanup(&self) -> Result<()> {
        exec::output(&mut self.command(&["cleanup"])).map(drop)
    }

    /// What it has logged, over all its processes.
    #[must_use]
    pub fn log(&self) -> String {
        fs::read_to_string(&self.log).unwrap_or_default()
    }

    /// The last lines of its log.
    #[must_use]
    pub fn log_tail(&self) -> String {
        let log = self.log();
        let lines: Vec<&str> = log.lines().collect();
        lines[lines.len().saturating_sub(30)..].join("\n")
    }

    fn child(&self) -> MutexGuard<'_, Option<Child>> {
        self.child.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn remove(&self) -> Result<()> {
        if let Some(mut child) = self.child().take() {
            child.kill()?;
            child.wait()?;
        }
        if !self.pin_root.exists() {
            return Ok(());
        }
        self.cleanup()?;
        let left = pins(&self.pin_root)?;
        ensure!(left.is_empty(), "`cleanup` left pins behind: {left:?}");
        Ok(())
    }
}

/// That of whatever runs on the node, or else one that only the agent is in: never the machine's.
fn own_cgroup(node: &Host) -> Result<Arc<Cgroup>> {
    let joined = node.ns.cgroup().map(Arc::clone);
    joined.map_or_else(|| Cgroup::create(&node.name).map(Arc::new), Ok)
}

impl Drop for Agent {
    fn drop(&mut self) {
        if thread::panicking() {
            eprintln!("--- end of the log of {}\n{}\n---", self.node, self.log_tail());
        }
        if let Err(error) = self.remove() {
            let complaint = format!("agent of {}: {error:#}", self.node);
            assert!(thread::panicking(), "{complaint}");
            eprintln!("{complaint}");
        }
    }
}
