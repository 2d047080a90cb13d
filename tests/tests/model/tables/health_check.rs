//! What the health check server of policy Local has to know.

use proxy_agent::model::{Desired, Family, ListKey, Scope, ServicePortId};

use super::{
    objects::{service, slice},
    table::{desired, node},
};

const HERE: &str = "{addresses: [10.180.0.1], nodeName: here}";
const LEAVING: &str =
    "{addresses: [10.180.0.2], nodeName: here, conditions: {ready: false, serving: true, terminating: true}}";
const THERE: &str = "{addresses: [10.180.2.1], nodeName: there}";

fn only_port(desired: &Desired) -> (&ServicePortId, Option<u16>) {
    let mut ports = desired.service_ports.iter();
    let (id, port) = ports.next().expect("one Service port");
    assert_eq!(ports.next(), None);
    (id, port.health_check_node_port)
}

#[test]
fn the_port_counts_for_load_balancers_of_policy_local() {
    for (kind, policy, expected) in [
        ("LoadBalancer", "Local", Some(32000)),
        ("LoadBalancer", "Cluster", None),
        ("NodePort", "Local", None),
        ("ClusterIP", "Local", None),
    ] {
        let policy = format!("externalTrafficPolicy: {policy}");
        let service = service(&["healthCheckNodePort: 32000", &policy]);
        let yaml = service.replace("type: LoadBalancer", &format!("type: {kind}"));
        let desired = desired(&yaml, &node());
        assert_eq!(only_port(&desired).1, expected, "{kind}, {policy}");
    }
}

#[test]
fn the_endpoints_here_are_those_that_external_clients_get() {
    for (endpoints, expected) in [
        (&[HERE, THERE, LEAVING][..], &["10.180.0.1"][..]),
        (&[LEAVING, THERE], &["10.180.0.2"]),
        (&[THERE], &[]),
        (&[], &[]),
    ] {
        let service = service(&["healthCheckNodePort: 32000", "externalTrafficPolicy: Local"]);
        let desired = desired(&(service + &slice("svc1-1", endpoints)), &node());
        let key = ListKey {
            service_port: only_port(&desired).0.clone(),
            family: Family::V4,
            scope: Scope::Local,
        };
        let local = &desired.lists[&key].endpoints;
        let local: Vec<String> = local.iter().map(|at| at.address.to_string()).collect();
        assert_eq!(local, expected, "{endpoints:?}");
    }
}
