//! The API server that every kube-proxy follows.

use std::path::PathBuf;

use anyhow::Result;
use harness::{
    apiserver::{self, ApiServer},
    kube_proxy::{self, KubeProxy, Mode, Setup},
    scratch::Scratch,
    topology::{Host, control_host},
};
use proxy_agent::model::Family;
use serde_json::json;

use super::{Proxies, Proxy, Twin};
use crate::{
    fill,
    services::{self, PODS},
};

pub(in crate::datapath) struct Reference {
    server: ApiServer,
    _control: Host,
    scratch: Scratch,
    binary: PathBuf,
    /// How many Services it has.
    count: u32,
}

impl Reference {
    /// Starts it beside the nodes of `twins`; `None` without the programs.
    pub(in crate::datapath) fn start(twins: &[Twin]) -> Result<Option<Self>> {
        let (Some(binary), Some(binaries)) = (kube_proxy::find(), apiserver::find("beside kube-proxy"))
        else {
            return Ok(None);
        };
        let scratch = Scratch::create()?;
        let nodes: Vec<&Host> = twins
            .iter()
            .filter(|twin| mode(twin.proxy).is_some())
            .flat_map(Twin::nodes)
            .collect();
        let control = control_host(&nodes)?;
        let server = ApiServer::start(&binaries, &control, scratch.path())?;
        let reference = Self {
            server,
            _control: control,
            scratch,
            binary,
            count: 0,
        };
        // All twins have nodes of the same names and addresses.
        nodes
            .iter()
            .take(2)
            .try_for_each(|node| reference.add_node(node))?;
        Ok(Some(reference))
    }

    fn add_node(&self, host: &Host) -> Result<()> {
        let node = json!({"apiVersion": "v1", "kind": "Node", "metadata": {"name": host.name}});
        let addresses = Family::ALL.map(|family| json!({"type": "InternalIP", "address": host.ip(family)}));
        self.server.admin().apply(&node)?;
        self.server
            .admin()
            .apply_status(&node, &json!({"addresses": addresses}))
    }

    /// Creates what is missing to so many Services.
    pub(in crate::datapath) fn grow(&mut self, count: u32) -> Result<()> {
        fill::fill(self.server.admin(), &[], &(self.count..count), |index| {
            services::documents(index, Family::V4)
        })?;
        self.count = count;
        Ok(())
    }

    /// kube-proxy on both nodes of `twin`; nothing if it is not one of its.
    pub(in crate::datapath) fn start_proxies(&self, twin: &Twin) -> Result<Proxies> {
        let Some(mode) = mode(twin.proxy) else {
            return Ok(Proxies::None);
        };
        let setup = Setup {
            binary: &self.binary,
            kubeconfig: self.server.agent_kubeconfig(),
            directory: self.scratch.path(),
            flags: &["--cluster-cidr", PODS],
        };
        let [one, two] = twin.nodes();
        Ok(Proxies::KubeProxy([
            KubeProxy::start(mode, one, setup)?,
            KubeProxy::start(mode, two, setup)?,
        ]))
    }
}

const fn mode(proxy: Proxy) -> Option<Mode> {
    match proxy {
        Proxy::Iptables => Some(Mode::Iptables),
        Proxy::Nftables => Some(Mode::Nftables),
        Proxy::Bare | Proxy::Empty | Proxy::KubePortal => None,
    }
}
