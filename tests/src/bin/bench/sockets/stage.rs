//! The cluster: one node whose agent translates all sockets at connect, and one whose agent leaves those of pods to their packets.
//! Both serve the same Services, five of which lead to a pod of the one and five to a pod of the other.

use std::{
    io,
    net::{SocketAddr, TcpListener},
};

use anyhow::{Context as _, Result, ensure};
use harness::{
    agent::Agent,
    cgroup::Cgroup,
    manifests::Manifests,
    netns::NetNs,
    scratch::Scratch,
    topology::{Host, Topology, pod_network},
};
use proxy_agent::{
    dataplane::bpf::{dump, object::PinDir},
    model::Family,
};

use super::{
    probes::Probes,
    way::{Address, Client, Way},
};
use crate::{
    load::Server,
    services::{self, Destination},
};

/// The node whose agent translates all sockets.
pub(super) const AT_CONNECT: usize = 0;

/// Everything that stands.
pub(super) struct Stage {
    // Fields are dropped from top to bottom: nothing may outlive its namespace, its cgroup or its bpffs.
    agents: [Agent; 2],
    _servers: Vec<Server>,
    pub(super) probes: Probes,
    /// Has no programs.
    unseen: Cgroup,
    topology: Topology,
    manifests: Manifests,
    _scratch: Scratch,
}

impl Stage {
    /// Builds it, without any Service yet.
    pub(super) fn build() -> Result<Self> {
        let topology = Topology::build()?;
        topology.nodes.iter().try_for_each(|node| node.join_cgroup())?;
        let unseen = Cgroup::create("unseen")?;
        let scratch = Scratch::create()?;
        let pods = Family::ALL.map(pod_network).join(",");
        let agent = |node: usize, whose| {
            let flags = ["--cluster-cidr", &pods, "--socket-lb", whose];
            Agent::start_with(&topology.nodes[node].host, &scratch, &flags)
        };
        let manifests = Manifests::new(scratch.manifests());
        Ok(Self {
            agents: [agent(AT_CONNECT, "all")?, agent(1, "host")?],
            _servers: servers(&topology, &unseen)?,
            probes: Probes::publish(&topology.nodes[AT_CONNECT].pods[0], &unseen, &manifests)?,
            unseen,
            topology,
            manifests,
            _scratch: scratch,
        })
    }

    /// Waits until so many Services are served.
    pub(super) fn serve(&self, services: u32) -> Result<()> {
        services::write(&self.manifests, services, &Family::ALL)?;
        let all = usize::try_from(services)? * Family::ALL.len() + Probes::CLUSTER_IPS;
        self.agents
            .iter()
            .try_for_each(|agent| services::wait_for(agent, all))
    }

    /// Runs `job` where the sockets of `client` are made.
    pub(super) fn run<T: Send>(&self, client: Client, job: impl FnOnce() -> T + Send) -> Result<T> {
        let ns = self.ns(client);
        match client {
            Client::UnseenPod | Client::UnseenHost => ns.run_in(&self.unseen, job),
            Client::Pod | Client::PodOfPackets | Client::Host => Ok(ns.run(job)),
        }
    }

    /// What a client of `way` asks for.
    pub(super) fn targets(&self, way: Way) -> Vec<SocketAddr> {
        let destination = if way.client == Client::PodOfPackets {
            Destination::Remote
        } else {
            Destination::Local
        };
        let pod = server_pod(&self.topology, destination);
        let target = |index| match way.address {
            Address::ClusterIp => SocketAddr::new(services::cluster_ip(index, way.family), 80),
            Address::Endpoint => pod.at(way.family, services::direct_port(index)),
            Address::NoService => pod.at(way.family, no_service_port(index, way.client)),
        };
        services::leading_to(destination).map(target).collect()
    }

    /// What the agents count of sockets that got their endpoint at connect.
    pub(super) fn translated(&self) -> Result<[u64; 2]> {
        let [all, host] = &self.agents;
        Ok([translated(all)?, translated(host)?])
    }

