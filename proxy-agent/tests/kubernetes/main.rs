//! The Kubernetes source against an API server that speaks real HTTP.

mod api_server;

use std::{collections::BTreeSet, time::Duration};

use anyhow::{Context, Result};
use api_server::{ApiServer, NODES, SERVICE_CIDRS, SERVICES, SLICES};
use proxy_agent::{
    metrics::Metrics,
    model::{Changes, Cluster, ClusterEvent, NodeContext, compute},
    source::kubernetes,
};
use serde_json::{Value, json};
use tokio::{
    sync::mpsc,
    task::JoinHandle,
    time::{sleep, timeout},
};

const PATIENCE: Duration = Duration::from_secs(30);

fn service(name: &str, port: Value) -> Value {
    json!({
        "apiVersion": "v1", "kind": "Service",
        "metadata": {"name": name, "namespace": "default", "annotations": {"note": "x"}},
        "spec": {"clusterIP": "10.96.0.1", "clusterIPs": ["10.96.0.1"], "ports": [{"port": port, "protocol": "TCP"}]},
        "status": {"loadBalancer": {}},
    })
}

fn slice(service: &str, address: &str) -> Value {
    json!({
        "apiVersion": "discovery.k8s.io/v1", "kind": "EndpointSlice",
        "metadata": {
            "name": format!("{service}-1"), "namespace": "default", "labels": {"kubernetes.io/service-name": service},
        },
        "addressType": "IPv4",
        "ports": [{"name": "", "port": 8080, "protocol": "TCP"}],
        "endpoints": [{"addresses": [address], "conditions": {"ready": true}}],
    })
}

fn node(zone: &str) -> Value {
    let labels = json!({"topology.kubernetes.io/zone": zone});
    json!({"apiVersion": "v1", "kind": "Node", "metadata": {"name": "here", "labels": labels}})
}

/// The source and the cluster as its events tell it.
struct Watched {
    events: mpsc::UnboundedReceiver<ClusterEvent>,
    cluster: Cluster,
    changes: Changes,
    task: JoinHandle<()>,
}

impl Drop for Watched {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Watched {
    async fn new(server: &ApiServer) -> Result<Self> {
        let client = kubernetes::client(None, Some(&server.url), |_| Vec::new()).await?;
        let (sender, events) = mpsc::unbounded_channel();
        let task = tokio::spawn(kubernetes::run(
            client,
            "here".to_owned(),
            Metrics::default(),
            sender,
        ));
        Ok(Self {
            events,
            cluster: Cluster::default(),
            changes: Changes::default(),
            task,
        })
    }

    /// Follows the events until everything is listed and the Services are these, as `name:port`.
    async fn until(&mut self, expected: &[&str]) -> Result<()> {
        self.until_cluster(&format!("{expected:?}"), |cluster| services(cluster) == expected)
            .await
    }

