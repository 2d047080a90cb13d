//! A topology with an agent on each node, and Services in it that a test can call its own.

mod shared;

use std::{
    collections::BTreeMap,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
    sync::atomic::{AtomicU16, Ordering},
    thread,
};

use anyhow::{Result, ensure};
use proxy_agent::model::{Family, Protocol};

use crate::{
    agent::{Agent, TcAttach},
    manifests::{Endpoint, Manifests, Service},
    scratch::Scratch,
    topology::{Host, Topology},
    traffic::{Role, Server},
};
pub use shared::{Shared, shared, shared_with_sockets};

/// One combination of address family and protocol that a test runs with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Variant {
    /// Family of the Service and its endpoints.
    pub family: Family,
    /// Protocol of the Service.
    pub protocol: Protocol,
}

/// A topology with a running agent on each node.
#[derive(Debug)]
pub struct World {
    // Fields are dropped from top to bottom: no agent may outlive its namespace or its bpffs.
    /// The agents, in the order of the nodes.
    pub agents: [Agent; 2],
    /// The machines.
    pub topology: Topology,
    /// What the agents read.
    pub manifests: Manifests,
    _scratch: Scratch,
}

/// A Service with servers behind it, which goes with its owner.
#[derive(Debug)]
pub struct Published<'w> {
    /// As the agents know it.
    pub service: Service,
    world: &'w World,
    servers: BTreeMap<String, Server>,
    role: Role,
}

impl World {
    /// Builds a topology and starts an agent on each node, without any Service.
    ///
    /// # Errors
    ///
    /// As [`Topology::build`], [`Scratch::create`] and [`Agent::start`].
    pub fn start(tc_attach: TcAttach) -> Result<Self> {
        Self::on(Topology::build()?, tc_attach)
    }

    /// As [`start`](Self::start), with programs that see the sockets, too: each node and its pods are in the cgroup of the node's
    /// agent. In other worlds only packets are seen.
    ///
    /// # Errors
    ///
    /// As [`start`](Self::start) and [`Node::join_cgroup`](crate::topology::Node::join_cgroup).
    pub fn start_with_sockets(flags: &[&str]) -> Result<Self> {
        let topology = Topology::build()?;
        topology.nodes.iter().try_for_each(|node| node.join_cgroup())?;
        Self::on_with(topology, flags)
    }

    /// Starts the agents on a topology that a test has prepared.
    ///
    /// # Errors
    ///
    /// As [`Scratch::create`] and [`Agent::start`].
    pub fn on(topology: Topology, tc_attach: TcAttach) -> Result<Self> {
        Self::with(topology, |node, scratch| Agent::start(node, scratch, tc_attach))
    }

    /// As [`start`](Self::start), with these flags beside the agents' usual ones.
    ///
    /// # Errors
    ///
    /// As [`start`](Self::start).
    pub fn start_with(flags: &[&str]) -> Result<Self> {
        Self::on_with(Topology::build()?, flags)
    }

    /// As [`on`](Self::on), with these flags beside the agents' usual ones.
    ///
    /// # Errors
    ///
    /// As [`on`](Self::on).
    pub fn on_with(topology: Topology, flags: &[&str]) -> Result<Self> {
        Self::with(topology, |node, scratch| Agent::start_with(node, scratch, flags))
    }

    fn with(topology: Topology, agent: impl Fn(&Host, &Scratch) -> Result<Agent>) -> Result<Self> {
        let scratch = Scratch::create()?;
        let [one, two] = &topology.nodes;
        let agents = [agent(&one.host, &scratch)?, agent(&two.host, &scratch)?];
        Ok(Self {
            agents,
            topology,
            manifests: Manifests::new(scratch.manifests()),
            _scratch: scratch,
        })
    }

