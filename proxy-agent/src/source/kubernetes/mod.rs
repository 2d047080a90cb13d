//! The Kubernetes API as the source: the watches of kube-proxy.
//!
//! ```text
//! watcher (list, watch, retry) ─▶ tracker (whole lists, last good versions) ─▶ EventSender
//! ```
//!
//! Objects are first read without their meaning, so a malformed one fails alone, not the list or watch that brings it.

use std::pin::pin;

use futures::StreamExt;
use k8s_openapi::api::{
    core::v1::{Node, Service},
    discovery::v1::EndpointSlice,
};
use kube::{
    Api, Resource,
    core::{ApiResource, DynamicObject},
    runtime::{WatchStreamExt, watcher},
};

use super::{
    EventSender,
    convert::{HEADLESS_LABEL, PROXY_NAME_LABEL},
    weight_faults::WeightFaults,
};
use crate::model::ObjectKind;

mod client;
mod tracker;

pub use client::{ClientError, client};
pub use kube::Client;
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
        () = follow::<Service>(&client, ObjectKind::Service, services, &events) => {}
        () = follow::<EndpointSlice>(&client, ObjectKind::EndpointSlice, slices, &events) => {}
        () = follow::<Node>(&client, ObjectKind::Node, own_node, &events) => {}
        () = events.closed() => {}
    }
}

async fn follow<K: Resource<DynamicType = ()>>(
    client: &Client,
    kind: ObjectKind,
    config: watcher::Config,
    events: &EventSender,
) {
    let api: Api<DynamicObject> = Api::all_with(client.clone(), &ApiResource::erase::<K>(&()));
    let mut tracker = Tracker::new(kind);
    let mut faults = WeightFaults::default();
    let mut stream = pin!(watcher(api, config).default_backoff());
    while let Some(event) = stream.next().await {
        match event {
            Ok(event) => {
                for event in tracker.handle(event) {
                    faults.tell(&event);
                    if events.send(event).is_err() {
                        return;
                    }
                }
            }
            Err(error) => tracing::warn!("watching {kind} objects: {error}; trying again"),
        }
    }
}