    /// What the agent has pinned that translates all sockets.
    pub(super) fn pins(&self) -> PinDir {
        PinDir::new(self.agents[AT_CONNECT].pin_root())
    }

    fn ns(&self, client: Client) -> &NetNs {
        let [all, host] = &self.topology.nodes;
        match client {
            Client::Pod | Client::UnseenPod => &all.pods[2].ns,
            Client::PodOfPackets => &host.pods[2].ns,
            Client::Host | Client::UnseenHost => &all.host.ns,
        }
    }
}

fn translated(agent: &Agent) -> Result<u64> {
    let rows = dump::counters(&PinDir::new(agent.pin_root()))?;
    let row = rows.iter().find(|row| row.counter == "sockets_connected");
    Ok(row.context("no counter sockets_connected")?.value)
}

/// Sockets of servers have programs, too, but for those that clients without programs ask.
fn servers(topology: &Topology, unseen: &Cgroup) -> Result<Vec<Server>> {
    let mut servers = Vec::new();
    for destination in [Destination::Local, Destination::Remote] {
        let pod = server_pod(topology, destination);
        let seen = services::leading_to(destination).flat_map(|index| {
            let (service, direct) = (services::target_port(index), services::direct_port(index));
            [service, direct, no_service_port(index, Client::Pod)]
        });
        let seen: Vec<u16> = seen.collect();
        for family in Family::ALL {
            servers.push(Server::start(&pod.ns, pod.ip(family), seen.iter().copied())?);
        }
    }
    let pod = server_pod(topology, Destination::Local);
    let ports =
        services::leading_to(Destination::Local).map(|index| no_service_port(index, Client::UnseenPod));
    let listen = |address| listen_in(unseen, pod, address);
    let addresses = ports.flat_map(|port| Family::ALL.map(|family| pod.at(family, port)));
    servers.push(Server::start_by(listen, addresses)?);
    Ok(servers)
}

/// A listener of a pod, in another cgroup.
pub(super) fn listen_in(cgroup: &Cgroup, pod: &Host, address: SocketAddr) -> io::Result<TcpListener> {
    pod.ns
        .run_in(cgroup, || TcpListener::bind(address))
        .map_err(io::Error::other)?
}

fn server_pod(topology: &Topology, destination: Destination) -> &Host {
    let [all, host] = &topology.nodes;
    match destination {
        Destination::Local => &all.pods[0],
        Destination::Remote => &host.pods[0],
    }
}

fn no_service_port(index: u32, client: Client) -> u16 {
    let behind = match client {
        Client::UnseenPod | Client::UnseenHost => 2000,
        Client::Pod | Client::PodOfPackets | Client::Host => 1000,
    };
    services::direct_port(index) + behind
}

/// Fails unless sockets got their endpoints where they should: so many at connect on the one node, and none on the other.
pub(super) fn is_translated(before: [u64; 2], after: [u64; 2], connections: u64) -> Result<u64> {
    let [all, host] = [after[0] - before[0], after[1] - before[1]];
    ensure!(
        all >= connections,
        "of {connections} connections to ClusterIPs only {all} were translated at connect: nothing that was measured is of use"
    );
    ensure!(
        host == 0,
        "{host} sockets were translated at connect where only packets should be: nothing that was measured is of use"
    );
    Ok(all)
}

#[cfg(test)]
mod tests {
    use super::is_translated;

    #[test]
    fn a_run_without_translation_at_connect_is_no_measurement() {
        assert_eq!(is_translated([5, 7], [15, 7], 10).unwrap(), 10);
        let too_few = is_translated([5, 7], [14, 7], 10).unwrap_err().to_string();
        assert!(
            too_few.contains("of 10 connections to ClusterIPs only 9"),
            "{too_few}"
        );
        let too_many = is_translated([5, 7], [15, 8], 10).unwrap_err().to_string();
        assert!(too_many.contains("1 sockets"), "{too_many}");
    }
}
