//! The API server is named by its own Service, which this node serves itself.

use harness::apiserver::{Cluster, SERVICE_IP, find, objects::service};
use serde_json::json;

#[test]
fn an_agent_that_is_told_the_address_of_the_service_goes_to_the_endpoints_that_it_served_last() {
    let name = "an_agent_that_is_told_the_address_of_the_service_goes_to_the_endpoints_that_it_served_last";
    let Some(binaries) = find(name) else { return };
    let cluster = Cluster::start(&binaries).unwrap();
    let address = cluster.topology.nodes[1].host.ip(proxy_agent::model::Family::V4);
    let expected = format!("kubernetes:https ClusterIP {SERVICE_IP}:443/TCP > {address}:6443");
    cluster.expect("default", &[&expected]).unwrap();

    // Nothing but pods' traffic is translated, so from the node itself this address leads nowhere.
    let by_service = format!("https://{SERVICE_IP}");
    cluster.agent.restart_with(&["--master", &by_service]).unwrap();
    cluster
        .wait_for_log("the way around", "the API server is reached by its endpoints")
        .unwrap();
    let web = service(
        "default",
        "web",
        &json!({"clusterIP": "10.96.12.1", "ports": [{"port": 80}]}),
    );
    cluster.server.admin().apply(&web).unwrap();
    cluster
        .expect("default", &[&expected, "web ClusterIP 10.96.12.1:80/TCP >"])
        .unwrap();
}
