//! Metrics of a real agent over real HTTP: they follow what it is given.

use std::{
    net::{SocketAddr, TcpListener},
    time::{SystemTime, UNIX_EPOCH},
};

use anyhow::{Result, ensure};
use aya::maps::{HashMap, Map, MapData};
use harness::{
    agent::{Agent, READY, TcAttach},
    wait,
    world::World,
};
use proxy_agent::dataplane::bpf::object::PinDir;
use proxy_common::{Addr4, Frontend, FrontendKey};

const SCTP: &str = "kubeportal_frontends_unserved{reason=\"sctp\"}";
const UNSPECIFIED: &str = "kubeportal_frontends_unserved{reason=\"unspecified-address\"}";
const REFUSED: &str = "kubeportal_frontends_refused";
const DOCUMENTS: &str = "kubeportal_manifest_documents_malformed";
const WEIGHTS: &str = "kubeportal_weights_malformed";
const FRONTENDS: &str = "kubeportal_map_entries{map=\"FRONTENDS4\"}";
const ROOM: &str = "kubeportal_map_size{map=\"FRONTENDS4\"}";
const PASSES: &str = "kubeproxy_sync_proxy_rules_duration_seconds_count";
const FULL_PASSES: &str = "kubeproxy_sync_full_proxy_rules_duration_seconds_count";
const LAST: &str = "kubeproxy_sync_proxy_rules_last_timestamp_seconds";
const FAILURES: &str = "kubeportal_sync_failures_total";
const REPAIRED: &str = "kubeportal_map_entries_repaired_total";

/// A Service with one port, and the rest of its document.
fn service(name: &str, cluster_ip: &str, protocol: &str, more: &str) -> String {
    format!(
        "apiVersion: v1\nkind: Service\nmetadata:\n  name: {name}\n  namespace: default{more}\nspec:\n  \
         clusterIP: {cluster_ip}\n  ports: [{{port: 80, protocol: {protocol}}}]\n"
    )
}

fn now() -> f64 {
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap()
        .as_secs_f64()
}

#[test]
fn the_numbers_follow_what_is_malformed_not_served_and_refused() {
    let world = World::start(TcAttach::Auto).unwrap();
    let (agent, manifests) = (&world.agents[0], &world.manifests);
    let none = [SCTP, UNSPECIFIED, REFUSED, DOCUMENTS, WEIGHTS, FRONTENDS].map(|series| (series, 0.0));
    agent
        .wait_for_metrics("nothing is wrong at first", &none)
        .unwrap();

    let write = |name: &str, text: String| manifests.write_text(name, &text).unwrap();
    write("owner", service("a", "10.96.30.1", "TCP", ""));
    write("sctp", service("b", "10.96.30.2", "SCTP", ""));
    write(
        "thief",
        format!(
            "{}  externalIPs: [10.96.30.1]\n",
            service("c", "10.96.30.3", "TCP", "")
        ),
    );
    write(
        "nowhere",
        format!(
            "{}  externalIPs: [0.0.0.0]\n",
            service("d", "10.96.30.4", "TCP", "")
        ),
    );
    let weights = "\n  annotations: {kube-portal.io/weights: many}";
    write("weights", service("e", "10.96.30.5", "TCP", weights));
    write(
        "broken",
        format!("{}---\nkind: [\n", service("f", "10.96.30.6", "QUIC", "")),
    );
    agent
        .wait_for_metrics(
            "each is counted where it belongs",
            &[
                // Rules serve it.
                (SCTP, 0.0),
                (UNSPECIFIED, 1.0),
                (REFUSED, 1.0),
                (DOCUMENTS, 2.0),
                (WEIGHTS, 1.0),
                (FRONTENDS, 4.0),
            ],
        )
        .unwrap();
    let size = agent.metric(ROOM).unwrap();
    assert!(size > 1_000.0, "{size}");

    write("sctp", service("b", "10.96.30.2", "UDP", ""));
    write("thief", service("c", "10.96.30.3", "TCP", ""));
    write("nowhere", service("d", "10.96.30.4", "TCP", ""));
    write("weights", service("e", "10.96.30.5", "TCP", ""));
    write("broken", service("f", "10.96.30.6", "TCP", ""));
    agent
        .wait_for_metrics(
            "all is mended",
            &[
                (SCTP, 0.0),
                (UNSPECIFIED, 0.0),
                (REFUSED, 0.0),
                (DOCUMENTS, 0.0),
                (WEIGHTS, 0.0),
                (FRONTENDS, 6.0),
            ],
        )
        .unwrap();
}

