//! The agent with `--mode iptables`: how its rules come, change, come back and go. Where they send packets is the table of flows' matter.

use std::{fs, time::Duration};

use anyhow::{Result, ensure};
use harness::{
    agent::{READY, binary},
    cgroup::Cgroup,
    exec,
    iptables::Iptables,
    manifests::{Endpoint, Service},
    process::Process,
    topology::{Host, Topology, pod_network},
    traffic::{Client, Role, Server, Talker},
    wait,
    world::World,
};
use proxy_agent::model::{Family, Protocol};

const PORT: u16 = 8_080;
const FAMILY: Family = Family::V4;

/// A node whose agent looks after its rules every second.
fn world(prepare: impl FnOnce(&Host)) -> World {
    let topology = Topology::build().unwrap();
    prepare(&topology.nodes[0].host);
    let pods = Family::ALL.map(pod_network).join(",");
    let flags = [
        "--mode",
        "iptables",
        "--cluster-cidr",
        &pods,
        "--sync-period",
        "1s",
    ];
    World::on_with(topology, &flags).unwrap()
}

fn service(number: u8, pods: &[&Host]) -> Service {
    Service {
        name: format!("web-{number}"),
        port_name: "http".to_owned(),
        protocol: Protocol::Tcp,
        cluster_ips: vec![
            [10, 96, 7, number].into(),
            [0xfd96, 0, 0, 0, 0, 0, 0, number.into()].into(),
        ],
        external_ips: Vec::new(),
        port: 80,
        node_port: None,
        target_port: PORT,
        weights: None,
        load_balancer: None,
        spec: Vec::new(),
        other_protocol: false,
        endpoints: Endpoint::of(pods, &Family::ALL),
    }
}

/// Until the first node has written as many frontends.
fn publish_first(world: &World, service: &Service) {
    publish(world, service);
    let synced = format!("frontends={} ", service.cluster_ips.len());
    wait::until("the first Service", READY, || {
        ensure!(
            world.agents[0].log().contains(&synced),
            "{}",
            world.agents[0].log_tail()
        );
        Ok(())
    })
    .unwrap();
}

fn publish(world: &World, service: &Service) {
    world
        .manifests
        .write_text(&service.name, &service.to_yaml())
        .unwrap();
}

/// Rules and chains of the first node, without counters, sorted: the order of tables says nothing.
fn rules(world: &World, iptables: Iptables, family: Family) -> Result<Vec<String>> {
    let saved = iptables.save(&world.topology.nodes[0].host.ns, family)?;
    let lines = saved.lines().filter(|line| !line.starts_with('#'));
    let mut lines: Vec<String> = lines
        .map(|line| line.split(" [").next().unwrap_or_default().to_owned())
        .collect();
    lines.sort();
    Ok(lines)
}

/// Until as many lines as expected name each of these.
fn wait_for_lines(world: &World, iptables: Iptables, expected: &[(&str, bool)]) -> Vec<String> {
    wait::until_every(Duration::from_millis(50), "the rules", READY, || {
        let rules = rules(world, iptables, FAMILY)?;
        for (text, is_there) in expected {
            let is_found = rules.iter().any(|rule| rule.contains(text));
            ensure!(is_found == *is_there, "{text}: {is_found}\n{}", rules.join("\n"));
        }
        Ok(rules)
    })
    .unwrap()
}

fn serve(host: &Host) -> Server {
    Server::start(
        &host.ns,
        &host.name,
        Role::WhoAmI,
        Protocol::Tcp,
        host.at(FAMILY, PORT),
    )
    .unwrap()
}

#[test]
fn rules_that_somebody_has_flushed_are_back() {
    let world = world(|_| {});
    let [node, _] = &world.topology.nodes;
    publish_first(&world, &service(1, &[&node.pods[0]]));
    let before = rules(&world, Iptables::Nft, FAMILY).unwrap();
    let before_6 = rules(&world, Iptables::Nft, Family::V6).unwrap();
    for family in Family::ALL {
        for table in ["nat", "filter", "mangle"] {
            for command in ["-F", "-X"] {
                let flush = format!("-t {table} {command}");
                Iptables::Nft.run(&node.host.ns, family, &flush).unwrap();
            }
        }
    }
    wait::until("the rules are back", READY, || {
        ensure!(rules(&world, Iptables::Nft, FAMILY)? == before, "IPv4");
        ensure!(rules(&world, Iptables::Nft, Family::V6)? == before_6, "IPv6");
        Ok(())
    })
    .unwrap();
}

#[test]
fn one_jump_that_somebody_has_deleted_is_back() {
    let world = world(|_| {});
    let [node, _] = &world.topology.nodes;
    publish_first(&world, &service(1, &[&node.pods[0]]));
    let before = rules(&world, Iptables::Nft, FAMILY).unwrap();
    Iptables::Nft
        .run(&node.host.ns, FAMILY, "-t nat -D PREROUTING 1")
        .unwrap();
    wait::until("the jump is back", READY, || {
        let now = rules(&world, Iptables::Nft, FAMILY)?;
        ensure!(now == before, "{now:?}\n{before:?}");
        Ok(())
    })
    .unwrap();
}

