//! The agent is killed in the middle of changes.

use harness::apiserver::{
    expect,
    objects::{endpoints, service, slice},
    shared,
};
use serde_json::json;

const NS: &str = "killed";

#[test]
fn an_agent_that_is_killed_amid_changes_catches_up_when_it_is_back() {
    let Some(cluster) = shared("an_agent_that_is_killed_amid_changes_catches_up_when_it_is_back") else {
        return;
    };
    let admin = cluster.server.admin();
    cluster.create_namespace(NS).unwrap();
    // The agent of `node1` is there for the other tests.
    let agent = cluster.start_agent(&cluster.topology.nodes[1].host).unwrap();
    let create = |number: u8| {
        let name = format!("s{number:02}");
        admin
            .apply(&service(
                NS,
                &name,
                &json!({"clusterIP": format!("10.96.9.{number}"), "ports": [{"port": 80}]}),
            ))
            .unwrap();
        admin
            .apply(&slice(
                NS,
                &name,
                &name,
                &json!([{"port": 8080}]),
                &endpoints(&[&format!("10.244.9.{number}")]),
            ))
            .unwrap();
    };
    let delete = |number: u8| {
        let name = format!("s{number:02}");
        admin.delete(&service(NS, &name, &json!({}))).unwrap();
    };
    let line =
        |number: u8| format!("s{number:02} ClusterIP 10.96.9.{number}:80/TCP > 10.244.9.{number}:8080");
    let expect_all = |numbers: &[u8]| {
        let lines: Vec<_> = numbers.iter().map(|&number| line(number)).collect();
        let lines: Vec<_> = lines.iter().map(String::as_str).collect();
        expect(&agent, NS, &lines).unwrap();
    };
    create(1);
    create(2);
    expect_all(&[1, 2]);

    for number in 3..=12 {
        create(number);
        delete(number - 2);
        if number % 3 == 0 {
            // At once, whatever it is doing with the change.
            agent.kill().unwrap();
            agent.run().unwrap();
        }
    }
    expect_all(&[11, 12]);

    agent.kill().unwrap();
    create(13);
    delete(11);
    let left = agent.services().unwrap();
    assert!(
        left.iter().any(|row| row.service == "killed/s11"),
        "the maps outlive the agent"
    );
    agent.run().unwrap();
    expect_all(&[12, 13]);
}
