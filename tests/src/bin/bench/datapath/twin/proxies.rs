//! What runs on the nodes of a cluster.

use std::{net::IpAddr, os::fd::OwnedFd, time::Duration};

use anyhow::{Result, ensure};
use harness::{
    agent::Agent, kube_proxy::KubeProxy, manifests::Manifests, scratch::Scratch, signals, topology::Host,
};

use crate::datapath::{
    empty_program,
    services::{self, PODS},
};

/// How long a proxy may take for all Services before something is wrong.
pub(super) const PATIENCE: Duration = Duration::from_secs(120);

pub(in crate::datapath) enum Proxies {
    None,
    /// Held for as long as they are to be attached.
    Empty(#[expect(dead_code, reason = "held")] Vec<OwnedFd>),
    Portal {
        agents: Vec<Agent>,
        manifests: Manifests,
        _scratch: Scratch,
    },
    KubeProxy([KubeProxy; 2]),
}

impl Proxies {
    /// The agent on both nodes, with so many Services.
    pub(in crate::datapath) fn portal(nodes: [&Host; 2], count: u32) -> Result<Self> {
        let scratch = Scratch::create()?;
        let manifests = Manifests::new(scratch.manifests());
        write(&manifests, count)?;
        let start = |node| Agent::start_with(node, &scratch, &["--cluster-cidr", PODS]);
        Ok(Self::Portal {
            agents: nodes.into_iter().map(start).collect::<Result<_>>()?,
            manifests,
            _scratch: scratch,
        })
    }

    /// Programs that do nothing on all devices of both nodes.
    pub(in crate::datapath) fn empty(nodes: [&Host; 2]) -> Result<Self> {
        let mut links = Vec::new();
        for node in nodes {
            links.extend(node.ns.run(empty_program::attach_everywhere)?);
        }
        Ok(Self::Empty(links))
    }

    /// Gives the agents so many Services.
    pub(in crate::datapath) fn grow(&self, count: u32) -> Result<()> {
        match self {
            Self::Portal { manifests, .. } => write(manifests, count),
            // It has them from the API server.
            Self::None | Self::Empty(_) | Self::KubeProxy(_) => Ok(()),
        }
    }

    /// What kube-proxy writes its rules with.
    pub(in crate::datapath) fn backend(&self) -> Result<Option<String>> {
        match self {
            Self::KubeProxy([proxy, _]) => proxy.backend().map(Some),
            Self::None | Self::Empty(_) | Self::Portal { .. } => Ok(None),
        }
    }

    /// Waits until so many Services are served on both nodes.
    pub(in crate::datapath) fn wait_for(&mut self, count: u32) -> Result<()> {
        match self {
            Self::None | Self::Empty(_) => Ok(()),
            Self::Portal { agents, .. } => agents
                .iter()
                .try_for_each(|agent| wait_for(agent, usize::try_from(count)?)),
            Self::KubeProxy(proxies) => {
                let all: Vec<IpAddr> = (0..count).map(services::cluster_ip).collect();
                proxies.iter_mut().try_for_each(|proxy| proxy.wait_for(&all))
            }
        }
    }
}

fn write(manifests: &Manifests, count: u32) -> Result<()> {
    let documents = (0..count).flat_map(services::documents);
    let text: Vec<String> = documents.map(|document| document.to_string()).collect();
    // JSON is YAML.
    manifests.write_text("services", &text.join("\n---\n"))
}

fn wait_for(agent: &Agent, count: usize) -> Result<()> {
    agent.wait_within(PATIENCE, "the Services", |rows| {
        let served = rows.iter().filter(|row| row.kind == "ClusterIP").count();
        let is_enough = served == count || signals::check().is_err();
        ensure!(is_enough, "{served} of {count} Services are served");
        Ok(())
    })?;
    signals::check()
}
