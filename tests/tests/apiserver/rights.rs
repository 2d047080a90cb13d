//! The agent needs few rights.

use std::sync::Arc;

use harness::apiserver::{Client, refusal, shared};
use serde_json::{Value, json};

#[test]
fn the_agent_works_with_a_token_that_may_only_list_and_watch() {
    let Some(cluster) = shared("the_agent_works_with_a_token_that_may_only_list_and_watch") else {
        return;
    };
    let ns = Arc::clone(&cluster.topology.nodes[0].host.ns);
    let agent = Client::new(ns, cluster.server.agent_kubeconfig().to_owned());
    let object = |version: &str, kind: &str, name: &str| -> Value {
        json!({"apiVersion": version, "kind": kind, "metadata": {"namespace": "default", "name": name}})
    };
    let refused = |result: anyhow::Result<()>| refusal(&result.unwrap_err());
    let secret = object("v1", "Secret", "any");
    assert_eq!(refused(agent.get(&secret).map(drop)), Some(403));
    let service = object("v1", "Service", "kubernetes");
    assert_eq!(refused(agent.delete(&service)), Some(403));
    assert_eq!(
        refused(agent.get(&service).map(drop)),
        Some(403),
        "not even what it may list"
    );
    assert_eq!(agent.list(&service).unwrap()[0], "kubernetes");
    assert_eq!(refused(agent.list(&secret).map(drop)), Some(403));
    assert!(
        cluster.server.admin().get(&service).is_ok(),
        "it is the token, not the server"
    );

    cluster.create_namespace("rights").unwrap();
    let web = harness::apiserver::objects::service(
        "rights",
        "web",
        &json!({"clusterIP": "10.96.10.1", "ports": [{"port": 80}]}),
    );
    cluster.server.admin().apply(&web).unwrap();
    cluster
        .expect("rights", &["web ClusterIP 10.96.10.1:80/TCP >"])
        .unwrap();
}
