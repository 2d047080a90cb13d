//! kube-proxy's own test tables: one row a packet, from YAML to where it goes.

mod cluster;
mod objects;
mod table;

mod addresses;
mod cluster_ip;
mod conditions;
mod dual_stack;
mod health_check;
mod load_balancer;
mod masquerade;
mod no_endpoints;
mod no_node;
mod node_ports;
mod slices;
mod topology;
mod weights;
