//! Two nodes of one cluster: the agent writes the rules of one, the real kube-proxy those of the other, in turns. Never both at the
//! same time: they would take the processors, and the lock of iptables, from each other.

use std::{path::PathBuf, time::Instant};

use anyhow::{Context as _, Result};
use harness::{
    apiserver::{self, ApiServer},
    iptables::Iptables,
    kube_proxy,
    scratch::Scratch,
    topology::{Host, Topology, control_host},
};
use proxy_agent::model::Family;
use serde_json::json;

use super::{
    Plan,
    proxy::{Proxy, Running, Sample},
    row,
};
use crate::{
    cluster::{
        objects,
        writer::{self, Writer},
    },
    figures::Figure,
    progress::progress,
    stats::median,
};

/// Further than the numbers of all endpoints.
const FRESH: u32 = 1_000_000;

/// Everything that stands.
pub(super) struct Beside {
    // Fields are dropped from top to bottom: nothing may outlive its namespace or its directory.
    pub(super) server: ApiServer,
    _control: Host,
    pub(super) topology: Topology,
    pub(super) scratch: Scratch,
    pub(super) iptables: Iptables,
    pub(super) kube_proxy: PathBuf,
    fresh: u32,
}

/// The rows, and which iptables it was; `None` without the programs.
pub(super) fn measure(plan: &Plan) -> Result<Option<(Vec<Figure>, String)>> {
    let (Some(kube_proxy), Some(binaries)) = (kube_proxy::find(), apiserver::find("beside kube-proxy"))
    else {
        return Ok(None);
    };
    progress("beside kube-proxy: starting the API server");
    let mut beside = Beside::start(&binaries, kube_proxy)?;
    let (mut rows, mut filled) = (Vec::new(), 0);
    let bearable = match beside.iptables {
        Iptables::Legacy => plan.api_sizes,
        Iptables::Nft => &plan.api_sizes[..1],
    };
    for services in bearable {
        writer::fill(beside.server.admin(), filled..*services)?;
        filled = *services;
        rows.extend(beside.rounds(plan, *services)?);
    }
    let node = &beside.node(Proxy::KubeProxy).ns;
    let version = beside.iptables.run(node, Family::V4, "--version")?;
    Ok(Some((rows, version.trim().to_owned())))
}

impl Beside {
    fn start(binaries: &apiserver::Binaries, kube_proxy: PathBuf) -> Result<Self> {
        let topology = Topology::build()?;
        let nodes = topology.nodes.each_ref().map(|node| &node.host);
        let control = control_host(&nodes)?;
        let scratch = Scratch::create()?;
        let server = ApiServer::start(binaries, &control, scratch.path())?;
        for host in nodes {
            let node = json!({"apiVersion": "v1", "kind": "Node", "metadata": {"name": host.name}});
            let addresses =
                Family::ALL.map(|family| json!({"type": "InternalIP", "address": host.ip(family)}));
            server.admin().apply(&node)?;
            server
                .admin()
                .apply_status(&node, &json!({"addresses": addresses}))?;
        }
        let is_legacy = Iptables::Legacy.is_installed();
        let beside = Self {
            server,
            _control: control,
            topology,
            scratch,
            iptables: if is_legacy {
                Iptables::Legacy
            } else {
                Iptables::Nft
            },
            kube_proxy,
            fresh: FRESH,
        };
        beside.hint()?;
        Ok(beside)
    }

    pub(super) fn node(&self, proxy: Proxy) -> &Host {
        &self.topology.nodes[proxy as usize].host
    }

    /// kubelet's, by which the agent takes the same iptables as kube-proxy, which has it by its PATH.
    fn hint(&self) -> Result<()> {
        let ns = &self.node(Proxy::KubePortal).ns;
        for family in Family::ALL {
            self.iptables.run(ns, family, "-t mangle -N KUBE-IPTABLES-HINT")?;
        }
        Ok(())
    }

