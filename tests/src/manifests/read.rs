//! Manifests as the agent reads them.

use std::{fs, time::Duration};

use anyhow::{Context as _, Result};
use proxy_agent::{
    metrics::Metrics,
    model::{Cluster, ClusterEvent, Object},
    source::manifests,
};
use tokio::{runtime, sync::mpsc, time::timeout};

const PATIENCE: Duration = Duration::from_secs(20);

/// The objects of a text with many documents.
///
/// # Errors
///
/// The agent's source does not list them in time.
pub fn objects(yaml: &str) -> Result<Vec<Object>> {
    let directory = tempfile::tempdir().context("no directory for the manifests")?;
    fs::write(directory.path().join("cluster.yaml"), yaml).context("the manifests cannot be written")?;
    let runtime = runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        let (sender, mut events) = mpsc::unbounded_channel();
        let path = directory.path().to_owned();
        let source = tokio::spawn(manifests::run(path, Metrics::default(), sender));
        let mut cluster = Cluster::default();
        let mut objects = Vec::new();
        while !cluster.has_listed_all() {
            let event = timeout(PATIENCE, events.recv()).await;
            let event = event
                .context("no list of each kind")?
                .context("the source has ended")?;
            if let ClusterEvent::Replace(_, listed) = &event {
                objects.extend(listed.iter().cloned());
            }
            cluster.handle(event);
        }
        source.abort();
        Ok(objects)
    })
}

/// The cluster that has these objects and no others.
#[must_use]
pub fn cluster(objects: impl IntoIterator<Item = Object>) -> Cluster {
    let mut cluster = Cluster::default();
    for object in objects {
        cluster.handle(ClusterEvent::Apply(object));
    }
    cluster
}
