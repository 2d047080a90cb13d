//! `--manifests DIR` with real files and the system's own file events.

use std::{fs, os::unix::fs::symlink, path::Path, time::Duration};

use anyhow::{Context, Result};
use proxy_agent::{
    metrics::Metrics,
    model::{Cluster, ClusterEvent, NodeContext, compute},
    source::manifests,
};
use tempfile::TempDir;
use tokio::{sync::mpsc, task::JoinHandle, time::timeout};

const PATIENCE: Duration = Duration::from_secs(20);

fn service(name: &str, port: &str) -> String {
    format!(
        "apiVersion: v1\nkind: Service\nmetadata: {{name: {name}}}\nspec:\n  clusterIP: 10.96.0.1\n  ports:\n  - port: {port}\n"
    )
}

/// Editors write beside the file and rename.
fn write(dir: &Path, name: &str, content: &str) -> Result<()> {
    let draft = dir.join(format!(".{name}.draft"));
    fs::write(&draft, content)?;
    Ok(fs::rename(draft, dir.join(name))?)
}

struct Watched {
    events: mpsc::UnboundedReceiver<ClusterEvent>,
    cluster: Cluster,
    task: JoinHandle<Result<(), manifests::ManifestsError>>,
}

impl Drop for Watched {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Watched {
    fn new(dir: &Path) -> Self {
        let (sender, events) = mpsc::unbounded_channel();
        let task = tokio::spawn(manifests::run(dir.to_owned(), Metrics::default(), sender));
        Self {
            events,
            cluster: Cluster::default(),
            task,
        }
    }

    /// Follows the events until the Services' ports are these.
    async fn until(&mut self, expected: &[u16]) -> Result<()> {
        timeout(PATIENCE, async {
            while !self.cluster.has_listed_all() || self.ports() != expected {
                let event = self.events.recv().await.context("the source ended")?;
                self.cluster.handle(event);
            }
            Ok(())
        })
        .await
        .with_context(|| format!("expected ports {expected:?}, have {:?}", self.ports()))?
    }

    fn ports(&self) -> Vec<u16> {
        self.cluster
            .services()
            .values()
            .map(|service| service.ports[0].port)
            .collect()
    }
}

#[tokio::test]
async fn files_that_are_written_renamed_and_deleted_are_followed() -> Result<()> {
    let dir = TempDir::new()?;
    write(dir.path(), "a.yaml", &service("a", "80"))?;
    let mut watched = Watched::new(dir.path());
    watched.until(&[80]).await?;

    fs::write(dir.path().join("b.yml"), service("b", "81"))?;
    watched.until(&[80, 81]).await?;
    write(dir.path(), "a.yaml", &service("a", "8080"))?;
    watched.until(&[8080, 81]).await?;
    fs::remove_file(dir.path().join("a.yaml"))?;
    watched.until(&[81]).await
}

#[tokio::test]
async fn without_an_api_server_there_is_no_mesh_and_pods_connections_are_translated_at_connect() -> Result<()>
{
    let dir = TempDir::new()?;
    write(dir.path(), "a.yaml", &service("a", "80"))?;
    let mut watched = Watched::new(dir.path());
    watched.until(&[80]).await?;
    let desired = compute(&watched.cluster, &NodeContext::default());
    assert!(desired.node.pod_sockets.at_connect());
    Ok(())
}

#[tokio::test]
async fn a_broken_file_changes_nothing_and_its_mending_is_seen() -> Result<()> {
    let dir = TempDir::new()?;
    write(dir.path(), "a.yaml", &service("a", "80"))?;
    let mut watched = Watched::new(dir.path());
    watched.until(&[80]).await?;

    write(dir.path(), "a.yaml", &service("a", "eighty"))?;
    write(dir.path(), "b.yaml", &service("b", "81"))?;
    watched.until(&[80, 81]).await?;
    write(dir.path(), "a.yaml", &service("a", "82"))?;
    watched.until(&[82, 81]).await
}

#[tokio::test]
async fn a_config_map_mount_that_swaps_its_link_is_followed() -> Result<()> {
    let dir = TempDir::new()?;
    for (version, port) in [("..v1", "80"), ("..v2", "81")] {
        fs::create_dir(dir.path().join(version))?;
        fs::write(dir.path().join(version).join("a.yaml"), service("a", port))?;
    }
    symlink("..v1", dir.path().join("..data"))?;
    symlink("..data/a.yaml", dir.path().join("a.yaml"))?;
    let mut watched = Watched::new(dir.path());
    watched.until(&[80]).await?;

    symlink("..v2", dir.path().join("..data_tmp"))?;
    fs::rename(dir.path().join("..data_tmp"), dir.path().join("..data"))?;
    watched.until(&[81]).await
}

#[tokio::test]
async fn a_directory_that_is_replaced_is_followed_on() -> Result<()> {
    let parent = TempDir::new()?;
    let dir = parent.path().join("manifests");
    fs::create_dir(&dir)?;
    write(&dir, "a.yaml", &service("a", "80"))?;
    let mut watched = Watched::new(&dir);
    watched.until(&[80]).await?;

    fs::rename(&dir, parent.path().join("old"))?;
    // Long enough that the source has looked in vain at least once, mostly; either way it must go on.
    tokio::time::sleep(Duration::from_millis(300)).await;
    fs::create_dir(&dir)?;
    write(&dir, "a.yaml", &service("a", "81"))?;
    watched.until(&[81]).await?;
    write(&dir, "a.yaml", &service("a", "82"))?;
    watched.until(&[82]).await
}

#[tokio::test]
async fn the_source_ends_when_nobody_receives_even_if_nothing_changes() -> Result<()> {
    let dir = TempDir::new()?;
    let (sender, mut events) = mpsc::unbounded_channel();
    let task = tokio::spawn(manifests::run(dir.path().to_owned(), Metrics::default(), sender));
    for _ in 0..3 {
        timeout(PATIENCE, events.recv())
            .await?
            .context("one list of each kind")?;
    }
    drop(events);
    Ok(timeout(PATIENCE, task).await???)
}

#[tokio::test]
async fn a_missing_directory_is_an_error_that_names_the_flag() {
    let (sender, _events) = mpsc::unbounded_channel();
    let error = manifests::run("/nowhere/manifests".into(), Metrics::default(), sender)
        .await
        .expect_err("it does not exist");
    assert_eq!(
        error.to_string(),
        "--manifests /nowhere/manifests: No such file or directory (os error 2); create the directory or correct the flag"
    );
}

#[tokio::test]
async fn manifests_become_what_the_node_shall_do() -> Result<()> {
    let dir = TempDir::new()?;
    let slice = "apiVersion: discovery.k8s.io/v1\nkind: EndpointSlice\nmetadata:\n  name: a-1\n  labels: \
                 {kubernetes.io/service-name: a}\naddressType: IPv4\nports: [{name: '', port: 8080}]\nendpoints:\n\
                 - addresses: [10.0.0.1]\n";
    write(
        dir.path(),
        "a.yaml",
        &format!("{}---\n{slice}", service("a", "80")),
    )?;
    let mut watched = Watched::new(dir.path());
    watched.until(&[80]).await?;
    let desired = compute(&watched.cluster, &NodeContext::default());
    let endpoints: Vec<_> = desired.lists.values().flat_map(|list| &list.endpoints).collect();
    assert_eq!((endpoints.len(), endpoints[0].port), (1, 8080));
    Ok(())
}
