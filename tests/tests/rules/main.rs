//! What iptables rules do to packets, by an interpreter of them: first the interpreter itself, then published rules of kube-proxy
//! against what we do in the same cluster.

mod chains;
mod documents;
mod flows;
mod hooks;
mod kernel;
mod listings;
mod odd;
mod saved;
mod scene;

#[path = "../model/packet.rs"]
#[expect(dead_code, reason = "the tables of the model's tests write packets as text")]
mod packet;
/// What the model says of a packet: the same that its own tests ask.
#[path = "../model/tracer.rs"]
mod tracer;
