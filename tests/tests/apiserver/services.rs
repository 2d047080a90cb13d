//! Services of every kind, created, changed and deleted through the API.

use harness::apiserver::{
    objects::{endpoints, service, slice},
    shared,
};
use serde_json::json;

#[test]
fn each_address_of_a_service_is_a_frontend() {
    let Some(cluster) = shared("each_address_of_a_service_is_a_frontend") else {
        return;
    };
    let (admin, ns) = (cluster.server.admin(), "kinds");
    cluster.create_namespace(ns).unwrap();
    let http = json!([{"name": "http", "port": 80}]);
    let lb = service(
        ns,
        "lb",
        &json!({
            "type": "LoadBalancer", "clusterIP": "10.96.1.4", "ports": [{"name": "http", "port": 80, "nodePort": 30104}],
        }),
    );
    for object in [
        service(ns, "v4", &json!({"clusterIP": "10.96.1.1", "ports": http})),
        service(
            ns,
            "v6",
            &json!({"clusterIP": "fd00:10:96::101", "ipFamilies": ["IPv6"], "ports": http}),
        ),
        service(
            ns,
            "dual",
            &json!({
                "type": "NodePort", "ipFamilyPolicy": "RequireDualStack", "clusterIP": "10.96.1.2", "clusterIPs": ["10.96.1.2", "fd00:10:96::102"],
                "ports": [{"name": "http", "port": 80, "nodePort": 30102}, {"name": "dns", "port": 53, "protocol": "UDP", "nodePort": 30103}],
            }),
        ),
        service(
            ns,
            "external",
            &json!({
                "clusterIP": "10.96.1.3", "externalIPs": ["203.0.113.1", "203.0.113.2"], "ports": [{"port": 443}],
            }),
        ),
        lb.clone(),
    ] {
        admin.apply(&object).unwrap();
    }
    admin
        .apply_status(
            &lb,
            &json!({"loadBalancer": {"ingress": [
                {"ip": "203.0.113.4"}, {"ip": "203.0.113.5", "ipMode": "Proxy"}, {"hostname": "lb.example"},
            ]}}),
        )
        .unwrap();
    let ports = json!([{"name": "http", "port": 8080}, {"name": "dns", "port": 5353, "protocol": "UDP"}]);
    for name in ["v4", "dual", "lb"] {
        admin
            .apply(&slice(
                ns,
                &format!("{name}-4"),
                name,
                &ports,
                &endpoints(&["10.244.1.1"]),
            ))
            .unwrap();
    }
    for name in ["v6", "dual"] {
        admin
            .apply(&slice(
                ns,
                &format!("{name}-6"),
                name,
                &ports,
                &endpoints(&["fd00:10:244::1"]),
            ))
            .unwrap();
    }
    let unnamed = json!([{"port": 8443}]);
    admin
        .apply(&slice(
            ns,
            "external-4",
            "external",
            &unnamed,
            &endpoints(&["10.244.1.2"]),
        ))
        .unwrap();

    cluster
        .expect(
            ns,
            &[
                "dual:dns ClusterIP 10.96.1.2:53/UDP > 10.244.1.1:5353",
                "dual:dns ClusterIP [fd00:10:96::102]:53/UDP > [fd00:10:244::1]:5353",
                "dual:dns NodePort *:30103/UDP > 10.244.1.1:5353",
                "dual:dns NodePort *:30103/UDP > [fd00:10:244::1]:5353",
                "dual:http ClusterIP 10.96.1.2:80/TCP > 10.244.1.1:8080",
                "dual:http ClusterIP [fd00:10:96::102]:80/TCP > [fd00:10:244::1]:8080",
                "dual:http NodePort *:30102/TCP > 10.244.1.1:8080",
                "dual:http NodePort *:30102/TCP > [fd00:10:244::1]:8080",
                "external ClusterIP 10.96.1.3:443/TCP > 10.244.1.2:8443",
                "external ExternalIP 203.0.113.1:443/TCP > 10.244.1.2:8443",
                "external ExternalIP 203.0.113.2:443/TCP > 10.244.1.2:8443",
                "lb:http ClusterIP 10.96.1.4:80/TCP > 10.244.1.1:8080",
                "lb:http LoadBalancer 203.0.113.4:80/TCP > 10.244.1.1:8080",
                "lb:http NodePort *:30104/TCP > 10.244.1.1:8080",
                "v4:http ClusterIP 10.96.1.1:80/TCP > 10.244.1.1:8080",
                "v6:http ClusterIP [fd00:10:96::101]:80/TCP > [fd00:10:244::1]:8080",
            ],
        )
        .unwrap();
}

