//! What iptables rules do to packets, by an interpreter of them: first the interpreter itself, then published rules of kube-proxy
//! against what we do in the same cluster.

mod chains;
mod hooks;
mod kernel;
mod listings;
mod odd;
mod saved;
mod scene;
