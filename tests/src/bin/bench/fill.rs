//! Many objects for the API server.

use std::{
    ops::Range,
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering},
    },
};

use anyhow::Result;
use harness::{
    apiserver::{Client, api},
    signals,
};
use kube::{api::PostParams, core::DynamicObject};
use serde_json::{Value, json};
use tokio::task::JoinSet;

use crate::progress::progress;

/// Requests at a time.
const PARALLEL: u32 = 16;

/// What there is of one Service.
pub(crate) type Documents = fn(u32) -> [Value; 2];

/// Creates these namespaces of Kubernetes, and the documents of each Service in `range`.
pub(crate) fn fill(
    admin: &Client,
    namespaces: &[String],
    range: &Range<u32>,
    documents: Documents,
) -> Result<()> {
    admin.session(async |client| {
        for name in namespaces {
            let namespace = json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}});
            create(&client, &namespace).await?;
        }
        let done = Arc::new(AtomicU32::new(0));
        let mut workers = JoinSet::new();
        for worker in 0..PARALLEL {
            let share = (range.start + worker..range.end).step_by(PARALLEL as usize);
            let all = range.end - range.start;
            workers.spawn(fill_share(
                client.clone(),
                share,
                documents,
                all,
                Arc::clone(&done),
            ));
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
    documents: Documents,
    all: u32,
    done: Arc<AtomicU32>,
) -> Result<()> {
    for index in share {
        signals::check()?;
        for document in documents(index) {
            create(&client, &document).await?;
        }
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
