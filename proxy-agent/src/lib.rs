//! kube-portal's node agent: keeps the dataplane true to the cluster.
//!
//! ```text
//! source::{kubernetes, manifests} ─▶ model ◀─ sync ─▶ dataplane (trait) ◀─ dataplane::{bpf, iptables}
//!     node (netlink), netfilter ────▶ model              source, sync ─▶ metrics
//! ```
//!
//! To add a Service field: `model::objects` (the field), `source::convert` (where it comes from), `model::compute` (what it
//! means), `dataplane::bpf::encode` (how the maps say it) and `dataplane::iptables::render` (how rules do).

pub mod agent;
pub mod cli;
pub mod dataplane;
pub mod explain;
pub mod metrics;
pub mod model;
pub mod netfilter;
mod netlink;
pub mod node;
pub mod source;
pub mod sync;
