//! YAML that many tables share: one Service with an address of every kind, and its slices.

/// `ns1/svc1` at cluster IP 172.30.0.41, external IP 192.168.99.11, load balancer IP 1.2.3.4 and node port 3001, with
/// more fields of its spec such as `externalTrafficPolicy: Local`.
pub(crate) fn service(fields: &[&str]) -> String {
    let fields: String = fields.iter().map(|field| format!("\n  {field}")).collect();
    format!(
        "
apiVersion: v1
kind: Service
metadata: {{name: svc1, namespace: ns1}}
spec:
  type: LoadBalancer
  clusterIP: 172.30.0.41
  externalIPs: [192.168.99.11]
  ports: [{{name: p80, port: 80, nodePort: 3001}}]{fields}
status:
  loadBalancer: {{ingress: [{{ip: 1.2.3.4}}]}}
"
    )
}

/// A slice of `ns1/svc1` whose port p80 is `port`; each endpoint as in YAML.
pub(crate) fn slice_at(port: u16, name: &str, endpoints: &[&str]) -> String {
    let endpoints: String = endpoints.iter().map(|at| format!("- {at}\n")).collect();
    format!(
        "---
apiVersion: discovery.k8s.io/v1
kind: EndpointSlice
metadata: {{name: {name}, namespace: ns1, labels: {{kubernetes.io/service-name: svc1}}}}
addressType: IPv4
ports: [{{name: p80, port: {port}}}]
endpoints:
{endpoints}"
    )
}

/// A slice whose port p80 is 80.
pub(crate) fn slice(name: &str, endpoints: &[&str]) -> String {
    slice_at(80, name, endpoints)
}

/// The Node of the tables, with its zone if it has one.
pub(crate) fn node_object(zone: Option<&str>) -> String {
    let labels = zone.map(|zone| format!("topology.kubernetes.io/zone: {zone}"));
    let labels = labels.unwrap_or_default();
    format!(
        "---
apiVersion: v1
kind: Node
metadata: {{name: here, labels: {{{labels}}}}}
status:
  addresses:
  - {{type: InternalIP, address: 192.168.0.2}}
  - {{type: InternalIP, address: '2001:db8::2'}}
"
    )
}