    async fn until_cluster(&mut self, what: &str, is_so: impl Fn(&Cluster) -> bool) -> Result<()> {
        let follow = async {
            while !self.cluster.has_listed_all() || !is_so(&self.cluster) {
                let event = self.events.recv().await.context("the source ended")?;
                self.changes.merge(self.cluster.handle(event));
            }
            Ok(())
        };
        let result = timeout(PATIENCE, follow).await;
        result.with_context(|| format!("expected {what}, have {:?}", services(&self.cluster)))?
    }
}

fn services(cluster: &Cluster) -> Vec<String> {
    let services = cluster.services().values();
    services
        .map(|service| format!("{}:{}", service.name.name, service.ports[0].port))
        .collect()
}

#[tokio::test]
async fn objects_are_listed_and_their_changes_watched() -> Result<()> {
    let server = ApiServer::start().await?;
    server.apply(SERVICES, service("a", json!(80)));
    server.apply(SLICES, slice("a", "10.0.0.1"));
    server.apply(NODES, node("east"));
    let mut watched = Watched::new(&server).await?;
    watched.until(&["a:80"]).await?;
    let desired = compute(
        &watched.cluster,
        &NodeContext {
            name: "here".to_owned(),
            ..NodeContext::default()
        },
    );
    assert_eq!(
        desired
            .lists
            .values()
            .map(|list| list.endpoints.len())
            .collect::<Vec<_>>(),
        [1]
    );

    server.apply(SERVICES, service("b", json!(81)));
    watched.until(&["a:80", "b:81"]).await?;
    server.apply(SERVICES, service("b", json!(82)));
    watched.until(&["a:80", "b:82"]).await?;
    server.delete(SERVICES, "a");
    watched.until(&["b:82"]).await?;
    server.delete(SLICES, "a-1");
    watched
        .until_cluster("no slice", |cluster| cluster.endpoint_slices().is_empty())
        .await?;
    server.apply(NODES, node("west"));
    let is_west = |cluster: &Cluster| {
        cluster
            .nodes()
            .values()
            .any(|node| node.zone.as_deref() == Some("west"))
    };
    watched.until_cluster("zone west", is_west).await
}

#[tokio::test]
async fn only_what_a_service_proxy_needs_is_asked_for() -> Result<()> {
    let server = ApiServer::start().await?;
    let mut watched = Watched::new(&server).await?;
    watched.until(&[]).await?;
    let requests = server.requests();
    for (path, selector) in [
        (
            SERVICES,
            "labelSelector=%21service.kubernetes.io%2Fservice-proxy-name",
        ),
        (SERVICES, "fieldSelector=spec.clusterIP%21%3DNone"),
        (SLICES, "labelSelector=%21service.kubernetes.io%2Fheadless"),
        (NODES, "fieldSelector=metadata.name%3Dhere"),
    ] {
        let mut of_path = requests
            .iter()
            .filter(|request| request.starts_with(&format!("{path}?")))
            .peekable();
        assert!(of_path.peek().is_some(), "{path} was asked for: {requests:?}");
        assert!(
            of_path.all(|request| request.contains(selector)),
            "{path} with {selector}: {requests:?}"
        );
    }
    Ok(())
}

#[tokio::test]
async fn a_malformed_object_stalls_nothing_and_its_last_good_version_stays() -> Result<()> {
    let server = ApiServer::start().await?;
    server.apply(SERVICES, service("a", json!(80)));
    server.apply(SERVICES, service("never-good", json!("eighty")));
    let mut watched = Watched::new(&server).await?;
    watched.until(&["a:80"]).await?;

    server.apply(SERVICES, service("a", json!("eighty")));
    server.apply(SERVICES, service("b", json!(81)));
    watched.until(&["a:80", "b:81"]).await?;

    server.delete_unseen(SERVICES, "b");
    server.expire(SERVICES);
    watched.until(&["a:80"]).await?;

    server.apply(SERVICES, service("never-good", json!(82)));
    watched.until(&["a:80", "never-good:82"]).await?;
    server.delete(SERVICES, "a");
    watched.until(&["never-good:82"]).await
}

#[tokio::test]
async fn an_expired_version_leads_to_a_new_list_that_removes_what_is_gone() -> Result<()> {
    let server = ApiServer::start().await?;
    server.apply(SERVICES, service("a", json!(80)));
    server.apply(SERVICES, service("b", json!(81)));
    let mut watched = Watched::new(&server).await?;
    watched.until(&["a:80", "b:81"]).await?;

    watched.changes = Changes::default();
    server.delete_unseen(SERVICES, "b");
    server.expire(SERVICES);
    watched.until(&["a:80"]).await?;
    let touched: Vec<_> = watched.changes.services.iter().map(ToString::to_string).collect();
    assert_eq!(touched, ["default/b"]);
    Ok(())
}

#[tokio::test]
async fn a_dropped_connection_is_taken_up_where_it_ended() -> Result<()> {
    let server = ApiServer::start().await?;
    server.apply(SERVICES, service("a", json!(80)));
    let mut watched = Watched::new(&server).await?;
    watched.until(&["a:80"]).await?;

    for port in [81, 82] {
        server.cut_connections();
        server.apply(SERVICES, service("a", json!(port)));
        watched.until(&[&format!("a:{port}")]).await?;
    }
    let is_list = |request: &&String| request.starts_with(SERVICES) && !request.contains("watch=true");
    assert_eq!(
        server.requests().iter().filter(is_list).count(),
        1,
        "{:?}",
        server.requests()
    );
    Ok(())
}

#[tokio::test]
async fn the_source_ends_when_nobody_receives_even_if_nothing_changes() -> Result<()> {
    let server = ApiServer::start().await?;
    let client = kubernetes::client(None, Some(&server.url), |_| Vec::new()).await?;
    let (sender, mut events) = mpsc::unbounded_channel();
    let task = tokio::spawn(kubernetes::run(
        client,
        "here".to_owned(),
        Metrics::default(),
        sender,
    ));
    for _ in 0..3 {
        timeout(PATIENCE, events.recv())
            .await?
            .context("one list of each kind")?;
    }
    drop(events);
    Ok(timeout(PATIENCE, task).await??)
}

#[tokio::test]
async fn ranges_of_cluster_ips_are_known_where_the_cluster_tells_them() -> Result<()> {
    let server = ApiServer::start().await?;
    let cidr = |cidrs: &[&str]| {
        json!({
            "apiVersion": "networking.k8s.io/v1", "kind": "ServiceCIDR", "metadata": {"name": "kubernetes"},
            "spec": {"cidrs": cidrs},
        })
    };
    server.apply(SERVICE_CIDRS, cidr(&["10.96.0.0/16", "fd00:10:96::/112"]));
    let mut watched = Watched::new(&server).await?;
    let has = |cluster: &Cluster, expected: &[&str]| {
        let cidrs = cluster.service_cidrs();
        cidrs.iter().map(ToString::to_string).collect::<Vec<_>>() == expected
    };
    watched
        .until_cluster("both", |cluster| {
            has(cluster, &["10.96.0.0/16", "fd00:10:96::/112"])
        })
        .await?;
    server.delete(SERVICE_CIDRS, "kubernetes");
    watched.until_cluster("none", |cluster| has(cluster, &[])).await
}

#[tokio::test]
async fn an_api_server_that_has_no_service_cidrs_or_hides_them_is_followed_all_the_same() -> Result<()> {
    for status in [403, 404] {
        let server = ApiServer::start().await?;
        server.refuse(SERVICE_CIDRS, status);
        server.apply(SERVICES, service("a", json!(80)));
        Watched::new(&server).await?.until(&["a:80"]).await?;
    }
    Ok(())
}

#[tokio::test]
async fn services_that_are_hidden_are_not_taken_for_none() -> Result<()> {
    let server = ApiServer::start().await?;
    server.refuse(SERVICES, 403);
    let mut watched = Watched::new(&server).await?;
    let listed = timeout(Duration::from_secs(2), watched.until(&[])).await;
    assert!(listed.is_err(), "the Services were never listed");
    Ok(())
}

#[tokio::test]
async fn the_api_groups_of_a_mesh_are_told_although_the_first_requests_for_them_fail() -> Result<()> {
    let server = ApiServer::start().await?;
    server.refuse("/apis", 503);
    let client = kubernetes::client(None, Some(&server.url), |_| Vec::new()).await?;
    let (sender, mut events) = mpsc::unbounded_channel();
    let source = tokio::spawn(kubernetes::follow_meshes(client, sender));
    let asked_twice = async {
        while server.requests().len() < 2 {
            sleep(Duration::from_millis(20)).await;
        }
    };
    timeout(PATIENCE, asked_twice).await?;
    assert!(events.try_recv().is_err(), "an error is no answer");

    let group = |name: &str| json!({"name": name, "versions": []});
    let groups = [group("apps"), group("networking.istio.io")];
    server.answer(
        "/apis",
        json!({"apiVersion": "v1", "kind": "APIGroupList", "groups": groups}),
    );
    let event = timeout(PATIENCE, events.recv()).await?;
    let expected = BTreeSet::from(["networking.istio.io".to_owned()]);
    assert_eq!(event, Some(ClusterEvent::MeshGroups(expected)));
    drop(events);
    timeout(PATIENCE, source)
        .await?
        .context("it ends without a receiver")
}
