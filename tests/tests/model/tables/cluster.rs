//! A cluster from YAML, as the agent reads it.

use harness::manifests;
use proxy_agent::model::Cluster;

/// The objects of a file with many documents.
pub(crate) fn read(yaml: &str) -> Cluster {
    manifests::cluster(manifests::objects(yaml).expect("the manifests can be read"))
}
