//! The Kubernetes API as the source: the watches of kube-proxy.
//!
//! ```text
//! watcher (list, watch, retry) ─▶ tracker (whole lists, last good versions) ─▶ EventSender
//! ```
//!
//! `follow_meshes` asks once a minute which API groups are served: those of service meshes are told.
//!
//! Each object is taken apart by itself, so a malformed one fails alone, not the list or watch that brings it.

use std::pin::pin;

use futures::StreamExt;
use k8s_openapi::api::{
    core::v1::{Node, Service},
    discovery::v1::EndpointSlice,
    networking::v1::ServiceCIDR,
};
use kube::{
    Api,
    runtime::{WatchStreamExt, watcher},
};

use tokio::task::{JoinError, JoinSet};

use super::{
    EventSender,
    convert::{HEADLESS_LABEL, PROXY_NAME_LABEL},
    weight_faults::WeightFaults,
};
use crate::metrics::Metrics;

mod client;
mod direct;
mod meshes;
mod outage;
mod received;
mod tracker;

pub use client::{Client, ClientError, client};
pub use meshes::follow_meshes;
use outage::Outage;
use received::{Received, Watched};
use tracker::Tracker;

/// Sends a `Replace` of each kind and from then on what changes: Services and EndpointSlices of the cluster, and the Node called
/// `node_name`. Ends only when nobody receives any more: what fails is logged, counted and tried again, with growing pauses.
pub async fn run(client: Client, node_name: String, metrics: Metrics, events: EventSender) {
    let services = watcher::Config::default()
        .labels(&format!("!{PROXY_NAME_LABEL}"))
        .fields("spec.clusterIP!=None");
    let slices = watcher::Config::default().labels(&format!("!{HEADLESS_LABEL}"));
    let own_node = watcher::Config::default().fields(&format!("metadata.name={node_name}"));
    let everything = watcher::Config::default();
    // Each on its own: large lists are read at the same time.
    let mut watches = JoinSet::new();
    let context = Context {
        client,
        metrics,
        events: events.clone(),
    };
    watches.spawn(follow::<Service>(context.clone(), services));
    watches.spawn(follow::<EndpointSlice>(context.clone(), slices));
    watches.spawn(follow::<Node>(context.clone(), own_node));
    watches.spawn(follow::<ServiceCIDR>(context, everything));
    tokio::select! {
        ended = watches.join_next() => report(ended),
        () = events.closed() => {}
    }
}

/// What every watch needs.
#[derive(Clone)]
struct Context {
    client: Client,
    metrics: Metrics,
    events: EventSender,
}

/// A watch ends only with its receiver or the process, unless it panics.
fn report(ended: Option<Result<(), JoinError>>) {
    if let Some(Err(error)) = ended
        && error.is_panic()
    {
        tracing::error!("a watch has failed: {error}");
    }
}

async fn follow<K: Watched + 'static>(context: Context, config: watcher::Config) {
    let Context {
        client,
        metrics,
        events,
    } = context;
    let kind = K::KIND;
    let api: Api<Received<K>> = Api::all(client.kube.clone());
    let mut tracker = Tracker::new(kind, metrics.clone());
    let mut outage = Outage::new(format!("watching {kind} objects"));
    let mut faults = WeightFaults::new(metrics.clone());
    let mut stream = pin!(watcher(api, config).default_backoff());
    while let Some(event) = stream.next().await {
        let news = match event {
            Ok(event) => {
                // The others come from the API server.
                if !matches!(event, watcher::Event::Init) {
                    outage.is_over();
                }
                tracker.handle(event)
            }
            Err(error) => {
                metrics.watch_error(kind);
                outage.note(&error);
                tracker.fail(&error)
            }
        };
        for event in news {
            faults.tell(&event);
            if let Some(servers) = &client.servers {
                servers.note(&event);
            }
            if events.send(event).is_err() {
                return;
            }
        }
    }
}