    /// Publishes a NodePort Service whose endpoints are [`Role::WhoAmI`] servers on `pods`, and waits until both
    /// agents serve it. Its name, addresses and ports are nobody else's.
    ///
    /// # Errors
    ///
    /// An agent does not get it served in time.
    pub fn publish(&self, variant: Variant, pods: &[&Host]) -> Result<Published<'_>> {
        self.publish_role(variant, pods, Role::WhoAmI)
    }

    /// As [`publish`](Self::publish) with servers that do something else.
    ///
    /// # Errors
    ///
    /// An agent does not get it served in time.
    pub fn publish_role(&self, variant: Variant, pods: &[&Host], role: Role) -> Result<Published<'_>> {
        let service = unique_service(variant);
        let mut published = Published {
            service,
            world: self,
            servers: BTreeMap::new(),
            role,
        };
        published.set_endpoints(pods)?;
        Ok(published)
    }

    /// Publishes a Service that `edit` has given more fields. Does not wait: what is served is the test's to find out.
    ///
    /// # Errors
    ///
    /// A server does not start, or the manifests can't be written.
    pub fn publish_edited(
        &self,
        variant: Variant,
        pods: &[&Host],
        edit: impl FnOnce(&mut Service),
    ) -> Result<Published<'_>> {
        let mut published = Published {
            service: unique_service(variant),
            world: self,
            servers: BTreeMap::new(),
            role: Role::WhoAmI,
        };
        for pod in pods {
            published.serve_on(pod)?;
        }
        published.service.endpoints = Endpoint::of(pods, &[variant.family]);
        edit(&mut published.service);
        self.manifests.write(&published.service)?;
        Ok(published)
    }

    /// As [`publish`](Self::publish) without servers: the endpoints' port is closed.
    ///
    /// # Errors
    ///
    /// An agent does not get it served in time.
    pub fn publish_closed(&self, variant: Variant, pods: &[&Host]) -> Result<Published<'_>> {
        let mut service = unique_service(variant);
        service.endpoints = Endpoint::of(pods, &[variant.family]);
        let published = Published {
            service,
            world: self,
            servers: BTreeMap::new(),
            role: Role::WhoAmI,
        };
        published.write_and_wait()?;
        Ok(published)
    }

    /// Publishes a Service of its own with the same endpoints as `other`.
    ///
    /// # Errors
    ///
    /// An agent does not get it served in time.
    pub fn publish_beside(&self, other: &Published<'_>) -> Result<Published<'_>> {
        let family = Family::of(other.service.cluster_ips[0]);
        let mut service = unique_service(Variant {
            family,
            protocol: other.service.protocol,
        });
        service.target_port = other.service.target_port;
        service.endpoints.clone_from(&other.service.endpoints);
        let published = Published {
            service,
            world: self,
            servers: BTreeMap::new(),
            role: other.role,
        };
        published.write_and_wait()?;
        Ok(published)
    }

    fn wait_for(&self, service: &Service) -> Result<()> {
        self.agents.iter().try_for_each(|agent| agent.wait_for(service))
    }
}

