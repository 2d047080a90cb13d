//! A process that writes rules, and what it says of that.

use std::{
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, ensure};
use harness::{
    agent::{self, Agent, Source},
    kube_proxy::{KubeProxy, Mode, Setup},
    signals, wait,
};
use proxy_agent::model::Family;

use super::beside::Beside;
use crate::{cluster::objects, process};

/// How long a pass may take.
const PATIENCE: Duration = Duration::from_secs(300);
/// Seldom enough to leave the processors to whom is measured.
const PAUSE: Duration = Duration::from_millis(5);
/// As long as this nothing may have happened before something is changed.
const REST: Duration = Duration::from_millis(200);
/// A pass begins as soon as a change is known.
const MIN_SYNC_PERIOD: &str = "--iptables-min-sync-period=10ms";

/// Whose rules they are; its node is the one of this number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Proxy {
    KubePortal = 0,
    KubeProxy = 1,
}

/// Of one process.
pub(super) struct Sample {
    /// Seconds.
    pub(super) full: f64,
    /// Milliseconds.
    pub(super) partial: f64,
    /// Milliseconds.
    pub(super) followed: f64,
    /// MiB.
    pub(super) memory: f64,
}

pub(super) enum Running {
    KubePortal(Agent),
    KubeProxy(KubeProxy),
}

/// How many passes there were and how long they took together, in seconds.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Passes {
    count: f64,
    sum: f64,
}

/// One that is over.
pub(super) struct Pass {
    /// Seconds, as the process says.
    pub(super) took: f64,
    /// When the process said so.
    pub(super) seen: Instant,
}

/// A row's name and unit, and where its value is.
type Row = (&'static str, &'static str, fn(&Sample) -> f64);

impl Sample {
    pub(super) const ROWS: [Row; 4] = [
        ("first full sync", "s", |sample| sample.full),
        ("partial sync, one endpoint changed", "ms", |sample| {
            sample.partial
        }),
        ("answer to the write until that sync is over", "ms", |sample| {
            sample.followed
        }),
        ("peak memory of the process", "MiB", |sample| sample.memory),
    ];
}

impl Proxy {
    pub(super) const fn label(self) -> &'static str {
        match self {
            Self::KubePortal => "kube-portal",
            Self::KubeProxy => "kube-proxy",
        }
    }
}

impl Running {
    pub(super) fn start(beside: &Beside, proxy: Proxy) -> Result<Self> {
        let (node, kubeconfig) = (beside.node(proxy), beside.server.agent_kubeconfig());
        let pods = format!("--cluster-cidr={}", objects::pods(Family::V4));
        let flags = [MIN_SYNC_PERIOD, &pods];
        match proxy {
            Proxy::KubePortal => {
                let source = Source::Kubeconfig(kubeconfig.to_owned());
                let flags = [&flags[..], &["--mode", "iptables"]].concat();
                Agent::start_from_with(source, node, &beside.scratch, &flags).map(Self::KubePortal)
            }
            Proxy::KubeProxy => {
                let setup = Setup {
                    binary: &beside.kube_proxy,
                    kubeconfig,
                    directory: beside.scratch.path(),
                    flags: &flags,
                };
                KubeProxy::start(Mode::Iptables, node, setup).map(Self::KubeProxy)
            }
        }
    }

    /// How long it took, in seconds.
    pub(super) fn first_pass(&self) -> Result<f64> {
        let passes = self.wait_for("the first full sync", || {
            let passes = self.passes("full")?;
            ensure!(passes.count > 0.0, "there was none");
            Ok(passes)
        })?;
        Ok(passes.sum / passes.count)
    }

    /// Waits until nothing has happened for a while; the partial passes so far.
    pub(super) fn at_rest(&self) -> Result<Passes> {
        self.wait_for("rest", || {
            let before = self.passes("partial")?;
            thread::sleep(REST);
            ensure!(self.passes("partial")? == before, "it writes something");
            Ok(before)
        })
    }

    /// The partial one after `before`.
    pub(super) fn next_pass(&self, before: Passes) -> Result<Pass> {
        self.wait_for("a partial sync", || {
            let after = self.passes("partial")?;
            ensure!(after.count > before.count, "there was none");
            Ok(Pass {
                took: (after.sum - before.sum) / (after.count - before.count),
                seen: Instant::now(),
            })
        })
    }

    pub(super) fn peak_memory(&self) -> Result<f64> {
        let process = match self {
            Self::KubePortal(agent) => agent.process().context("the agent has ended")?,
            Self::KubeProxy(kube_proxy) => kube_proxy.process(),
        };
        process::peak_memory(process)
    }

    fn wait_for<T>(&self, what: &str, mut probe: impl FnMut() -> Result<T>) -> Result<T> {
        wait::until_every(PAUSE, what, PATIENCE, || match signals::check() {
            Ok(()) => probe().map(Ok),
            Err(interrupted) => Ok(Err(interrupted)),
        })?
    }

    /// Of `extent`, which is `full` or `partial`.
    fn passes(&self, extent: &str) -> Result<Passes> {
        let (text, label) = match self {
            Self::KubePortal(agent) => (agent.metrics()?, ""),
            Self::KubeProxy(proxy) => (proxy.metrics()?, "{ip_family=\"IPv4\"}"),
        };
        let series = format!("kubeproxy_sync_{extent}_proxy_rules_duration_seconds");
        // kube-proxy does not name what has not happened yet.
        let value = |what: &str| agent::metric(&text, &format!("{series}_{what}{label}")).unwrap_or_default();
        Ok(Passes {
            count: value("count"),
            sum: value("sum"),
        })
    }
}
