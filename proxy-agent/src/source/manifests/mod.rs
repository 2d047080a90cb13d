//! `--manifests DIR`: the cluster from YAML and JSON files, followed live.
//!
//! ```text
//! notify ─▶ settle ─▶ files::read ─▶ text::split ─▶ document::read ─▶ shelf (last good versions, differences) ─▶ EventSender
//! ```
//!
//! Every change re-reads the whole directory: it is small, and a directory's state is easier to trust than its events.

use std::{
    collections::BTreeSet,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use notify::{
    EventKind, RecommendedWatcher, RecursiveMode, Watcher,
    event::{AccessKind, AccessMode},
};
use tokio::{
    sync::Notify,
    time::{Instant, sleep, timeout},
};

use super::{EventSender, weight_faults::WeightFaults};
use crate::{metrics::Metrics, model::ClusterEvent};

mod document;
mod error;
mod files;
mod shelf;
mod text;

pub use error::{DocumentError, ManifestsError};
use shelf::{File, Reading, Shelf};

/// A change is acted on after this long without another: editors and `kubectl` write in several steps.
const QUIET: Duration = Duration::from_millis(50);

/// A directory that never becomes quiet is read this often.
const LONGEST_WAIT: Duration = Duration::from_secs(1);

/// A directory that has vanished is looked for this often.
const RETRY: Duration = Duration::from_secs(1);

/// Sends that there is no service mesh, a `Replace` of each kind, and from then on what changes in `dir`. Ends well when nobody receives
/// any more.
///
/// Broken documents are logged and counted, and cost only themselves. A directory that vanishes later is waited for.
///
/// # Errors
/// If `dir` cannot be listed at the start, or the system refuses to watch it.
pub async fn run(dir: PathBuf, metrics: Metrics, events: EventSender) -> Result<(), ManifestsError> {
    let changed = Arc::new(Notify::new());
    let mut watcher = watcher(&changed).map_err(|source| watch_error(&dir, source))?;
    let mut shelf = Shelf::default();
    let mut journal = Journal::default();
    let mut faults = WeightFaults::new(metrics.clone());
    let mut files = look(&mut watcher, &dir).await?;
    // Without an API server, nobody can have installed one.
    if events.send(ClusterEvent::MeshGroups(BTreeSet::new())).is_err() {
        return Ok(());
    }
    loop {
        let mut reading = shelf.read(&files);
        for event in std::mem::take(&mut reading.events) {
            faults.tell(&event);
            if events.send(event).is_err() {
                return Ok(());
            }
        }
        metrics.set_malformed_documents(reading.errors.len());
        journal.tell(reading);
        tokio::select! {
            () = settle(&changed) => {}
            () = events.closed() => return Ok(()),
        }
        files = look_until_it_works(&mut watcher, &dir).await;
    }
}

async fn look_until_it_works(watcher: &mut RecommendedWatcher, dir: &Path) -> Vec<File> {
    let mut is_told = false;
    loop {
        match look(watcher, dir).await {
            Ok(files) => return files,
            Err(error) if !is_told => tracing::error!("{error}; until then everything stays as it was"),
            Err(_) => {}
        }
        is_told = true;
        sleep(RETRY).await;
    }
}

/// Watches, then reads, so that no change falls between. The directory may have been replaced, so it is watched anew each time;
/// watching it twice changes nothing.
async fn look(watcher: &mut RecommendedWatcher, dir: &Path) -> Result<Vec<File>, ManifestsError> {
    let watched = watcher.watch(dir, RecursiveMode::NonRecursive);
    let files = read(dir).await?;
    watched.map_err(|source| watch_error(dir, source))?;
    Ok(files)
}

async fn read(dir: &Path) -> Result<Vec<File>, ManifestsError> {
    let path = dir.to_owned();
    let read = tokio::task::spawn_blocking(move || files::read(&path)).await;
    let read = read.unwrap_or_else(|panic| Err(std::io::Error::other(panic)));
    read.map_err(|source| ManifestsError::Directory {
        dir: dir.to_owned(),
        source,
    })
}

fn watch_error(dir: &Path, source: notify::Error) -> ManifestsError {
    ManifestsError::Watch {
        dir: dir.to_owned(),
        source,
    }
}

fn watcher(changed: &Arc<Notify>) -> notify::Result<RecommendedWatcher> {
    let changed = Arc::clone(changed);
    notify::recommended_watcher(move |event: notify::Result<notify::Event>| {
        if event.is_ok_and(|event| is_only_a_look(event.kind)) {
            return;
        }
        changed.notify_one();
    })
}

/// Our own reading causes such events, too.
fn is_only_a_look(kind: EventKind) -> bool {
    match kind {
        EventKind::Access(AccessKind::Close(AccessMode::Write)) => false,
        EventKind::Access(_) => true,
        _ => false,
    }
}

/// Waits for a change and then for quiet.
async fn settle(changed: &Notify) {
    changed.notified().await;
    let latest = Instant::now() + LONGEST_WAIT;
    while Instant::now() < latest && timeout(QUIET, changed.notified()).await.is_ok() {}
}

/// Says everything once, not at every reading.
#[derive(Debug, Default)]
struct Journal {
    errors: BTreeSet<DocumentError>,
    duplicates: BTreeSet<String>,
    other_kinds: BTreeSet<String>,
}

impl Journal {
    fn tell(&mut self, reading: Reading) {
        let errors: BTreeSet<_> = reading.errors.into_iter().collect();
        for error in errors.difference(&self.errors) {
            tracing::error!("{error}");
        }
        if errors.is_empty() && !self.errors.is_empty() {
            tracing::info!("every document of the manifests can be used again");
        }
        self.errors = errors;
        let duplicates: BTreeSet<_> = reading.duplicates.into_iter().collect();
        for duplicate in duplicates.difference(&self.duplicates) {
            tracing::warn!("{duplicate}");
        }
        self.duplicates = duplicates;
        for kind in reading.other_kinds {
            if self.other_kinds.insert(kind.clone()) {
                tracing::info!("manifests of kind {kind} are skipped: a Service proxy has no use for them");
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn only_writing_wakes_the_source_not_its_own_reading() -> anyhow::Result<()> {
        let dir = tempfile::TempDir::new()?;
        std::fs::write(dir.path().join("a.yaml"), "")?;
        let changed = Arc::new(Notify::new());
        let mut watcher = watcher(&changed)?;
        watcher.watch(dir.path(), RecursiveMode::NonRecursive)?;

        files::read(dir.path())?;
        let woken = timeout(QUIET * 6, changed.notified()).await;
        assert!(woken.is_err(), "reading alone must not count as a change");

        std::fs::write(dir.path().join("a.yaml"), "a: 1")?;
        timeout(Duration::from_secs(20), changed.notified()).await?;
        Ok(())
    }
}
