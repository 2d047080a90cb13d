//! The annotation for weights, and the names that it selects by, come through the API.

use std::time::Duration;

use anyhow::ensure;
use harness::{
    apiserver::{
        Cluster,
        objects::{service, slice},
        shared,
    },
    wait,
};
use serde_json::json;

const NAMESPACE: &str = "weights";
const PATIENCE: Duration = Duration::from_secs(60);

#[test]
fn shares_follow_the_annotation_of_a_service_and_the_names_of_its_pods() {
    let Some(cluster) = shared("shares_follow_the_annotation_of_a_service_and_the_names_of_its_pods") else {
        return;
    };
    let admin = cluster.server.admin();
    cluster.create_namespace(NAMESPACE).unwrap();
    let ports = json!([{"port": 80}]);
    let web = |annotations| {
        let mut web = service(
            NAMESPACE,
            "web",
            &json!({"clusterIP": "10.96.30.1", "ports": ports}),
        );
        web["metadata"]["annotations"] = annotations;
        web
    };
    let pods = |first: &str| {
        let pod = |address: &str, node: &str, name: &str| json!({"addresses": [address], "nodeName": node, "targetRef": {"kind": "Pod", "name": name}});
        let endpoints = json!([
            pod("10.244.30.1", "node1", first),
            pod("10.244.30.2", "node2", "web-2")
        ]);
        slice(NAMESPACE, "web-1", "web", &json!([{"port": 8080}]), &endpoints)
    };
    admin.apply(&pods("web-1")).unwrap();
    admin
        .apply(&web(
            json!({"kube-portal.io/weights": "pod/web-1=3", "example.com/other": "text"}),
        ))
        .unwrap();
    expect(&cluster, [75.0, 25.0]);
    admin.apply(&pods("canary-1")).unwrap();
    expect(&cluster, [50.0, 50.0]);
    admin
        .apply(&web(json!({"kube-portal.io/weights": "node/node2=0"})))
        .unwrap();
    expect(&cluster, [100.0, 0.0]);
    admin
        .apply(&web(json!({"kube-portal.io/weights": "node/node2"})))
        .unwrap();
    expect(&cluster, [50.0, 50.0]);
    let fault =
        "Service weights/web: metadata.annotations[kube-portal.io/weights], entry 1, is \"node/node2\"";
    cluster
        .wait_for_log("a word about the annotation", fault)
        .unwrap();
}

/// Waits until the endpoints get so many percent each.
fn expect(cluster: &Cluster, percent: [f64; 2]) {
    wait::until("the shares", PATIENCE, || {
        let shares: Vec<f64> = cluster.agent.shares("weights/web")?.into_values().collect();
        ensure!(shares == percent, "{shares:?} are not {percent:?}");
        Ok(())
    })
    .expect("the shares");
}
