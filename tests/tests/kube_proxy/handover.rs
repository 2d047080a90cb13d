//! A node goes from the real kube-proxy to our programs and back, and nobody notices.

use std::{fs, net::SocketAddr, path::PathBuf, sync::Arc, time::Duration};

use anyhow::{Result, ensure};
use harness::{
    agent::{Agent, READY, Source, TcAttach, hooks},
    apiserver::{self, ApiServer, Binaries, Write, objects},
    iptables::Iptables,
    kube_proxy::{self, KubeProxy, Mode, Setup},
    process::Process,
    scratch::Scratch,
    skip,
    topology::{Host, Topology, control_host},
    traffic::{Client, Crowd, Role, Server, Strangers},
    wait,
};
use proxy_agent::model::{Family, Protocol};
use serde_json::{Value, json};

use crate::twins;

const CLUSTER_IPS: [&str; 2] = ["10.96.40.1", "fd00:10:96::4001"];
/// Port, node port and the endpoints' port.
const PORTS: [(Protocol, u16, u16, u16); 2] = [
    (Protocol::Tcp, 80, 30_080, 8_080),
    (Protocol::Udp, 53, 30_053, 5_353),
];
/// UDP flows, of which nobody tells when they end, are idle for two minutes first.
const DRAINED: Duration = Duration::from_secs(180);

/// A node, its proxy's API server, and a Service with two endpoints.
struct Scene {
    // Fields are dropped from top to bottom: nothing may outlive its namespace or its directory.
    _servers: Vec<Server>,
    api: ApiServer,
    _control: Host,
    topology: Topology,
    scratch: Scratch,
    kube_proxy: PathBuf,
}

impl Scene {
    fn build(binaries: &Binaries, kube_proxy: PathBuf) -> Result<Self> {
        let topology = Topology::build()?;
        let node = &topology.nodes[0];
        let control = control_host(&[&node.host])?;
        let scratch = Scratch::create()?;
        let api = ApiServer::start(binaries, &control, scratch.path())?;
        api.admin().write_all(&twins::node_of(&node.host))?;
        api.admin().write_all(&service(&node.pods[..2]))?;
        let mut servers = Vec::new();
        for pod in &node.pods[..2] {
            for (protocol, _, _, port) in PORTS {
                for family in Family::ALL {
                    let address = pod.at(family, port);
                    servers.push(Server::start(
                        &pod.ns,
                        &pod.name,
                        Role::WhoAmI,
                        protocol,
                        address,
                    )?);
                }
            }
        }
        Ok(Self {
            _servers: servers,
            api,
            _control: control,
            topology,
            scratch,
            kube_proxy,
        })
    }

    fn node(&self) -> &Host {
        &self.topology.nodes[0].host
    }

    fn start_kube_proxy(&self) -> KubeProxy {
        let setup = Setup {
            binary: &self.kube_proxy,
            kubeconfig: self.api.agent_kubeconfig(),
            directory: self.scratch.path(),
            flags: &[],
        };
        let mut proxy = KubeProxy::start(Mode::Iptables, self.node(), setup).expect("kube-proxy starts");
        proxy
            .wait_for(&[CLUSTER_IPS[0].parse().expect("an address")])
            .expect("rules of IPv4");
        wait::until("rules of IPv6", READY, || {
            let saved = self.rules(Family::V6)?;
            ensure!(saved.contains(CLUSTER_IPS[1]), "{saved}");
            Ok(())
        })
        .expect("it is so in time");
        proxy
    }

    fn start_agent(&self) -> Agent {
        let source = Source::Kubeconfig(self.api.agent_kubeconfig().to_owned());
        let agent =
            Agent::start_from(source, self.node(), &self.scratch, TcAttach::Auto).expect("the agent starts");
        wait::until("the rules of kube-proxy go", READY, || {
            ensure!(!self.has_rules()?, "{}", agent.log_tail());
            Ok(())
        })
        .expect("it is so in time");
        agent
    }

    fn has_rules(&self) -> Result<bool> {
        let rules = Family::ALL.map(|family| self.rules(family));
        Ok(rules
            .into_iter()
            .collect::<Result<String>>()?
            .contains("KUBE-SERVICES"))
    }

    /// Of both worlds.
    fn rules(&self, family: Family) -> Result<String> {
        let worlds = [Iptables::Nft, Iptables::Legacy].into_iter();
        let installed = worlds.filter(|world| world.is_installed());
        installed
            .map(|world| world.save(&self.node().ns, family))
            .collect()
    }

    /// By protocol: from a pod at the cluster IPs, and from outside at the node ports.
    fn targets(&self, protocol: Protocol) -> [Vec<SocketAddr>; 2] {
        let (_, port, node_port, _) = PORTS
            .into_iter()
            .find(|ports| ports.0 == protocol)
            .expect("each protocol has ports");
        let ips = CLUSTER_IPS.map(|ip| SocketAddr::new(ip.parse().expect("an address"), port));
        [
            ips.into(),
            Family::ALL.map(|family| self.node().at(family, node_port)).into(),
        ]
    }

