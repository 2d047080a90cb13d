//! EndpointSlices, created, changed and deleted through the API.

use harness::apiserver::{
    objects::{endpoints, service, slice},
    shared,
};
use serde_json::json;

#[test]
fn endpoints_follow_the_conditions_of_their_slices() {
    let Some(cluster) = shared("endpoints_follow_the_conditions_of_their_slices") else {
        return;
    };
    let (admin, ns) = (cluster.server.admin(), "conditions");
    cluster.create_namespace(ns).unwrap();
    let ports = json!([{"port": 8080}]);
    admin
        .apply(&service(
            ns,
            "web",
            &json!({"clusterIP": "10.96.4.1", "ports": [{"port": 80}]}),
        ))
        .unwrap();
    cluster.expect(ns, &["web ClusterIP 10.96.4.1:80/TCP >"]).unwrap();

    let first = |conditions| {
        slice(
            ns,
            "web-1",
            "web",
            &ports,
            &json!([
                {"addresses": ["10.244.4.1"]},
                {"addresses": ["10.244.4.2"], "conditions": conditions},
            ]),
        )
    };
    admin.apply(&first(json!({"ready": false}))).unwrap();
    cluster
        .expect(ns, &["web ClusterIP 10.96.4.1:80/TCP > 10.244.4.1:8080"])
        .unwrap();
    admin.apply(&first(json!({"ready": true}))).unwrap();
    cluster
        .expect(
            ns,
            &["web ClusterIP 10.96.4.1:80/TCP > 10.244.4.1:8080 10.244.4.2:8080"],
        )
        .unwrap();

    // No endpoint is ready, but one still serves while it terminates.
    admin.apply(&slice(ns, "web-1", "web", &ports, &json!([
        {"addresses": ["10.244.4.1"], "conditions": {"ready": false, "serving": true, "terminating": true}},
        {"addresses": ["10.244.4.2"], "conditions": {"ready": false, "serving": false, "terminating": true}},
    ]))).unwrap();
    cluster
        .expect(ns, &["web ClusterIP 10.96.4.1:80/TCP > 10.244.4.1:8080"])
        .unwrap();

    // One that is ready takes its place, from another slice.
    let second = slice(ns, "web-2", "web", &ports, &endpoints(&["10.244.4.3"]));
    admin.apply(&second).unwrap();
    cluster
        .expect(ns, &["web ClusterIP 10.96.4.1:80/TCP > 10.244.4.3:8080"])
        .unwrap();
    admin.apply(&first(json!({"ready": true}))).unwrap();
    cluster
        .expect(
            ns,
            &["web ClusterIP 10.96.4.1:80/TCP > 10.244.4.1:8080 10.244.4.2:8080 10.244.4.3:8080"],
        )
        .unwrap();

    admin.delete(&second).unwrap();
    cluster
        .expect(
            ns,
            &["web ClusterIP 10.96.4.1:80/TCP > 10.244.4.1:8080 10.244.4.2:8080"],
        )
        .unwrap();
    admin.delete(&first(json!({}))).unwrap();
    cluster.expect(ns, &["web ClusterIP 10.96.4.1:80/TCP >"]).unwrap();
}

#[test]
fn a_slice_may_come_before_its_service_and_each_port_takes_its_namesake() {
    let Some(cluster) = shared("a_slice_may_come_before_its_service_and_each_port_takes_its_namesake") else {
        return;
    };
    let (admin, ns) = (cluster.server.admin(), "names");
    cluster.create_namespace(ns).unwrap();
    let old = json!([{"name": "http", "port": 8080}, {"name": "dns", "port": 53, "protocol": "UDP"}, {"name": "spare", "port": 1}]);
    let new = json!([{"name": "http", "port": 9090}]);
    admin
        .apply(&slice(ns, "web-old", "web", &old, &endpoints(&["10.244.5.1"])))
        .unwrap();
    admin
        .apply(&slice(ns, "web-new", "web", &new, &endpoints(&["10.244.5.2"])))
        .unwrap();
    admin
        .apply(&slice(ns, "orphan", "missing", &new, &endpoints(&["10.244.5.3"])))
        .unwrap();
    let web = service(
        ns,
        "web",
        &json!({"clusterIP": "10.96.5.1", "ports": [
            {"name": "http", "port": 80}, {"name": "dns", "port": 53, "protocol": "UDP"}, {"name": "lonely", "port": 81},
        ]}),
    );
    admin.apply(&web).unwrap();
    cluster
        .expect(
            ns,
            &[
                "web:dns ClusterIP 10.96.5.1:53/UDP > 10.244.5.1:53",
                "web:http ClusterIP 10.96.5.1:80/TCP > 10.244.5.1:8080 10.244.5.2:9090",
                "web:lonely ClusterIP 10.96.5.1:81/TCP >",
            ],
        )
        .unwrap();

    admin.delete(&web).unwrap();
    cluster.expect(ns, &[]).unwrap();
    admin
        .apply(&service(
            ns,
            "missing",
            &json!({"clusterIP": "10.96.5.2", "ports": [{"name": "http", "port": 80}]}),
        ))
        .unwrap();
    cluster
        .expect(ns, &["missing:http ClusterIP 10.96.5.2:80/TCP > 10.244.5.3:9090"])
        .unwrap();
}

#[test]
fn a_slice_that_changes_hands_leaves_its_old_service() {
    let Some(cluster) = shared("a_slice_that_changes_hands_leaves_its_old_service") else {
        return;
    };
    let (admin, ns) = (cluster.server.admin(), "hands");
    cluster.create_namespace(ns).unwrap();
    let ports = json!([{"port": 8080}]);
    for (name, address) in [("one", "10.96.6.1"), ("two", "10.96.6.2")] {
        admin
            .apply(&service(
                ns,
                name,
                &json!({"clusterIP": address, "ports": [{"port": 80}]}),
            ))
            .unwrap();
    }
    let owned_by = |owner| slice(ns, "slice", owner, &ports, &endpoints(&["10.244.6.1"]));
    admin.apply(&owned_by("one")).unwrap();
    cluster
        .expect(
            ns,
            &[
                "one ClusterIP 10.96.6.1:80/TCP > 10.244.6.1:8080",
                "two ClusterIP 10.96.6.2:80/TCP >",
            ],
        )
        .unwrap();
    admin.apply(&owned_by("two")).unwrap();
    cluster
        .expect(
            ns,
            &[
                "one ClusterIP 10.96.6.1:80/TCP >",
                "two ClusterIP 10.96.6.2:80/TCP > 10.244.6.1:8080",
            ],
        )
        .unwrap();

    // The label with which the API marks slices of headless Services hides it.
    let mut headless = owned_by("two");
    headless["metadata"]["labels"]["service.kubernetes.io/headless"] = json!("");
    admin.apply(&headless).unwrap();
    cluster
        .expect(
            ns,
            &[
                "one ClusterIP 10.96.6.1:80/TCP >",
                "two ClusterIP 10.96.6.2:80/TCP >",
            ],
        )
        .unwrap();
    admin.apply(&owned_by("two")).unwrap();
    cluster
        .expect(
            ns,
            &[
                "one ClusterIP 10.96.6.1:80/TCP >",
                "two ClusterIP 10.96.6.2:80/TCP > 10.244.6.1:8080",
            ],
        )
        .unwrap();
}
