//! Where the cluster's objects come from.
//!
//! ```text
//! Kubernetes API ─▶ kubernetes ─┐
//!                               ├─ convert ──ClusterEvent──▶ EventSender ─▶ model::Cluster
//! --manifests DIR ─▶ manifests ─┘
//! ```
//!
//! Both sources say the same things: first a `Replace` of each kind, then only differences; and, whenever it is known, which API
//! groups of service meshes there are. Neither lets a malformed object stop the others: its last good version stays until the object is mended or gone.

use tokio::sync::mpsc;

use crate::model::ClusterEvent;

pub mod convert;
pub mod kubernetes;
pub mod manifests;

mod weight_faults;

/// Where sources send what they see. Unbounded: the receiver only files events, and a source that waited would hold the same
/// objects in its own buffers.
pub type EventSender = mpsc::UnboundedSender<ClusterEvent>;
