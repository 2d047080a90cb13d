//! A cluster from YAML, as the agent reads it.

use std::{fs, time::Duration};

use proxy_agent::{metrics::Metrics, model::Cluster, source::manifests};
use tempfile::TempDir;
use tokio::{runtime, sync::mpsc, time::timeout};

const PATIENCE: Duration = Duration::from_secs(20);

/// The objects of a file with many documents.
pub(crate) fn read(yaml: &str) -> Cluster {
    let dir = TempDir::new().expect("a directory for the manifests");
    fs::write(dir.path().join("cluster.yaml"), yaml).expect("the manifests can be written");
    let runtime = runtime::Builder::new_current_thread().enable_all().build();
    runtime.expect("a runtime").block_on(async {
        let (sender, mut events) = mpsc::unbounded_channel();
        let source = tokio::spawn(manifests::run(dir.path().to_owned(), Metrics::default(), sender));
        let mut cluster = Cluster::default();
        while !cluster.has_listed_all() {
            let event = timeout(PATIENCE, events.recv())
                .await
                .expect("a list of each kind");
            cluster.handle(event.expect("the source goes on"));
        }
        source.abort();
        cluster
    })
}
