//! The API server has forgotten what the agent has missed: 410 Gone.

use harness::apiserver::{
    Cluster, find,
    objects::{endpoints, service, slice},
};
use nix::sys::signal::Signal;
use serde_json::json;

const NS: &str = "default";

#[test]
fn an_agent_whose_place_in_the_history_is_compacted_lists_again() {
    let Some(binaries) = find("an_agent_whose_place_in_the_history_is_compacted_lists_again") else {
        return;
    };
    let cluster = Cluster::start(&binaries).unwrap();
    let (server, admin) = (&cluster.server, cluster.server.admin());
    let numbered = |number: u8| {
        service(
            NS,
            &format!("s{number}"),
            &json!({"clusterIP": format!("10.96.7.{number}"), "ports": [{"port": 80}]}),
        )
    };
    let endpoints_of = |name: &str, address: &str| {
        slice(
            NS,
            &format!("{name}-1"),
            name,
            &json!([{"port": 8080}]),
            &endpoints(&[address]),
        )
    };
    for number in 1..=3 {
        admin.apply(&numbered(number)).unwrap();
    }
    admin.apply(&endpoints_of("s1", "10.244.7.1")).unwrap();
    admin.apply(&endpoints_of("s2", "10.244.7.2")).unwrap();
    let kubernetes = "kubernetes:https ClusterIP 10.96.0.1:443/TCP > 192.168.50.12:6443";
    cluster
        .expect(
            NS,
            &[
                kubernetes,
                "s1 ClusterIP 10.96.7.1:80/TCP > 10.244.7.1:8080",
                "s2 ClusterIP 10.96.7.2:80/TCP > 10.244.7.2:8080",
                "s3 ClusterIP 10.96.7.3:80/TCP >",
            ],
        )
        .unwrap();

    // With the connection cut while it is stopped, nothing of what follows waits in its sockets.
    cluster.agent.signal(Signal::SIGSTOP).unwrap();
    server.kill().unwrap();
    server.run().unwrap();
    admin.delete(&numbered(1)).unwrap();
    admin.delete(&endpoints_of("s2", "10.244.7.2")).unwrap();
    admin.apply(&endpoints_of("s3", "10.244.7.3")).unwrap();
    let mut version = String::new();
    for number in 4..=60 {
        version = admin.apply(&numbered(number)).unwrap();
        if number > 4 {
            admin.delete(&numbered(number)).unwrap();
        }
    }
    server.compact(&version).unwrap();
    // The API server keeps recent history in memory, too.
    server.kill().unwrap();
    server.run().unwrap();
    let before = cluster.agent.log();
    cluster.agent.signal(Signal::SIGCONT).unwrap();

    cluster
        .expect(
            NS,
            &[
                kubernetes,
                "s2 ClusterIP 10.96.7.2:80/TCP >",
                "s3 ClusterIP 10.96.7.3:80/TCP > 10.244.7.3:8080",
                "s4 ClusterIP 10.96.7.4:80/TCP >",
            ],
        )
        .unwrap();
    let log = cluster.agent.log();
    let after = &log[before.len()..];
    assert!(
        after.contains("too old resource version"),
        "the watch went on: {after}"
    );
}
