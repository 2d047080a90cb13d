//! A service mesh is installed and removed while the agent runs.

use std::{
    net::{IpAddr, Ipv4Addr, SocketAddr},
    time::Duration,
};

use anyhow::{Result, ensure};
use harness::{
    apiserver::{
        Cluster, find,
        objects::{endpoints, service, slice},
    },
    traffic::{Client, Conversation, Role, Server},
    wait,
};
use proxy_agent::{
    dataplane::bpf::{dump, object::PinDir},
    model::{Family, Protocol},
};
use serde_json::{Value, json};

const NO_MESH: &str = "no service mesh is installed: pods' TCP connections are translated at connect";
const MESH: &str = "Istio is installed (its API group networking.istio.io is served): pods' connections are translated packet by packet";

const NAMESPACE: &str = "meshes";
const VIP: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::new(10, 96, 12, 1)), 80);

/// The agent asks once a minute, and the API server takes a moment to serve what is defined.
const PATIENCE: Duration = Duration::from_secs(75);

#[test]
fn the_agent_sees_a_mesh_that_is_installed_or_removed_while_it_runs() {
    let Some(binaries) = find("the_agent_sees_a_mesh_that_is_installed_or_removed_while_it_runs") else {
        return;
    };
    let cluster = Cluster::start_with_sockets(&binaries).unwrap();
    let admin = cluster.server.admin();
    let _server = serve(&cluster).unwrap();
    let mut pod = conversation(&cluster).unwrap();
    wait_for_decisions(&cluster, &[NO_MESH]).unwrap();
    wait_for_sockets(&cluster, 1).unwrap();
    admin.apply(&definition()).unwrap();
    wait_for_decisions(&cluster, &[NO_MESH, MESH]).unwrap();
    wait_for_sockets(&cluster, 0).unwrap();
    admin.delete(&definition()).unwrap();
    wait_for_decisions(&cluster, &[NO_MESH, MESH, NO_MESH]).unwrap();
    wait_for_sockets(&cluster, 1).unwrap();
    pod.ask("again").unwrap();
}

/// A Service whose endpoint is on the other node.
fn serve(cluster: &Cluster) -> Result<Server> {
    let (admin, pod) = (cluster.server.admin(), &cluster.topology.nodes[1].pods[0]);
    let address = pod.at(Family::V4, 8080);
    cluster.create_namespace(NAMESPACE)?;
    let server = Server::start(&pod.ns, &pod.name, Role::WhoAmI, Protocol::Tcp, address)?;
    let spec = json!({"clusterIP": VIP.ip(), "ports": [{"port": VIP.port()}]});
    admin.apply(&service(NAMESPACE, "web", &spec))?;
    let endpoints = endpoints(&[&address.ip().to_string()]);
    admin.apply(&slice(
        NAMESPACE,
        "web-1",
        "web",
        &json!([{"port": 8080}]),
        &endpoints,
    ))?;
    cluster.expect(NAMESPACE, &[&format!("web ClusterIP {VIP}/TCP > {address}")])?;
    Ok(server)
}

/// Of a pod with the Service, which has been answered.
fn conversation(cluster: &Cluster) -> Result<Conversation> {
    let mut conversation = Client::new(&cluster.topology.nodes[0].pods[2].ns).talk(Protocol::Tcp, VIP)?;
    conversation.ask("who")?;
    Ok(conversation)
}

/// Waits until one more connection is translated at connect, or none more, by which packets are.
fn wait_for_sockets(cluster: &Cluster, expected: usize) -> Result<()> {
    let pins = PinDir::new(cluster.agent.pin_root());
    let translated = || -> Result<usize> {
        let rows = dump::sockets(&pins)?;
        Ok(rows.iter().filter(|row| row.asked == VIP.to_string()).count())
    };
    wait::until("connections at connect", PATIENCE, || {
        let before = translated()?;
        let _conversation = conversation(cluster)?;
        let more = translated()? - before;
        ensure!(more == expected, "{more} more");
        Ok(())
    })
}

/// Waits until the agent has logged exactly these, after it did not know at first.
fn wait_for_decisions(cluster: &Cluster, expected: &[&str]) -> Result<()> {
    wait::until("the agent's decisions", PATIENCE, || {
        let log = cluster.agent.log();
        let lines = log.lines().filter_map(|line| {
            let (_, text) = line.split_once("INFO")?;
            [NO_MESH, MESH].into_iter().find(|known| text.contains(known))
        });
        let found: Vec<&str> = lines.collect();
        ensure!(found == expected, "it has logged {found:?}");
        Ok(())
    })
}

/// The least that has an API group served.
fn definition() -> Value {
    json!({
        "apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition",
        "metadata": {"name": "virtualservices.networking.istio.io"},
        "spec": {
            "group": "networking.istio.io", "scope": "Namespaced",
            "names": {"kind": "VirtualService", "plural": "virtualservices"},
            "versions": [{
                "name": "v1", "served": true, "storage": true, "schema": {"openAPIV3Schema": {"type": "object"}},
            }],
        },
    })
}
