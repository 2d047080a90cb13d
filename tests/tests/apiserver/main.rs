//! The agent against a real Kubernetes API server: what is created, changed and deleted there is what it serves.
//!
//! Needs root, a built `kube-portal`, and the kube-apiserver and etcd that `cargo xtask test` builds with Go.

mod agent_killed;
mod compaction;
mod config_file;
mod first_contact;
mod half_open;
mod meshes;
mod metrics;
mod odd_objects;
mod outage;
mod own_service;
mod rights;
mod services;
mod slices;
mod traffic;
mod weights;
