//! Many objects for the API server.

use std::sync::{
    Arc,
    atomic::{AtomicU32, Ordering},
};

use anyhow::Result;
use harness::apiserver::{Client, api};
use kube::{api::PostParams, core::DynamicObject};
use serde_json::{Value, json};
use tokio::task::JoinSet;

use super::{objects, progress, writer};

/// Requests at a time.
const PARALLEL: u32 = 16;

/// Creates so many Services with their slices.
pub(super) fn fill(admin: &Client, services: u32) -> Result<()> {
    admin.session(async |client| {
        for index in 0..services.min(50) {
            let name = objects::name(index).namespace;
            let namespace = json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}});
            create(&client, &namespace).await?;
        }
        let done = Arc::new(AtomicU32::new(0));
        let mut workers = JoinSet::new();
        for worker in 0..PARALLEL {
            let share = (worker..services).step_by(PARALLEL as usize);
            workers.spawn(fill_share(client.clone(), share, services, Arc::clone(&done)));
        }
        while let Some(result) = workers.join_next().await {
            result??;
        }
        Ok(())
    })
}

async fn fill_share(
    client: kube::Client,
    share: impl Iterator<Item = u32>,
    all: u32,
    done: Arc<AtomicU32>,
) -> Result<()> {
    for index in share {
        create(&client, &writer::service(index)).await?;
        create(&client, &writer::slice(index)).await?;
        let done = done.fetch_add(1, Ordering::Relaxed) + 1;
        if done.is_multiple_of((all / 10).max(1)) {
            progress(&format!("API server: {done} of {all} Services created"));
        }
    }
    Ok(())
}

async fn create(client: &kube::Client, object: &Value) -> Result<()> {
    let dynamic: DynamicObject = serde_json::from_value(object.clone())?;
    let api = api(client.clone(), object)?;
    api.create(&PostParams::default(), &dynamic).await?;
    Ok(())
}
