//! The API server goes away and comes back.

use std::{
    sync::atomic::{AtomicBool, Ordering},
    thread,
    time::Duration,
};

use harness::apiserver::{
    Cluster, find, lines,
    objects::{endpoints, service, slice},
};
use proxy_agent::model::ObjectKind;
use serde_json::json;

const NS: &str = "default";
const PATIENCE: Duration = Duration::from_secs(60);

fn watch_errors(kind: ObjectKind) -> String {
    format!("kubeportal_watch_errors_total{{kind=\"{kind}\"}}")
}

#[test]
fn without_the_api_server_everything_stays_and_afterwards_changes_arrive() {
    let Some(binaries) = find("without_the_api_server_everything_stays_and_afterwards_changes_arrive") else {
        return;
    };
    let cluster = Cluster::start(&binaries).unwrap();
    let admin = cluster.server.admin();
    let web = |port: u16| {
        service(
            NS,
            "web",
            &json!({"clusterIP": "10.96.8.1", "ports": [{"port": port}]}),
        )
    };
    let gone = service(
        NS,
        "gone",
        &json!({"clusterIP": "10.96.8.2", "ports": [{"port": 80}]}),
    );
    admin.apply(&web(80)).unwrap();
    admin.apply(&gone).unwrap();
    admin
        .apply(&slice(
            NS,
            "web-1",
            "web",
            &json!([{"port": 8080}]),
            &endpoints(&["10.244.8.1"]),
        ))
        .unwrap();
    let kubernetes = "kubernetes:https ClusterIP 10.96.0.1:443/TCP > 192.168.50.12:6443";
    let all = [
        "gone ClusterIP 10.96.8.2:80/TCP >",
        kubernetes,
        "web ClusterIP 10.96.8.1:80/TCP > 10.244.8.1:8080",
    ];
    cluster.expect(NS, &all).unwrap();

    for kind in ObjectKind::ALL {
        assert_eq!(cluster.agent.metric(&watch_errors(kind)).unwrap(), 0.0);
    }
    let is_back = AtomicBool::new(false);
    thread::scope(|scope| {
        let watcher = scope.spawn(|| {
            while !is_back.load(Ordering::Relaxed) {
                assert_eq!(lines(&cluster.agent.services().unwrap(), NS), all);
            }
        });
        cluster.server.kill().unwrap();
        let noticed = cluster.wait_for_log("the agent notices", "trying again");
        let counted = ObjectKind::ALL.iter().try_for_each(|kind| {
            let series = watch_errors(*kind);
            let is_counted = |errors| errors > 0.0;
            cluster
                .agent
                .wait_for_metric("the errors are counted", PATIENCE, &series, is_counted)
        });
        let back = cluster.server.run();
        is_back.store(true, Ordering::Relaxed);
        watcher.join().unwrap();
        noticed.and(counted).and(back).unwrap();
    });

    admin.apply(&web(81)).unwrap();
    admin.delete(&gone).unwrap();
    cluster
        .expect(
            NS,
            &[kubernetes, "web ClusterIP 10.96.8.1:81/TCP > 10.244.8.1:8080"],
        )
        .unwrap();
}