impl Published<'_> {
    /// Its ClusterIP and port.
    #[must_use]
    pub fn vip(&self) -> SocketAddr {
        SocketAddr::new(self.service.cluster_ips[0], self.service.port)
    }

    /// Its NodePort at a node.
    ///
    /// # Panics
    ///
    /// When it has none.
    #[must_use]
    pub fn node_port(&self, node: &Host) -> SocketAddr {
        node.at(
            self.family(),
            self.service.node_port.expect("a Service with a NodePort"),
        )
    }

    /// Its external IP, which is nobody's address.
    #[must_use]
    pub fn external_ip(&self) -> SocketAddr {
        SocketAddr::new(self.service.external_ips[0], self.service.port)
    }

    /// The address of one of its endpoints, without the Service.
    #[must_use]
    pub fn direct(&self, pod: &Host) -> SocketAddr {
        pod.at(self.family(), self.service.target_port)
    }

    /// How many connections or datagrams its servers have had.
    #[must_use]
    pub fn served(&self) -> usize {
        self.servers.values().map(Server::served).sum()
    }

    /// Makes `pods` its endpoints and waits until both agents know. New pods get a server first; the servers of
    /// pods that leave go on.
    ///
    /// # Errors
    ///
    /// An agent does not get it served in time.
    pub fn set_endpoints(&mut self, pods: &[&Host]) -> Result<()> {
        for pod in pods {
            self.serve_on(pod)?;
        }
        self.service.endpoints = Endpoint::of(pods, &[self.family()]);
        self.write_and_wait()
    }

    /// Writes this annotation, and waits until both agents give each pod its percent of the connections.
    ///
    /// # Errors
    ///
    /// An agent does not in time.
    pub fn set_weights(&mut self, annotation: Option<&str>, percent: &[(&Host, f64)]) -> Result<()> {
        self.service.weights = annotation.map(str::to_owned);
        self.write_and_wait()?;
        let wanted: BTreeMap<SocketAddr, f64> = percent
            .iter()
            .map(|(pod, percent)| (self.direct(pod), *percent))
            .collect();
        self.world.agents.iter().try_for_each(|agent| {
            agent.wait_until("its shares", |_| {
                let shares = agent.shares(&self.service.id())?;
                ensure!(shares == wanted, "{shares:?} are not {wanted:?}");
                Ok(())
            })
        })
    }

    /// Deletes it, but for its servers, and waits until both agents know.
    ///
    /// # Errors
    ///
    /// It is deleted already, or an agent goes on serving it.
    pub fn withdraw(&self) -> Result<()> {
        self.world.manifests.remove(&self.service.name)?;
        let id = self.service.id();
        self.world.agents.iter().try_for_each(|agent| {
            agent.wait_until("its end", |rows| {
                ensure!(rows.iter().all(|row| row.service != id), "{id} is served");
                Ok(())
            })
        })
    }

    /// Creates it again after [`withdraw`](Self::withdraw), and waits until both agents know.
    ///
    /// # Errors
    ///
    /// An agent does not get it served in time.
    pub fn come_back(&self) -> Result<()> {
        self.write_and_wait()
    }

    fn serve_on(&mut self, pod: &Host) -> Result<()> {
        if !self.servers.contains_key(&pod.name) {
            let server = Server::start(
                &pod.ns,
                &pod.name,
                self.role,
                self.service.protocol,
                self.direct(pod),
            )?;
            self.servers.insert(pod.name.clone(), server);
        }
        Ok(())
    }

    fn write_and_wait(&self) -> Result<()> {
        self.world.manifests.write(&self.service)?;
        self.world.wait_for(&self.service)
    }

    fn family(&self) -> Family {
        Family::of(self.service.cluster_ips[0])
    }
}

impl Drop for Published<'_> {
    fn drop(&mut self) {
        let manifests = &self.world.manifests;
        if manifests.path(&self.service.name).exists()
            && let Err(error) = manifests.remove(&self.service.name)
            && !thread::panicking()
        {
            eprintln!("{error:#}");
        }
    }
}

/// A Service whose name, address and ports nobody else in this process has.
fn unique_service(variant: Variant) -> Service {
    static NEXT: AtomicU16 = AtomicU16::new(1);
    let number = NEXT.fetch_add(1, Ordering::Relaxed);
    let [high, low] = number.to_be_bytes();
    let in_network = |second: u8| match variant.family {
        Family::V4 => IpAddr::V4(Ipv4Addr::new(10, second, high, low)),
        Family::V6 => IpAddr::V6(Ipv6Addr::new(0xfd00, 0x10, second.into(), 0, 0, 0, 0, number)),
    };
    Service {
        name: format!("test-{number}"),
        port_name: "main".to_owned(),
        protocol: variant.protocol,
        cluster_ips: vec![in_network(97)],
        external_ips: vec![in_network(98)],
        port: 80,
        node_port: Some(30_000 + number),
        target_port: 10_000 + number,
        weights: None,
        load_balancer: None,
        spec: Vec::new(),
        other_protocol: false,
        endpoints: Vec::new(),
    }
}