#[test]
fn a_service_follows_every_change_until_it_is_deleted() {
    let Some(cluster) = shared("a_service_follows_every_change_until_it_is_deleted") else {
        return;
    };
    let (admin, ns) = (cluster.server.admin(), "changes");
    cluster.create_namespace(ns).unwrap();
    let web = |spec| service(ns, "web", &spec);
    admin
        .apply(&slice(
            ns,
            "web-1",
            "web",
            &json!([{"name": "a", "port": 8001}, {"name": "b", "port": 8002}]),
            &endpoints(&["10.244.2.1"]),
        ))
        .unwrap();

    admin
        .apply(&web(
            json!({"clusterIP": "10.96.2.1", "ports": [{"name": "a", "port": 1}]}),
        ))
        .unwrap();
    cluster
        .expect(ns, &["web:a ClusterIP 10.96.2.1:1/TCP > 10.244.2.1:8001"])
        .unwrap();

    admin
        .apply(&web(
            json!({"clusterIP": "10.96.2.1", "ports": [{"name": "a", "port": 11}, {"name": "b", "port": 2}]}),
        ))
        .unwrap();
    cluster
        .expect(
            ns,
            &[
                "web:a ClusterIP 10.96.2.1:11/TCP > 10.244.2.1:8001",
                "web:b ClusterIP 10.96.2.1:2/TCP > 10.244.2.1:8002",
            ],
        )
        .unwrap();

    let balanced = web(json!({
        "type": "LoadBalancer", "clusterIP": "10.96.2.1", "externalIPs": ["203.0.113.20"],
        "ports": [{"name": "b", "port": 2, "nodePort": 30202}],
    }));
    admin.apply(&balanced).unwrap();
    for ip in ["203.0.113.21", "203.0.113.22"] {
        admin
            .apply_status(&balanced, &json!({"loadBalancer": {"ingress": [{"ip": ip}]}}))
            .unwrap();
    }
    cluster
        .expect(
            ns,
            &[
                "web:b ClusterIP 10.96.2.1:2/TCP > 10.244.2.1:8002",
                "web:b ExternalIP 203.0.113.20:2/TCP > 10.244.2.1:8002",
                "web:b LoadBalancer 203.0.113.22:2/TCP > 10.244.2.1:8002",
                "web:b NodePort *:30202/TCP > 10.244.2.1:8002",
            ],
        )
        .unwrap();

    // The API server takes the load balancer's address away with the type.
    admin
        .apply(&web(
            json!({"type": "ClusterIP", "clusterIP": "10.96.2.1", "ports": [{"name": "b", "port": 2}]}),
        ))
        .unwrap();
    cluster
        .expect(ns, &["web:b ClusterIP 10.96.2.1:2/TCP > 10.244.2.1:8002"])
        .unwrap();

    admin.delete(&balanced).unwrap();
    cluster.expect(ns, &[]).unwrap();

    admin
        .apply(&web(
            json!({"clusterIP": "10.96.2.2", "ports": [{"name": "b", "port": 2}]}),
        ))
        .unwrap();
    cluster
        .expect(ns, &["web:b ClusterIP 10.96.2.2:2/TCP > 10.244.2.1:8002"])
        .unwrap();
}

#[test]
fn services_of_others_and_those_without_address_are_served_only_once_that_changes() {
    let Some(cluster) =
        shared("services_of_others_and_those_without_address_are_served_only_once_that_changes")
    else {
        return;
    };
    let (admin, ns) = (cluster.server.admin(), "others");
    cluster.create_namespace(ns).unwrap();
    let ports = json!([{"port": 80}]);
    let with_label = |name: &str, spec| {
        let mut object = service(ns, name, &spec);
        object["metadata"]["labels"] = json!({"service.kubernetes.io/service-proxy-name": "other"});
        object
    };
    let plain = |name: &str, address: &str| service(ns, name, &json!({"clusterIP": address, "ports": ports}));
    let headless = slice(ns, "headless-1", "headless", &ports, &endpoints(&["10.244.3.1"]));
    admin.apply(&headless).unwrap();
    admin
        .apply(&service(
            ns,
            "headless",
            &json!({"clusterIP": "None", "ports": ports}),
        ))
        .unwrap();
    admin
        .apply(&service(
            ns,
            "elsewhere",
            &json!({"type": "ExternalName", "externalName": "elsewhere.example"}),
        ))
        .unwrap();
    admin
        .apply(&with_label(
            "labelled",
            json!({"clusterIP": "10.96.3.1", "ports": ports}),
        ))
        .unwrap();
    admin.apply(&plain("mine", "10.96.3.2")).unwrap();
    cluster
        .expect(ns, &["mine ClusterIP 10.96.3.2:80/TCP >"])
        .unwrap();

    admin
        .apply(&with_label(
            "mine",
            json!({"clusterIP": "10.96.3.2", "ports": ports}),
        ))
        .unwrap();
    admin.apply(&plain("labelled", "10.96.3.1")).unwrap();
    admin.apply(&plain("elsewhere", "10.96.3.3")).unwrap();
    cluster
        .expect(
            ns,
            &[
                "elsewhere ClusterIP 10.96.3.3:80/TCP >",
                "labelled ClusterIP 10.96.3.1:80/TCP >",
            ],
        )
        .unwrap();

    admin
        .apply(&service(
            ns,
            "elsewhere",
            &json!({"type": "ExternalName", "externalName": "elsewhere.example"}),
        ))
        .unwrap();
    cluster
        .expect(ns, &["labelled ClusterIP 10.96.3.1:80/TCP >"])
        .unwrap();
}
