//! What the agent counts about the objects of an API server.

use std::time::Duration;

use harness::apiserver::{
    objects::{endpoints, service, slice},
    shared,
};
use serde_json::json;

const NS: &str = "metrics";
const PATIENCE: Duration = Duration::from_secs(60);
const MALFORMED: &str = "kubeportal_objects_malformed{kind=\"EndpointSlice\"}";
const ERRORS: &str = "kubeportal_object_errors_total{kind=\"EndpointSlice\"}";
const WEIGHTS: &str = "kubeportal_weights_malformed";

#[test]
fn an_object_that_the_api_server_takes_and_the_agent_cannot_use_is_counted_until_it_is_mended() {
    let Some(cluster) =
        shared("an_object_that_the_api_server_takes_and_the_agent_cannot_use_is_counted_until_it_is_mended")
    else {
        return;
    };
    let (admin, agent) = (cluster.server.admin(), &cluster.agent);
    cluster.create_namespace(NS).unwrap();
    let web = service(
        NS,
        "web",
        &json!({"clusterIP": "10.96.40.1", "ports": [{"port": 80}]}),
    );
    let at = |port: u32| {
        slice(
            NS,
            "web-1",
            "web",
            &json!([{"port": port}]),
            &endpoints(&["10.244.40.1"]),
        )
    };
    let expect = |port| {
        let line = format!("web ClusterIP 10.96.40.1:80/TCP > 10.244.40.1:{port}");
        cluster.expect(NS, &[&line]).unwrap();
    };
    admin.apply(&web).unwrap();
    admin.apply(&at(8080)).unwrap();
    expect(8080);
    let [malformed, errors] = [MALFORMED, ERRORS].map(|series| agent.metric(series).unwrap());

    admin.apply(&at(70_000)).unwrap();

    let is_one_more = |found| found > malformed;
    agent
        .wait_for_metric("a malformed object", PATIENCE, MALFORMED, is_one_more)
        .unwrap();
    assert!(agent.metric(ERRORS).unwrap() > errors);
    expect(8080);
    admin.apply(&at(8081)).unwrap();
    agent
        .wait_for_metric("it is mended", PATIENCE, MALFORMED, |found| found <= malformed)
        .unwrap();
    expect(8081);
}

#[test]
fn a_malformed_annotation_is_counted_until_its_service_goes() {
    let Some(cluster) = shared("a_malformed_annotation_is_counted_until_its_service_goes") else {
        return;
    };
    let (admin, agent, ns) = (cluster.server.admin(), &cluster.agent, "metrics-weights");
    cluster.create_namespace(ns).unwrap();
    cluster.expect(ns, &[]).unwrap();
    let mut web = service(
        ns,
        "web",
        &json!({"clusterIP": "10.96.40.2", "ports": [{"port": 80}]}),
    );
    web["metadata"]["annotations"] = json!({"kube-portal.io/weights": "many"});
    admin.apply(&web).unwrap();
    agent
        .wait_for_metric("it is counted", PATIENCE, WEIGHTS, |found| found >= 1.0)
        .unwrap();
    let before = agent.metric(WEIGHTS).unwrap();
    admin.delete(&web).unwrap();
    agent
        .wait_for_metric("it is gone", PATIENCE, WEIGHTS, |found| found < before)
        .unwrap();
}