    fn clients(&self) -> [&Host; 2] {
        [&self.topology.nodes[0].pods[2], &self.topology.client]
    }

    fn crowd(&self, protocol: Protocol, each: usize) -> Crowd {
        let mut crowd = Crowd::default();
        for (client, targets) in self.clients().into_iter().zip(self.targets(protocol)) {
            for target in targets {
                crowd
                    .join(&Client::new(&client.ns), protocol, target, each)
                    .expect("it is so in time");
            }
        }
        crowd
    }

    fn strangers(&self) -> Vec<Strangers> {
        let [tcp, udp] = [Protocol::Tcp, Protocol::Udp].map(|protocol| (protocol, self.targets(protocol)));
        let of = |at: usize| -> Vec<_> {
            let each = [&tcp, &udp].into_iter();
            each.flat_map(|(protocol, targets)| targets[at].iter().map(|target| (*protocol, *target)))
                .collect()
        };
        let clients = self.clients().into_iter().enumerate();
        clients
            .map(|(at, client)| Strangers::come(Arc::clone(&client.ns), of(at)))
            .collect()
    }
}

fn service(pods: &[Host]) -> Vec<Write> {
    let ports: Vec<Value> = PORTS
        .iter()
        .map(|(protocol, port, node_port, target)| {
            json!({"name": protocol.to_string().to_lowercase(), "protocol": protocol.to_string(), "port": port,
                "nodePort": node_port, "targetPort": target})
        })
        .collect();
    let spec = json!({"type": "NodePort", "ipFamilyPolicy": "RequireDualStack", "clusterIP": CLUSTER_IPS[0],
        "clusterIPs": CLUSTER_IPS, "ports": ports});
    let mut writes = vec![Write::Apply(objects::service("default", "web", &spec))];
    for family in Family::ALL {
        let ports: Vec<Value> = PORTS
            .iter()
            .map(|(protocol, _, _, target)| {
                json!({"name": protocol.to_string().to_lowercase(), "protocol": protocol.to_string(), "port": target})
            })
            .collect();
        let endpoints: Vec<Value> = pods
            .iter()
            .map(|pod| json!({"addresses": [pod.ip(family).to_string()], "nodeName": twins::NODE, "conditions": {"ready": true}}))
            .collect();
        let name = format!("web-{family:?}").to_lowercase();
        writes.push(Write::Apply(objects::slice(
            "default",
            &name,
            "web",
            &json!(ports),
            &json!(endpoints),
        )));
    }
    writes
}

#[test]
fn a_thousand_connections_and_every_new_one_survive_kube_proxy_then_programs_then_kube_proxy() {
    let test = "a_thousand_connections_and_every_new_one_survive_kube_proxy_then_programs_then_kube_proxy";
    let Some(binaries) = apiserver::find(test) else {
        return;
    };
    let Some(kube_proxy) = kube_proxy::find() else {
        skip::skipped(
            test,
            "kube-proxy is not built; `cargo xtask test` builds it with go",
        );
        return;
    };
    let scene = Scene::build(&binaries, kube_proxy).unwrap();
    let proxy = scene.start_kube_proxy();
    let mut of_rules = [scene.crowd(Protocol::Tcp, 250), scene.crowd(Protocol::Udp, 50)];
    let strangers = scene.strangers();
    let go_on = |crowds: &mut [Crowd], when: &str| {
        crowds.iter_mut().for_each(|crowd| crowd.goes_on(when).unwrap());
    };

    drop(proxy);
    let agent = scene.start_agent();
    go_on(&mut of_rules, "programs have the new connections");
    let mut of_programs = [scene.crowd(Protocol::Tcp, 250)];
    go_on(&mut of_rules, "with as many new ones by programs");

    agent.kill().unwrap();
    let _proxy = scene.start_kube_proxy();
    let mut command = agent.command(&["cleanup", "--drain"]);
    let mut drain = Process::start("cleanup", &mut command, scene.scratch.path()).unwrap();
    wait::until("the programs open nothing", READY, || {
        let said = fs::read_to_string(scene.scratch.path().join("cleanup.log"))?;
        ensure!(said.contains("have not ended"), "{said}");
        Ok(())
    })
    .unwrap();
    let mut again = [scene.crowd(Protocol::Tcp, 250), scene.crowd(Protocol::Udp, 50)];
    go_on(&mut again, "programs drain");
    go_on(&mut of_programs, "kube-proxy has the new connections");
    go_on(&mut of_rules, "kube-proxy is back");
    drain.alive().unwrap();
    for strangers in strangers {
        assert!(strangers.stop().unwrap() > 100);
    }
    // Nobody tells when conversations by UDP have ended: for the programs and for conntrack alike they do by being idle.
    let ([of_rules, _], [again, _]) = (of_rules, again);
    drop(of_programs);
    wait::until("the programs' last connection ends", DRAINED, || {
        ensure!(drain.alive().is_err(), "it drains");
        Ok(())
    })
    .unwrap();
    assert!(hooks(&scene.node().ns).unwrap().is_empty());
    go_on(&mut [of_rules, again], "the programs are gone");
    assert!(scene.has_rules().unwrap());
}
