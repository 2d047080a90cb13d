//! What runs on the nodes of a cluster.

use std::{net::IpAddr, os::fd::OwnedFd};

use anyhow::Result;
use harness::{agent::Agent, kube_proxy::KubeProxy, manifests::Manifests, scratch::Scratch, topology::Host};
use proxy_agent::model::Family;

use crate::{
    empty_program,
    services::{self, PODS},
};

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
        services::write(&manifests, count, &[Family::V4])?;
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
            Self::Portal { manifests, .. } => services::write(manifests, count, &[Family::V4]),
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
                .try_for_each(|agent| services::wait_for(agent, usize::try_from(count)?)),
            Self::KubeProxy(proxies) => {
                let all: Vec<IpAddr> = (0..count)
                    .map(|index| services::cluster_ip(index, Family::V4))
                    .collect();
                proxies.iter_mut().try_for_each(|proxy| proxy.wait_for(&all))
            }
        }
    }
}
