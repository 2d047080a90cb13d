//! Where packets go: kube-proxy's own test tables, one row a packet, from YAML to the model's answer.
//!
//! ```text
//! YAML ──source::manifests──▶ Cluster ──compute──▶ Desired ──tracer──▶ "10.180.0.1:80, 10.180.2.1:80 masquerade"
//! ```
//! No dataplane takes part: what these tables say, every dataplane has to do.

mod cluster;
mod objects;
mod packet;
mod table;
mod tracer;

mod addresses;
mod cluster_ip;
mod dual_stack;
mod health_check;
mod load_balancer;
mod masquerade;
mod no_endpoints;
mod node_ports;
mod slices;
mod terminating;
mod topology;
mod traffic_policy;
