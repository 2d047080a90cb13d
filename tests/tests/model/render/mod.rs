//! The iptables rules that are rendered for what the model says.
//!
//! ```text
//! golden/CLUSTER.yaml ─▶ Cluster ─compute─▶ Desired ─▶ Renderer ══ golden/SCENARIO.rules
//! random clusters, one after the other ─▶ Plan ─▶ Desired, Delta ─▶ Renderer ══ a new Renderer
//!                                                                      └─ partial texts ─▶ chains ══ chains of the full text
//! ```

mod chains;
mod changes;
mod claims;
mod golden;
mod large;

use harness::manifests;
use proxy_agent::{
    dataplane::iptables::render::{Renderer, Settings},
    model::{Changes, Cluster, ClusterEvent, Desired, Family, NodeContext, Object, Plan},
};

/// As kube-proxy is set without flags, on a kernel that has all that it likes to have.
fn settings(family: Family) -> Settings {
    Settings {
        random_fully: false,
        invalid_counter: true,
        localhost_counter: true,
        ..Settings::of(family)
    }
}

fn rendered(settings: Settings, desired: &Desired) -> Renderer {
    let addresses = [
        "2001:db8::2",
        "192.168.1.2",
        "127.0.0.1",
        "192.168.1.2",
        "::1",
        "192.168.0.2",
        "2001:db8::1",
    ];
    let addresses = addresses.map(|address| address.parse().expect("an address"));
    let mut renderer = Renderer::new(settings);
    renderer.render_all(desired, &addresses);
    renderer
}

/// What a node goes through, one event after the other.
struct History {
    cluster: Cluster,
    plan: Plan,
}

impl History {
    fn of(objects: Vec<Object>) -> Self {
        Self::on(NodeContext::default(), objects)
    }

    fn on(context: NodeContext, objects: Vec<Object>) -> Self {
        let cluster = manifests::cluster(objects);
        let mut plan = Plan::new(context);
        plan.update(&cluster, &Changes::everything());
        Self { cluster, plan }
    }

    fn handle(&mut self, event: ClusterEvent, renderers: &mut [Renderer]) {
        let changes = self.cluster.handle(event);
        let delta = self.plan.update(&self.cluster, &changes);
        for renderer in renderers {
            renderer.render(self.plan.desired(), &[], &delta);
        }
    }
}

fn objects(documents: &[String]) -> Vec<Object> {
    manifests::objects(&documents.join("---\n")).expect("the manifests can be read")
}

/// A Service in namespace `x` with TCP port 80, and one more line of its `spec`.
fn service(name: &str, cluster_ip: &str, more: &str) -> String {
    format!(
        "apiVersion: v1
kind: Service
metadata: {{namespace: x, name: {name}}}
spec:
  clusterIP: {cluster_ip}
  clusterIPs: [{cluster_ip}]
  ports: [{{name: p, port: 80}}]
  {more}
"
    )
}

/// The endpoints of a Service.
fn slice(service: &str, addresses: &[String]) -> String {
    let endpoints: String = addresses
        .iter()
        .map(|address| format!("  - addresses: [{address}]\n"))
        .collect();
    format!(
        "apiVersion: discovery.k8s.io/v1
kind: EndpointSlice
metadata:
  namespace: x
  name: {service}-1
  labels: {{kubernetes.io/service-name: {service}}}
addressType: IPv4
ports: [{{name: p, port: 8080}}]
endpoints:
{endpoints}"
    )
}
