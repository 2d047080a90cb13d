//! The agent needs few rights.

use std::{collections::BTreeSet, sync::Arc, time::Duration};

use anyhow::{Result, ensure};
use harness::{
    apiserver::{Client, Cluster, RESOURCES, allow_agent, allow_resources, find, refusal, shared},
    wait,
};
use serde_json::{Value, json};

/// How long the API server may take to act on other rights.
const PATIENCE: Duration = Duration::from_secs(30);

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
    let refused = |result: Result<()>| refusal(&result.unwrap_err());
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

    let allowed: BTreeSet<_> = RESOURCES
        .into_iter()
        .flat_map(|(group, resource)| ["list", "watch"].map(|verb| format!("{verb} {resource} {group}")))
        .collect();
    assert_eq!(rights(&agent).unwrap(), allowed);

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

#[test]
fn without_the_right_to_service_cidrs_the_agent_serves_on_and_says_once_what_it_lacks() {
    let name = "without_the_right_to_service_cidrs_the_agent_serves_on_and_says_once_what_it_lacks";
    let Some(binaries) = find(name) else { return };
    let cluster = Cluster::start(&binaries).unwrap();
    let admin = cluster.server.admin();
    cluster.agent.kill().unwrap();
    let before = cluster.agent.log().len();
    let agent = Client::new(
        Arc::clone(&cluster.topology.nodes[0].host.ns),
        cluster.server.agent_kubeconfig().to_owned(),
    );
    let cidr = json!({"apiVersion": "networking.k8s.io/v1", "kind": "ServiceCIDR", "metadata": {"name": "kubernetes"}});
    allow_resources(admin, &RESOURCES[..3]).unwrap();
    wait::until("the right is gone", PATIENCE, || {
        ensure!(agent.list(&cidr).is_err(), "it is there");
        Ok(())
    })
    .unwrap();

    cluster.agent.run().unwrap();
    for index in 1..=3 {
        let spec = json!({"clusterIP": format!("10.96.15.{index}"), "ports": [{"port": 80}]});
        let web = harness::apiserver::objects::service("default", &format!("web-{index}"), &spec);
        admin.apply(&web).unwrap();
    }
    cluster
        .agent
        .wait_within(PATIENCE, "all three", |rows| {
            let served = rows.iter().filter(|row| row.service.starts_with("default/web-"));
            ensure!(served.count() == 3, "{rows:?}");
            Ok(())
        })
        .unwrap();
    allow_agent(admin).unwrap();
    cluster
        .wait_for_log(
            "it has the right again",
            "watching ServiceCIDR objects again after",
        )
        .unwrap();
    let log = cluster.agent.log().split_off(before);
    let said = log.matches("watching ServiceCIDR objects: ").count();
    assert_eq!(said, 1, "{log}");
    assert!(
        log.contains("servicecidrs.networking.k8s.io is forbidden"),
        "{log}"
    );
}

/// What `user` may do with resources, beside asking who it is and what it may do: `verb resource group`.
fn rights(user: &Client) -> Result<BTreeSet<String>> {
    let review = json!({
        "apiVersion": "authorization.k8s.io/v1", "kind": "SelfSubjectRulesReview", "metadata": {},
        "spec": {"namespace": "default"},
    });
    let answer = user.ask(&review)?;
    let words = |value: &Value| -> Vec<String> {
        let texts = value.as_array().into_iter().flatten().filter_map(Value::as_str);
        texts.map(str::to_owned).collect()
    };
    let rules = answer["status"]["resourceRules"].as_array().cloned();
    let mut rights = BTreeSet::new();
    for rule in rules.unwrap_or_default() {
        for group in words(&rule["apiGroups"]) {
            for resource in words(&rule["resources"]) {
                let verbs = words(&rule["verbs"]).into_iter();
                rights.extend(verbs.map(|verb| format!("{verb} {resource} {group}")));
            }
        }
    }
    rights.retain(|right| !right.contains(" selfsubject"));
    Ok(rights)
}
