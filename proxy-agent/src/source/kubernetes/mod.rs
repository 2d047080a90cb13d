//! The Kubernetes API as the source: the watches of kube-proxy.
//!
//! ```text
//! watcher (list, watch, retry) ─▶ tracker (whole lists, last good versions) ─▶ EventSender
//! ```
//!
//! Each object is taken apart by itself, so a malformed one fails alone, not the list or watch that brings it.

use std::pin::pin;

use futures::StreamExt;
use k8s_openapi::api::{
    core::v1::{Node, Service},
    discovery::v1::EndpointSlice,
};
use kube::{
    Api,
    runtime::{WatchStreamExt, watcher},
};

use super::{
    EventSender,
    convert::{HEADLESS_LABEL, PROXY_NAME_LABEL},
};

mod client;
mod received;
mod tracker;

pub use client::{ClientError, client};
pub use kube::Client;
use received::{Received, Watched};
use tracker::Tracker;

/// Sends a `Replace` of each kind and from then on what changes: Services and EndpointSlices of the cluster, and the Node called
/// `node_name`. Ends only when nobody receives any more: what fails is logged and tried again, with growing pauses.
pub async fn run(client: Client, node_name: String, events: EventSender) {
    let services = watcher::Config::default()
        .labels(&format!("!{PROXY_NAME_LABEL}"))
        .fields("spec.clusterIP!=None");
    let slices = watcher::Config::default().labels(&format!("!{HEADLESS_LABEL}"));
    let own_node = watcher::Config::default().fields(&format!("metadata.name={node_name}"));
    tokio::select! {
        () = follow::<Service>(&client, services, &events) => {}
        () = follow::<EndpointSlice>(&client, slices, &events) => {}
        () = follow::<Node>(&client, own_node, &events) => {}
        () = events.closed() => {}
    }
}

async fn follow<K: Watched + 'static>(client: &Client, config: watcher::Config, events: &EventSender) {
    let kind = K::KIND;
    let api: Api<Received<K>> = Api::all(client.clone());
    let mut tracker = Tracker::new(kind);
    let mut stream = pin!(watcher(api, config).default_backoff());
    while let Some(event) = stream.next().await {
        match event {
            Ok(event) => {
                for event in tracker.handle(event) {
                    if events.send(event).is_err() {
                        return;
                    }
                }
            }
            Err(error) => tracing::warn!("watching {kind} objects: {error}; trying again"),
        }
    }
}
