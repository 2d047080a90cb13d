//! What the demo plays on.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use anyhow::Result;
use harness::{
    agent::{Agent, TcAttach},
    manifests::{Endpoint, Service},
    topology::Host,
    traffic::{Role, Server},
    world::World,
};
use proxy_agent::model::{Family, Protocol};

use crate::signals;

/// Two nodes with agents, three HTTP servers, one Service.
pub(crate) struct Stage {
    // Servers go before the namespaces that they listen in.
    _servers: Vec<Server>,
    pub(crate) service: Service,
    pub(crate) world: World,
}

impl Stage {
    /// Builds it and waits until both agents serve the Service.
    pub(crate) fn set() -> Result<Self> {
        let world = World::start(TcAttach::Auto)?;
        let mut service = nginx_basic();
        let mut servers = Vec::new();
        for pod in endpoints_of(&world) {
            for family in Family::ALL {
                let address = pod.at(family, service.target_port);
                servers.push(Server::start(
                    &pod.ns,
                    &pod.name,
                    Role::Http,
                    Protocol::Tcp,
                    address,
                )?);
            }
        }
        service.endpoints = Endpoint::of(&endpoints_of(&world), &Family::ALL);
        let stage = Self {
            _servers: servers,
            service,
            world,
        };
        stage.publish()?;
        Ok(stage)
    }

    /// Writes the Service's manifest and waits until both agents serve it.
    pub(crate) fn publish(&self) -> Result<()> {
        self.world.manifests.write(&self.service)?;
        for agent in &self.world.agents {
            signals::check()?;
            agent.wait_for(&self.service)?;
        }
        Ok(())
    }

    /// The pods that serve pages.
    pub(crate) fn endpoints(&self) -> [&Host; 3] {
        endpoints_of(&self.world)
    }

    /// Everyone with an address.
    pub(crate) fn hosts(&self) -> impl Iterator<Item = &Host> {
        let topology = &self.world.topology;
        let nodes = topology.nodes.iter().map(|node| &node.host);
        topology.pods().chain(nodes).chain([&topology.client])
    }

    /// ClusterIP and port.
    pub(crate) fn cluster_ip(&self, family: Family) -> SocketAddr {
        let of_family = self
            .service
            .cluster_ips
            .iter()
            .find(|ip| Family::of(**ip) == family);
        SocketAddr::new(*of_family.expect("the Service is dual-stack"), self.service.port)
    }

    /// NodePort at the first node.
    pub(crate) fn node_port(&self, family: Family) -> SocketAddr {
        let port = self.service.node_port.expect("the Service has a NodePort");
        self.world.topology.nodes[0].host.at(family, port)
    }

    /// The agent of the first node.
    pub(crate) fn agent(&self) -> &Agent {
        &self.world.agents[0]
    }
}

fn endpoints_of(world: &World) -> [&Host; 3] {
    let [one, two] = &world.topology.nodes;
    [&one.pods[0], &one.pods[1], &two.pods[0]]
}

fn nginx_basic() -> Service {
    Service {
        name: "nginx-basic".to_owned(),
        port_name: "http".to_owned(),
        protocol: Protocol::Tcp,
        cluster_ips: vec![
            IpAddr::V4(Ipv4Addr::new(10, 97, 35, 60)),
            IpAddr::V6(Ipv6Addr::new(0xfd00, 0x10, 0x97, 0, 0, 0, 0, 0x3c)),
        ],
        port: 80,
        external_ips: Vec::new(),
        node_port: Some(30_207),
        target_port: 80,
        weights: None,
        load_balancer: None,
        spec: Vec::new(),
        other_protocol: false,
        endpoints: Vec::new(),
    }
}
