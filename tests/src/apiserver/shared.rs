//! One cluster for all tests that leave its API server alone: starting that takes longer than most of them.

use std::sync::Arc;

use super::{Cluster, binaries};
use crate::once::Once;

static CLUSTER: Once<Cluster> = Once::new();

/// The cluster of this process; `None`, after printing that `test` is skipped, without the programs.
///
/// # Panics
///
/// When it cannot be built.
#[must_use]
pub fn shared(test: &str) -> Option<Arc<Cluster>> {
    let binaries = binaries::find(test)?;
    match CLUSTER.get(tear_down, || Cluster::start(&binaries)) {
        Ok(cluster) => Some(cluster),
        Err(error) => panic!("no cluster to test in: {error}"),
    }
}

extern "C" fn tear_down() {
    CLUSTER.clear();
}
