//! The table of flows, by real sockets: agents on two nodes, every Service of the table at once, clients in parallel.
//!
//! What is left alone has to arrive somewhere: behind the node here is a host that has all virtual IPs and would answer for them, and so
//! would the nodes for their own addresses. It also shows that silence is silence.

use std::{
    collections::{BTreeMap, BTreeSet},
    io::ErrorKind,
    net::{IpAddr, SocketAddr},
    sync::Mutex,
    thread,
    time::Duration,
};

use anyhow::{Context as _, Result, ensure};
use harness::{
    agent::TcAttach,
    exec,
    flows::{
        self, Case, Door, Endpoint, Flow, Node, Outcome, Report, Source, TARGET_PORT, VARIANTS, address,
        virtual_networks,
    },
    manifests::Service,
    netns::NetNs,
    topology::{Host, Topology, pod_network},
    traffic::{Client, Role, Server},
    world::World,
};
use proxy_agent::model::{Family, Protocol};

/// Less than the second after which a SYN is sent again: a refusal must be the answer to the first.
const AT_ONCE: Duration = Duration::from_millis(900);
/// Whoever answers at all has done so by then.
const SILENCE: Duration = Duration::from_millis(400);
/// An endpoint that is one of four is missed by all but once in 10^7.
const MOST_TRIES: usize = 60;
/// Fewer tries than this would not show an endpoint that should not be there.
const TRIES: usize = 4;
/// Most of the time clients wait.
const CLIENTS: usize = 12;

#[test]
fn real_sockets_meet_what_the_table_says() {
    let flows = flows::table().unwrap();
    let mut report = Report::new("real sockets");
    let cases = report.on_devices(&flows);
    let stage = Stage::build(&cases).unwrap();
    stage.publish(&flows::services(&flows)).unwrap();
    for (case, seen) in stage.ask_all(cases) {
        report.sampled(case, &seen);
    }
    report.finish();
}

/// The nodes, and everyone who answers.
struct Stage {
    servers: Vec<Server>,
    _stranger: Host,
    world: World,
}

impl Stage {
    fn build(cases: &[Case<'_>]) -> Result<Self> {
        let topology = Topology::build()?;
        hold_against_table(&topology)?;
        let stranger = topology.nodes[0].add_pod("stranger", 199)?;
        lead_virtual_ips_to(&stranger, &topology)?;
        let mut servers = serve_endpoints(&topology)?;
        servers.extend(serve_what_passes(&topology, &stranger, cases)?);
        let world = World::on(topology, TcAttach::Auto)?;
        let pods = Family::ALL.map(pod_network).join(",");
        for agent in &world.agents {
            agent.restart_with(&["--cluster-cidr", &pods])?;
        }
        Ok(Self {
            servers,
            _stranger: stranger,
            world,
        })
    }

    /// Writes all Services and waits until both nodes serve all of their addresses.
    fn publish(&self, services: &[Service]) -> Result<()> {
        let yaml: Vec<String> = services.iter().map(Service::to_yaml).collect();
        self.world.manifests.write_text("flows", &yaml.join("---\n"))?;
        // Cluster IP, external IP, load balancer IP and NodePort.
        let ports = services
            .iter()
            .map(|service| 1 + usize::from(service.other_protocol));
        let wanted = 4 * ports.sum::<usize>();
        self.world.agents.iter().try_for_each(|agent| {
            agent.wait_until("the table's Services", |rows| {
                ensure!(rows.len() == wanted, "{} of {wanted} frontends", rows.len());
                Ok(())
            })
        })
    }

    fn ask_all<'f>(&self, cases: Vec<Case<'f>>) -> Vec<(Case<'f>, Outcome)> {
        let (waiting, seen) = (Mutex::new(cases), Mutex::new(Vec::new()));
        let next = || waiting.lock().unwrap().pop();
        thread::scope(|scope| {
            for _ in 0..CLIENTS {
                scope.spawn(|| {
                    while let Some(case) = next() {
                        let outcome = self.sample(case);
                        seen.lock().unwrap().push((case, outcome));
                    }
                });
            }
        });
        let mut seen = seen.into_inner().unwrap();
        seen.sort_by_key(|(case, _)| case.flow.block.number);
        seen
    }

    /// Asks until every endpoint that there shall be has answered, and often enough to meet one that there shall not be.
    fn sample(&self, case: Case<'_>) -> Outcome {
        let mut seen = self.ask(case);
        let tries = match &case.flow.expected {
            Outcome::Any(_) => TRIES,
            Outcome::One(_) => 3 * TRIES,
            _ => 1,
        };
        for tried in 1..MOST_TRIES {
            let is_whole = case.flow.is_met_by(&seen);
            if (tried >= tries && is_whole) || !matches!(seen, Outcome::Any(_)) {
                break;
            }
            seen = seen.and(self.ask(case));
        }
        seen
    }

    fn ask(&self, Case { flow, variant }: Case<'_>) -> Outcome {
        let patience = match flow.expected {
            Outcome::Silence => SILENCE,
            _ => AT_ONCE,
        };
        let client = host(&self.world.topology, flow.client.name());
        let answer = Client::new(&client.ns)
            .patience(patience)
            .ask(flow.protocol(variant), flow.target(variant));
        match answer {
            Ok(answer) => self.answered(flow, client, &answer.server, answer.client.ip()),
            Err(error) => match error.kind() {
                ErrorKind::ConnectionRefused => Outcome::Refused,
                ErrorKind::TimedOut | ErrorKind::WouldBlock => Outcome::Silence,
                _ => Outcome::Odd(error.to_string()),
            },
        }
    }

    fn answered(&self, flow: &Flow, client: &Host, server: &str, seen: IpAddr) -> Outcome {
        let family = Family::of(seen);
        let source = if seen == client.ip(family) {
            Some(Source::Kept)
        } else {
            (seen == address(flow.decider().name(), family)).then_some(Source::Masqueraded)
        };
        let endpoint = Endpoint::ALL.into_iter().find(|at| at.pod() == server);
        match (endpoint, source) {
            (Some(endpoint), Some(source)) => Outcome::at(endpoint, source),
            (None, Some(Source::Kept)) if server == owner(flow) => Outcome::LeftAlone,
            _ => Outcome::Odd(format!("{server} sees {seen}")),
        }
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

/// Who has the address that a flow is for, if nobody translates it.
const fn owner(flow: &Flow) -> &'static str {
    match flow.destination.door {
        Door::NodePort(node) => node.name(),
        _ => "stranger",
    }
}

fn host<'t>(topology: &'t Topology, name: &str) -> &'t Host {
    let nodes = topology.nodes.iter().map(|node| &node.host);
    let mut all = nodes.chain(topology.pods()).chain([&topology.client]);
    all.find(|host| host.name == name).unwrap()
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
        let owner = match flow.destination.door {
            Door::NodePort(node) => host(topology, node.name()),
            _ => stranger,
        };
        addresses.insert((flow.target(*variant), flow.protocol(*variant)), owner);
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