    fn rounds(&mut self, plan: &Plan, services: u32) -> Result<Vec<Figure>> {
        let mut samples = Vec::new();
        for round in 1..=plan.starts {
            progress(&format!(
                "beside kube-proxy: {services} Services, round {round} of {}",
                plan.starts
            ));
            let ours = self.sample(Proxy::KubePortal, plan.changes, services)?;
            samples.push([ours, self.sample(Proxy::KubeProxy, plan.changes, services)?]);
        }
        let mut rows = Vec::new();
        for what in Sample::ROWS {
            rows.extend(compare(what, services, &samples)?);
        }
        Ok(rows)
    }

    /// Of a new process, on a node without rules.
    fn sample(&mut self, proxy: Proxy, changes: u32, services: u32) -> Result<Sample> {
        self.flush(proxy)?;
        let running = Running::start(self, proxy)?;
        let full = running.first_pass()?;
        let (mut partial, mut followed) = (Vec::new(), Vec::new());
        for change in 0..changes {
            let before = running.at_rest()?;
            let answered = self.change(change * (services / changes).max(1) % services)?;
            let pass = running.next_pass(before)?;
            partial.push(pass.took * 1_000.0);
            followed.push(pass.seen.saturating_duration_since(answered).as_secs_f64() * 1_000.0);
        }
        self.check(proxy)?;
        Ok(Sample {
            full,
            partial: median(&partial).context("no change")?,
            followed: median(&followed).context("no change")?,
            memory: running.peak_memory()?,
        })
    }

    fn flush(&self, proxy: Proxy) -> Result<()> {
        let ns = &self.node(proxy).ns;
        for (family, table) in Family::ALL
            .into_iter()
            .flat_map(|family| ["nat", "filter"].map(|table| (family, table)))
        {
            for what in ["-F", "-X"] {
                self.iptables.run(ns, family, &format!("-t {table} {what}"))?;
            }
        }
        Ok(())
    }

    /// Replaces one endpoint; when the API server has answered.
    fn change(&mut self, service: u32) -> Result<Instant> {
        let before = self.fresh;
        self.fresh += 1;
        self.server.admin().session(async |client| {
            Writer::new(client, before).change(service).await?;
            Ok(Instant::now())
        })
    }

    /// What was measured is in the kernel: the last of the changes.
    fn check(&self, proxy: Proxy) -> Result<()> {
        let address = objects::address(self.fresh, Family::V4);
        let saved = self.iptables.save(&self.node(proxy).ns, Family::V4)?;
        let rule = format!("--to-destination {address}:8080");
        saved
            .lines()
            .find(|line| line.ends_with(&rule))
            .with_context(|| format!("{} has written no rule for {address}", proxy.label()))
            .map(drop)
    }
}

/// Both, and what is ours for one of kube-proxy's: the median of the rounds.
fn compare(
    (what, unit, value): (&str, &str, fn(&Sample) -> f64),
    services: u32,
    samples: &[[Sample; 2]],
) -> Result<Vec<Figure>> {
    let middle = |name: &str, unit: &str, values: Vec<f64>| -> Result<Figure> {
        let mut figure = row(
            &format!("{what}: {name}"),
            services,
            median(&values).context("no round")?,
            unit,
        );
        let (low, high) = values.iter().fold((f64::MAX, f64::MIN), |(low, high), value| {
            (low.min(*value), high.max(*value))
        });
        figure.range = Some([low, high]);
        Ok(figure)
    };
    let of = |proxy: Proxy| samples.iter().map(|both| value(&both[proxy as usize])).collect();
    let ratios = samples.iter().map(|[ours, theirs]| value(ours) / value(theirs));
    Ok(vec![
        middle(Proxy::KubePortal.label(), unit, of(Proxy::KubePortal))?,
        middle(Proxy::KubeProxy.label(), unit, of(Proxy::KubeProxy))?,
        middle("ratio", "", ratios.collect())?,
    ])
}
