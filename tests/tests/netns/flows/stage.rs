//! The nodes, every Service of the table, and everyone who answers.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::SocketAddr,
    thread,
};

use anyhow::{Context as _, Result, ensure};
use harness::{
    agent::READY,
    exec,
    flows::{
        self, Case, Door, Endpoint, Flow, Node, Outcome, TARGET_PORT, VARIANTS, address, virtual_networks,
    },
    manifests::Service,
    netns::NetNs,
    topology::{Host, Topology, pod_network},
    traffic::{Role, Server},
    wait,
    world::World,
};
use proxy_agent::model::{Family, Protocol};

/// The nodes, and everyone who answers.
pub(super) struct Stage {
    pub(super) by: By,
    servers: Vec<Server>,
    pub(super) stranger: Host,
    pub(super) world: World,
}

/// What translates.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum By {
    /// Programs on devices alone.
    Devices,
    /// Programs of sockets, and of devices for what those leave to them.
    Sockets,
    /// Rules of iptables.
    Rules,
}

impl Stage {
    pub(super) fn build(cases: &[Case<'_>], by: By) -> Result<Self> {
        let topology = Topology::build()?;
        if by == By::Sockets {
            topology.nodes.iter().try_for_each(|node| node.join_cgroup())?;
        }
        hold_against_table(&topology)?;
        let stranger = topology.nodes[0].add_pod("stranger", 199)?;
        lead_virtual_ips_to(&stranger, &topology)?;
        let mut servers = serve_endpoints(&topology)?;
        servers.extend(serve_what_passes(&topology, &stranger, cases)?);
        for node in &topology.nodes {
            // The kernel's own errors, which REJECT sends, are few a second, and the table asks for many at once.
            let unlimited = [
                ("ipv4/icmp_ratelimit", "0"),
                ("ipv4/icmp_msgs_per_sec", "1000000"),
                ("ipv4/icmp_msgs_burst", "1000000"),
                ("ipv6/icmp/ratelimit", "0"),
            ];
            node.host.ns.sysctl(&unlimited)?;
        }
        let pods = Family::ALL.map(pod_network).join(",");
        let mode = if by == By::Rules { "iptables" } else { "bpf" };
        let world = World::on_with(topology, &["--mode", mode, "--cluster-cidr", &pods])?;
        Ok(Self {
            by,
            servers,
            stranger,
            world,
        })
    }

    /// Writes all Services and waits until both nodes serve all of their addresses.
    pub(super) fn publish(&self, services: &[Service]) -> Result<()> {
        let yaml: Vec<String> = services.iter().map(Service::to_yaml).collect();
        self.world.manifests.write_text("flows", &yaml.join("---\n"))?;
        // Cluster IP, external IP, load balancer IP and NodePort.
        let ports = services
            .iter()
            .map(|service| 1 + usize::from(service.other_protocol));
        let wanted = 4 * ports.sum::<usize>();
        if self.by == By::Rules {
            let synced = format!("frontends={wanted} ");
            return self.world.agents.iter().try_for_each(|agent| {
                wait::until("the table's Services", READY, || {
                    ensure!(agent.log().contains(&synced), "{}", agent.log_tail());
                    Ok(())
                })
            });
        }
        self.world.agents.iter().try_for_each(|agent| {
            agent.wait_until("the table's Services", |rows| {
                ensure!(rows.len() == wanted, "{} of {wanted} frontends", rows.len());
                Ok(())
            })
        })
    }
}

/// Each server notices within a tick that it shall end: not one after the other.
impl Drop for Stage {
    fn drop(&mut self) {
        thread::scope(|scope| {
            for server in self.servers.drain(..) {
                scope.spawn(|| drop(server));
            }
        });
    }
}

/// The machine of this name.
pub(super) fn host<'t>(topology: &'t Topology, name: &str) -> &'t Host {
    let nodes = topology.nodes.iter().map(|node| &node.host);
    let mut all = nodes.chain(topology.pods()).chain([&topology.client]);
    all.find(|host| host.name == name).unwrap()
}

/// Who has the address that a flow is for, if nobody translates it.
pub(super) fn owner<'h>(flow: &Flow, topology: &'h Topology, stranger: &'h Host) -> &'h Host {
    match flow.destination.door {
        Door::NodePort(node) => host(topology, node.name()),
        _ => stranger,
    }
}

/// The table has its own copy of the addresses.
fn hold_against_table(topology: &Topology) -> Result<()> {
    let clients = flows::Client::ALL.map(flows::Client::name);
    let names: BTreeSet<&str> = clients.into_iter().chain(Node::ALL.map(Node::name)).collect();
    for (name, family) in names
        .iter()
        .flat_map(|name| Family::ALL.map(|family| (*name, family)))
    {
        let (real, table) = (host(topology, name).ip(family), address(name, family));
        ensure!(real == table, "{name} has {real}, the table says {table}");
    }
    Ok(())
}

/// Everyone sends virtual IPs to the node here, which sends them to the stranger.
fn lead_virtual_ips_to(stranger: &Host, topology: &Topology) -> Result<()> {
    let [one, two] = &topology.nodes;
    stranger.ns.sysctl(&[("ipv6/ip_nonlocal_bind", "1")])?;
    for family in Family::ALL {
        for network in virtual_networks(family) {
            let via = |host: &Host, more| format!("route add {network} via {}{more}\n", host.ip(family));
            for other in [&two.host, &topology.client] {
                exec::ip_batch(Some(other.ns.name()), &via(&one.host, ""))?;
            }
            exec::ip_batch(
                Some(one.host.ns.name()),
                &via(stranger, " dev veth-stranger onlink"),
            )?;
            exec::ip_batch(
                Some(stranger.ns.name()),
                &format!("route add local {network} dev lo\n"),
            )?;
        }
    }
    Ok(())
}

fn serve_endpoints(topology: &Topology) -> Result<Vec<Server>> {
    let endpoints = Endpoint::ALL
        .into_iter()
        .flat_map(|at| VARIANTS.map(|variant| (at, variant)));
    let servers = endpoints.map(|(at, variant)| {
        let pod = host(topology, at.pod());
        serve(
            &pod.ns,
            &pod.name,
            variant.protocol,
            pod.at(variant.family, TARGET_PORT),
        )
    });
    servers.collect()
}

/// Where no endpoint may answer, whoever has the address would.
fn serve_what_passes(topology: &Topology, stranger: &Host, cases: &[Case<'_>]) -> Result<Vec<Server>> {
    let mut addresses = BTreeMap::new();
    for Case { flow, variant } in cases {
        if matches!(flow.expected, Outcome::Any(_) | Outcome::One(_)) {
            continue;
        }
        let address = (flow.target(*variant), flow.protocol(*variant));
        addresses.insert(address, owner(flow, topology, stranger));
    }
    let servers = addresses.into_iter();
    servers
        .map(|((at, protocol), owner)| serve(&owner.ns, &owner.name, protocol, at))
        .collect()
}

fn serve(ns: &NetNs, name: &str, protocol: Protocol, at: SocketAddr) -> Result<Server> {
    Server::start(ns, name, Role::WhoAmI, protocol, at)
        .with_context(|| format!("{name} cannot serve at {at}"))
}
