//! The network to the API server swallows packets, so that connections die without a word.

use std::time::Duration;

use anyhow::{Result, ensure};
use harness::{
    apiserver::{
        Cluster, find,
        objects::{endpoints, service, slice},
    },
    exec,
    topology::Host,
    traffic::{Client, Role, Server, Talker},
    wait,
};
use proxy_agent::model::{Family, Protocol};
use serde_json::{Value, json};

const NS: &str = "half-open";
const VIP: &str = "10.96.13.1:80";
/// For noticing, and for catching up: much less than the quarter of an hour for which TCP sends again.
const PATIENCE: Duration = Duration::from_secs(60);

/// What gets lost between the server and the others.
#[derive(Clone, Copy)]
enum Lost {
    Everything,
    /// Connections come about, and nothing that is said on them is heard, not even that they end.
    Data,
}

#[test]
fn an_agent_whose_connections_died_silently_notices_and_catches_up_and_traffic_goes_on() {
    let name = "an_agent_whose_connections_died_silently_notices_and_catches_up_and_traffic_goes_on";
    let Some(binaries) = find(name) else { return };
    let cluster = Cluster::start(&binaries).unwrap();
    let [one, two] = &cluster.topology.nodes;
    let (pod, client) = (&one.pods[0], Client::new(&one.pods[2].ns));
    let at = pod.at(Family::V4, 8080);
    let _server = Server::start(&pod.ns, &pod.name, Role::WhoAmI, Protocol::Tcp, at).unwrap();
    let admin = cluster.server.admin();
    cluster.create_namespace(NS).unwrap();
    let pods = slice(
        NS,
        "web-1",
        "web",
        &json!([{"port": 8080}]),
        &endpoints(&[&at.ip().to_string()]),
    );
    admin.apply(&pods).unwrap();
    admin.apply(&web(80)).unwrap();
    let expect = |port: u16| {
        let line = format!("web ClusterIP 10.96.13.1:{port}/TCP > {at}");
        cluster.expect(NS, &[&line]).unwrap();
    };
    expect(80);
    let vip = VIP.parse().unwrap();
    let talker = Talker::start(client.talk(Protocol::Tcp, vip).unwrap());

    lose(&two.host, "-A", Lost::Everything).unwrap();
    // The server is reached from its own side.
    admin.apply(&web(81)).unwrap();
    wait_for_complaint(&cluster, 0).unwrap();
    talker.keeps_talking(20).unwrap();
    client.ask(Protocol::Tcp, vip).unwrap();
    lose(&two.host, "-D", Lost::Everything).unwrap();
    expect(81);
    talker.keeps_talking(20).unwrap();
    talker.stop().unwrap();

    let before = complaints(&cluster);
    cluster.agent.kill().unwrap();
    lose(&two.host, "-A", Lost::Data).unwrap();
    admin.apply(&web(82)).unwrap();
    cluster.agent.run().unwrap();
    wait_for_complaint(&cluster, before).unwrap();
    lose(&two.host, "-D", Lost::Data).unwrap();
    expect(82);
}

fn web(port: u16) -> Value {
    service(
        NS,
        "web",
        &json!({"clusterIP": "10.96.13.1", "ports": [{"port": port}]}),
    )
}

/// Adds (`-A`) or deletes (`-D`) the rules on the server's node.
fn lose(node: &Host, action: &str, lost: Lost) -> Result<()> {
    let to_server = ["INPUT", "-i", "eth0", "-p", "tcp", "--dport", "6443"];
    let from_server = ["OUTPUT", "-o", "eth0", "-p", "tcp", "--sport", "6443"];
    match lost {
        Lost::Everything => {
            drop_packets(node, action, &to_server, &[])?;
            drop_packets(node, action, &from_server, &[])
        }
        Lost::Data => {
            drop_packets(node, action, &to_server, &["--tcp-flags", "PSH", "PSH"])?;
            drop_packets(node, action, &from_server, &["!", "--tcp-flags", "SYN", "SYN"])
        }
    }
}

fn drop_packets(node: &Host, action: &str, which: &[&str], flags: &[&str]) -> Result<()> {
    let mut command = node.ns.command("iptables");
    command.args(["-w", action]).args(which).args(flags);
    exec::output(command.args(["-j", "DROP"])).map(drop)
}

fn complaints(cluster: &Cluster) -> usize {
    cluster.agent.log().matches("trying again").count()
}

fn wait_for_complaint(cluster: &Cluster, before: usize) -> Result<()> {
    wait::until("the agent notices", PATIENCE, || {
        ensure!(complaints(cluster) > before, "its log says nothing of it");
        Ok(())
    })
}
