//! A service mesh is installed and removed while the agent runs.

use std::time::Duration;

use anyhow::{Result, ensure};
use harness::{
    apiserver::{Cluster, find},
    wait,
};
use serde_json::{Value, json};

const NO_MESH: &str = "no service mesh is installed: pods' TCP connections are translated at connect";
const MESH: &str = "Istio is installed (its API group networking.istio.io is served): pods' connections are translated packet by packet";

/// The agent asks once a minute, and the API server takes a moment to serve what is defined.
const PATIENCE: Duration = Duration::from_secs(75);

#[test]
fn the_agent_sees_a_mesh_that_is_installed_or_removed_while_it_runs() {
    let Some(binaries) = find("the_agent_sees_a_mesh_that_is_installed_or_removed_while_it_runs") else {
        return;
    };
    let cluster = Cluster::start(&binaries).unwrap();
    let admin = cluster.server.admin();
    wait_for_decisions(&cluster, &[NO_MESH]).unwrap();
    admin.apply(&definition()).unwrap();
    wait_for_decisions(&cluster, &[NO_MESH, MESH]).unwrap();
    admin.delete(&definition()).unwrap();
    wait_for_decisions(&cluster, &[NO_MESH, MESH, NO_MESH]).unwrap();
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