#[test]
fn passes_are_counted_when_they_succeed_and_when_a_map_is_full() {
    let world = World::start(TcAttach::Auto).unwrap();
    let agent = &world.agents[0];
    let start = now();
    agent.restart_with(&["--max-frontends", "1024"]).unwrap();
    agent
        .wait_for_metric("a pass has succeeded", READY, LAST, |at| at > 0.0)
        .unwrap();
    let last = agent.metric(LAST).unwrap();
    assert!((start..=now()).contains(&last), "{last}");
    assert_eq!(agent.metric(FAILURES).unwrap(), 0.0);
    assert_eq!(agent.metric(FULL_PASSES).unwrap(), 1.0);
    assert_eq!(agent.metric(PASSES).unwrap(), 1.0);

    world
        .manifests
        .write_text("one", &service("one", "10.96.31.1", "TCP", ""))
        .unwrap();
    agent
        .wait_for_metric("a change is a pass", READY, PASSES, |passes| passes > 1.0)
        .unwrap();
    assert_eq!(agent.metric(FULL_PASSES).unwrap(), 1.0);

    let crowd: Vec<String> = (0..1_100)
        .map(|index| {
            let cluster_ip = format!("10.112.{}.{}", index / 250, index % 250 + 1);
            service(&format!("crowd-{index}"), &cluster_ip, "TCP", "")
        })
        .collect();
    world.manifests.write_text("crowd", &crowd.join("---\n")).unwrap();
    agent
        .wait_for_metric("it does not fit", READY, FAILURES, |failures| failures >= 2.0)
        .unwrap();
    assert_eq!(agent.metric(FRONTENDS).unwrap(), 1_024.0);
    assert_eq!(agent.metric(ROOM).unwrap(), 1_024.0);

    world.manifests.remove("crowd").unwrap();
    agent
        .wait_for_metrics("it fits again", &[(FRONTENDS, 1.0)])
        .unwrap();
    assert!(agent.metric(LAST).unwrap() > last);
}

#[test]
fn an_entry_that_somebody_else_deletes_is_counted_as_repaired() {
    let world = World::start(TcAttach::Auto).unwrap();
    let agent = &world.agents[0];
    agent.restart_with(&["--sync-period", "1s"]).unwrap();
    world
        .manifests
        .write_text("one", &service("one", "10.96.32.1", "TCP", ""))
        .unwrap();
    agent
        .wait_for_metrics("it is served", &[(FRONTENDS, 1.0), (REPAIRED, 0.0)])
        .unwrap();
    delete_frontends(agent).unwrap();
    agent
        .wait_for_metrics("the repair is counted", &[(REPAIRED, 1.0)])
        .unwrap();
}

/// As somebody with bpftool would.
fn delete_frontends(agent: &Agent) -> Result<()> {
    let pin = PinDir::new(agent.pin_root()).map("FRONTENDS4");
    let map = Map::HashMap(MapData::from_pin(pin)?);
    let mut frontends: HashMap<_, FrontendKey<Addr4>, Frontend> = HashMap::try_from(map)?;
    let keys: Vec<_> = frontends.keys().collect::<Result<_, _>>()?;
    keys.iter().try_for_each(|key| Ok(frontends.remove(key)?))
}

#[test]
fn another_address_is_served_nowhere_is_nowhere_and_a_taken_one_stops_nothing_and_is_had_later() {
    let world = World::start(TcAttach::Auto).unwrap();
    let agent = &world.agents[0];
    let other: SocketAddr = "[::1]:9000".parse().unwrap();
    agent
        .restart_with(&["--metrics-bind-address", "[::1]:9000"])
        .unwrap();
    wait::until("the other address", READY, || agent.metrics_at(other)).unwrap();
    assert!(agent.metrics().is_err(), "the default address is not served");

    agent.restart_with(&["--metrics-bind-address="]).unwrap();
    let served = world.publish(crate::IPV4_TCP, &[]).unwrap();
    assert!(agent.metrics().is_err() && agent.metrics_at(other).is_err());

    let ns = &world.topology.nodes[0].host.ns;
    let taken = ns.run(|| TcpListener::bind(other)).unwrap();
    agent
        .restart_with(&["--metrics-bind-address", "[::1]:9000"])
        .unwrap();
    let warning = "no metrics at [::1]:9000: Address already in use";
    wait::until("the warning", READY, || {
        ensure!(agent.log().contains(warning), "none");
        Ok(())
    })
    .unwrap();
    drop(served);
    drop(world.publish(crate::IPV4_TCP, &[]).unwrap());
    drop(taken);
    wait::until("the address is free", READY, || agent.metrics_at(other)).unwrap();
    assert_eq!(agent.log().matches(warning).count(), 1);
}
