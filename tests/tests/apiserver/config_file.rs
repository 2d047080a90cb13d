//! kube-proxy's configuration file instead of flags.

use std::{fs, time::Duration};

use anyhow::ensure;
use harness::{
    agent::READY,
    apiserver::{
        Cluster, expect, find,
        objects::{endpoints, service, slice},
    },
    traffic::{Client, Role, Server},
    wait,
};
use proxy_agent::model::{Family, Protocol};
use serde_json::json;

const NS: &str = "config";
const NODE_PORT: u16 = 30_080;

#[test]
fn the_file_names_the_api_server_and_the_addresses_of_node_ports_and_a_change_of_it_ends_the_agent() {
    let name =
        "the_file_names_the_api_server_and_the_addresses_of_node_ports_and_a_change_of_it_ends_the_agent";
    let Some(binaries) = find(name) else { return };
    let cluster = Cluster::start(&binaries).unwrap();
    let node = &cluster.topology.nodes[1];
    let (host, pod) = (&node.host, &node.pods[0]);
    let at = pod.at(Family::V4, 8080);
    let _server = Server::start(&pod.ns, &pod.name, Role::WhoAmI, Protocol::Tcp, at).unwrap();
    let admin = cluster.server.admin();
    cluster.create_namespace(NS).unwrap();
    let web = json!({
        "type": "NodePort", "clusterIP": "10.96.14.1", "ports": [{"port": 80, "nodePort": NODE_PORT}],
    });
    admin.apply(&service(NS, "web", &web)).unwrap();
    let address = at.ip().to_string();
    let pods = slice(
        NS,
        "web-1",
        "web",
        &json!([{"port": 8080}]),
        &endpoints(&[&address]),
    );
    admin.apply(&pods).unwrap();

    let (agent, file) = cluster
        .start_configured_agent(host, &config(&cluster, "192.168.50.0/24"))
        .unwrap();
    let lines = [
        format!("web ClusterIP 10.96.14.1:80/TCP > {at}"),
        format!("web NodePort *:{NODE_PORT}/TCP > {at}"),
    ];
    expect(&agent, NS, &lines.each_ref().map(String::as_str)).unwrap();
    let pod_client = Client::new(&node.pods[2].ns);
    let vip = "10.96.14.1:80".parse().unwrap();
    assert_eq!(pod_client.ask(Protocol::Tcp, vip).unwrap().server, pod.name);
    let outside = Client::new(&cluster.topology.client.ns).patience(Duration::from_millis(200));
    let ask_node_port = || outside.ask(Protocol::Tcp, host.at(Family::V4, NODE_PORT));
    wait::until("the NodePort", READY, || Ok(ask_node_port()?)).unwrap();

    fs::write(&file, config(&cluster, "192.0.2.0/24")).unwrap();
    let status = agent.wait_for_end().unwrap();
    assert!(
        !status.success(),
        "{status}: whoever watches over it has to start it again"
    );
    let reason = "the configuration file has changed; starting again applies it";
    assert!(agent.log().contains(reason), "{}", agent.log_tail());
    agent.run().unwrap();
    wait::until("no NodePort at this address", READY, || {
        ensure!(ask_node_port().is_err(), "somebody answers");
        Ok(())
    })
    .unwrap();
    assert_eq!(pod_client.ask(Protocol::Tcp, vip).unwrap().server, pod.name);
}

fn config(cluster: &Cluster, range: &str) -> String {
    let kubeconfig = cluster.server.agent_kubeconfig().display();
    format!(
        "apiVersion: kubeproxy.config.k8s.io/v1alpha1\nkind: KubeProxyConfiguration\n\
         clientConnection: {{kubeconfig: {kubeconfig}}}\nnodePortAddresses: [{range}]\n"
    )
}