#[test]
fn a_change_writes_the_changed_service_alone_and_deletes_what_is_left_of_it() {
    let world = world(|_| {});
    let [node, _] = &world.topology.nodes;
    let [a, b] = [&node.pods[0], &node.pods[1]];
    let _servers = [serve(a), serve(b)];
    let kept = service(1, &[a]);
    publish(&world, &kept);
    publish(&world, &service(2, &[a, b]));
    let second = format!("default/web-2:http -> {}", b.at(FAMILY, PORT));
    wait_for_lines(&world, Iptables::Nft, &[("web-1", true), (&second, true)]);
    let client = Client::new(&node.pods[2].ns);
    client
        .ask(Protocol::Tcp, (kept.cluster_ips[0], 80).into())
        .unwrap();
    let counted = counted_rules(&world, "default/web-1:http");
    assert!(
        counted.iter().any(|rule| !rule.starts_with("[0:0]")),
        "{counted:?}"
    );

    publish(&world, &service(2, &[a]));
    wait_for_lines(&world, Iptables::Nft, &[(&second, false), ("web-2", true)]);
    let chains = |service: &str| {
        let rules = counted_rules(&world, service);
        rules.iter().filter(|rule| rule.contains("-A KUBE-SEP-")).count()
    };
    assert_eq!(
        [chains("default/web-1:http"), chains("default/web-2:http")],
        [2, 2]
    );
    let own = |rules: Vec<String>| -> Vec<String> {
        let own = |rule: &String| rule.contains("-A KUBE-SEP-") || rule.contains("-A KUBE-SVC-");
        rules.into_iter().filter(own).collect()
    };
    assert_eq!(own(counted_rules(&world, "default/web-1:http")), own(counted));

    world.manifests.remove("web-2").unwrap();
    wait_for_lines(&world, Iptables::Nft, &[("web-2", false), ("web-1", true)]);
    let saved = rules(&world, Iptables::Nft, FAMILY).unwrap();
    let endpoints = saved.iter().filter(|line| line.starts_with(":KUBE-SEP-"));
    assert_eq!(endpoints.count(), 1, "{}", saved.join("\n"));
}

/// The rules about a Service of table nat, each with its counters.
fn counted_rules(world: &World, service: &str) -> Vec<String> {
    let ns = &world.topology.nodes[0].host.ns;
    let saved = exec::output(ns.command("iptables-nft-save").args(["-c", "-t", "nat"])).unwrap();
    let rules = saved.lines().filter(|line| line.contains(service));
    rules.map(str::to_owned).collect()
}

#[test]
fn cleanup_takes_all_rules_of_kube_proxys_and_no_others() {
    let foreign = |host: &Host| {
        for rule in [
            "-t nat -N CNI-1",
            "-t nat -A POSTROUTING -s 10.0.0.0/8 -j CNI-1",
            "-A FORWARD -s 10.1.2.3 -j DROP",
            "-t nat -N KUBE-MARK-DROP",
        ] {
            Iptables::Nft.run(&host.ns, FAMILY, rule).unwrap();
        }
    };
    let world = world(foreign);
    let [node, _] = &world.topology.nodes;
    publish(&world, &service(1, &[&node.pods[0]]));
    wait_for_lines(&world, Iptables::Nft, &[("default/web-1:http", true)]);
    world.agents[0].kill().unwrap();
    world.agents[0].cleanup().unwrap();
    let left = rules(&world, Iptables::Nft, FAMILY).unwrap();
    let of_ours = |line: &&String| line.contains("KUBE-") && !line.contains("KUBE-MARK-DROP");
    assert_eq!(left.iter().find(of_ours), None);
    for line in [
        "-A POSTROUTING -s 10.0.0.0/8 -j CNI-1",
        "-A FORWARD -s 10.1.2.3/32 -j DROP",
        ":KUBE-MARK-DROP -",
    ] {
        assert!(
            left.iter().any(|known| known == line),
            "{line}\n{}",
            left.join("\n")
        );
    }
    let left = rules(&world, Iptables::Nft, Family::V6).unwrap();
    assert!(left.iter().all(|line| !line.contains("KUBE-")), "{left:?}");
}

#[test]
fn rules_are_written_to_the_world_in_which_kubelet_has_left_its_hint() {
    if !Iptables::Legacy.is_installed() {
        harness::skip::skipped("iptables_mode", "no legacy iptables: install iptables");
        return;
    }
    let world = world(|host| {
        Iptables::Legacy
            .run(&host.ns, FAMILY, "-t mangle -N KUBE-IPTABLES-HINT")
            .unwrap();
    });
    let [node, _] = &world.topology.nodes;
    publish(&world, &service(1, &[&node.pods[0]]));
    wait_for_lines(&world, Iptables::Legacy, &[("default/web-1:http", true)]);
    let others = rules(&world, Iptables::Nft, FAMILY).unwrap();
    assert!(
        others.iter().all(|line| !line.contains("KUBE-SERVICES")),
        "{others:?}"
    );
}

