//! The objects of a scenario, as the agent reads them.

use std::{fs, path::Path, time::Duration};

use proxy_agent::{
    metrics::Metrics,
    model::{ClusterEvent, Object, ObjectKind},
    source::manifests,
};
use tempfile::TempDir;
use tokio::{runtime, sync::mpsc, time::timeout};

const PATIENCE: Duration = Duration::from_secs(20);

/// All objects of a file with many documents.
pub(crate) fn objects(manifest: &Path) -> Vec<Object> {
    let dir = TempDir::new().expect("a directory for the manifests");
    fs::copy(manifest, dir.path().join("scenario.yaml")).expect("the scenario can be copied");
    let runtime = runtime::Builder::new_current_thread().enable_all().build();
    runtime.expect("a runtime").block_on(async {
        let (sender, mut events) = mpsc::unbounded_channel();
        let source = tokio::spawn(manifests::run(dir.path().to_owned(), Metrics::default(), sender));
        let mut objects = Vec::new();
        let mut lists = 0;
        while lists < ObjectKind::ALL.len() {
            let event = timeout(PATIENCE, events.recv())
                .await
                .expect("a list of each kind");
            match event.expect("the source goes on") {
                ClusterEvent::Replace(_, list) => {
                    objects.extend(list);
                    lists += 1;
                }
                ClusterEvent::MeshGroups(_) => {}
                other => panic!("{other:?} is no list"),
            }
        }
        source.abort();
        objects
    })
}
