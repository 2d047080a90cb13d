//! Packets follow what the API says.

use harness::{
    apiserver::{
        SERVICE_IP,
        objects::{endpoints, service, slice},
        shared,
    },
    traffic::{Client, Role, Server},
};
use proxy_agent::model::{Family, Protocol};
use serde_json::json;

#[test]
fn pods_reach_the_endpoints_that_the_api_names() {
    let Some(cluster) = shared("pods_reach_the_endpoints_that_the_api_names") else {
        return;
    };
    let (admin, ns) = (cluster.server.admin(), "traffic");
    cluster.create_namespace(ns).unwrap();
    let [one, two] = &cluster.topology.nodes;
    let servers = [&one.pods[0], &two.pods[0]];
    let _servers = servers.map(|pod| {
        Server::start(
            &pod.ns,
            &pod.name,
            Role::WhoAmI,
            Protocol::Tcp,
            pod.at(Family::V4, 8080),
        )
        .unwrap()
    });
    admin
        .apply(&service(
            ns,
            "web",
            &json!({"clusterIP": "10.96.11.1", "ports": [{"port": 80}]}),
        ))
        .unwrap();
    let client = Client::new(&one.pods[2].ns);
    for pod in servers {
        let address = pod.ip(Family::V4).to_string();
        admin
            .apply(&slice(
                ns,
                "web-1",
                "web",
                &json!([{"port": 8080}]),
                &endpoints(&[&address]),
            ))
            .unwrap();
        cluster
            .expect(
                ns,
                &[&format!("web ClusterIP 10.96.11.1:80/TCP > {address}:8080")],
            )
            .unwrap();
        let answer = client
            .ask(Protocol::Tcp, "10.96.11.1:80".parse().unwrap())
            .unwrap();
        assert_eq!(answer.server, pod.name);
    }
}

#[test]
fn a_pod_reaches_the_api_server_by_its_service() {
    let Some(cluster) = shared("a_pod_reaches_the_api_server_by_its_service") else {
        return;
    };
    cluster
        .expect(
            "default",
            &["kubernetes:https ClusterIP 10.96.0.1:443/TCP > 192.168.50.12:6443"],
        )
        .unwrap();
    let pod = &cluster.topology.nodes[0].pods[2];
    let client = cluster
        .server
        .admin()
        .via(&pod.ns, &format!("https://{SERVICE_IP}:443"));
    let kubernetes = json!({"apiVersion": "v1", "kind": "Service", "metadata": {"namespace": "default", "name": "kubernetes"}});
    let found = client.get(&kubernetes).unwrap();
    assert_eq!(found["spec"]["clusterIP"], SERVICE_IP);
}