#[test]
fn an_agent_that_is_killed_and_comes_back_cuts_nothing_and_finds_what_has_changed() {
    let world = world(|_| {});
    let [node, _] = &world.topology.nodes;
    let [a, b] = [&node.pods[0], &node.pods[1]];
    let _servers = [serve(a), serve(b)];
    let [first, second] = [service(1, &[a]), service(2, &[b])];
    publish(&world, &first);
    wait_for_lines(&world, Iptables::Nft, &[("default/web-1:http", true)]);
    let client = Client::new(&node.pods[2].ns);
    let vip = |service: &Service| (service.cluster_ips[0], 80).into();
    let talker = Talker::start(client.talk(Protocol::Tcp, vip(&first)).unwrap());

    world.agents[0].kill().unwrap();
    client.ask(Protocol::Tcp, vip(&first)).unwrap();
    publish(&world, &service(1, &[a, b]));
    publish(&world, &second);
    world.agents[0].run().unwrap();
    wait::until("both are served", READY, || {
        client.ask(Protocol::Tcp, vip(&first))?;
        let hasty = client.patience(Duration::from_millis(200));
        Ok(hasty.ask(Protocol::Tcp, vip(&second))?)
    })
    .unwrap();
    talker.keeps_talking(50).unwrap();
    talker.stop().unwrap();
}

#[test]
fn where_the_kernel_takes_no_programs_rules_take_their_place_unless_that_is_forbidden() {
    let topology = Topology::build().unwrap();
    let [node, _] = &topology.nodes;
    let directory = tempfile::tempdir().unwrap();
    let cgroup = Cgroup::create("node1").unwrap();
    let agent = |mode: &str| {
        let mut command = node.host.ns.command("setpriv");
        command.args(["--bounding-set", "-bpf,-perfmon,-sys_admin"]);
        command.arg(binary().unwrap()).args(["run", "--mode", mode]);
        command.arg("--manifests").arg(directory.path());
        command.arg("--pin-root").arg(directory.path().join("pins"));
        command.arg("--cgroup-root").arg(cgroup.path());
        command.args(["--hostname-override", &node.host.name]);
        command
    };
    let refused = exec::output(&mut agent("bpf")).unwrap_err().to_string();
    assert!(refused.contains("BPF"), "{refused}");

    let pod = &node.pods[0];
    let web = service(1, &[pod]);
    fs::write(directory.path().join("web.yaml"), web.to_yaml()).unwrap();
    let _server = serve(pod);
    let mut agent = Process::start("agent", &mut agent("auto"), directory.path()).unwrap();
    let client = Client::new(&node.pods[2].ns).patience(Duration::from_millis(300));
    let vip = (web.cluster_ips[0], 80).into();
    agent
        .wait_until(READY, || Ok(client.ask(Protocol::Tcp, vip)?))
        .unwrap();
    let log = fs::read_to_string(directory.path().join("agent.log")).unwrap();
    assert!(log.contains("the kernel does not take the programs"), "{log}");
}

#[test]
fn udp_flows_leave_an_endpoint_that_is_gone_and_find_the_first_one_that_comes() {
    let world = world(|_| {});
    let [node, _] = &world.topology.nodes;
    let [a, b] = [&node.pods[0], &node.pods[1]];
    let dns = |number, pods: &[&Host]| Service {
        protocol: Protocol::Udp,
        ..service(number, pods)
    };
    let _servers: Vec<_> = Family::ALL
        .into_iter()
        .flat_map(|family| [a, b].map(|pod| (pod, pod.at(family, PORT))))
        .map(|(pod, at)| Server::start(&pod.ns, &pod.name, Role::WhoAmI, Protocol::Udp, at).unwrap())
        .collect();
    publish(&world, &dns(1, &[a]));
    wait_for_lines(&world, Iptables::Nft, &[("default/web-1:http ->", true)]);
    for vip in dns(1, &[]).cluster_ips {
        // One socket: always the same flow.
        let client = Client::new(&node.pods[2].ns).patience(Duration::from_millis(200));
        let mut conversation = client.talk(Protocol::Udp, (vip, 80).into()).unwrap();
        for pods in [&[a][..], &[b], &[], &[a]] {
            publish(&world, &dns(1, pods));
            wait::until("the flow goes where its Service does", READY, || {
                let server = conversation.ask("who").ok().map(|answer| answer.server);
                let expected = pods.first().map(|pod| pod.name.clone());
                ensure!(server == expected, "{server:?} in place of {expected:?}");
                Ok(())
            })
            .unwrap();
        }
    }
}
