//! From manifests to what the BPF maps hold, in words: each `scenarios/NAME.yaml` beside the `NAME.txt` that it leads to.

use std::{fmt::Write as _, fs, net::SocketAddr, path::Path, time::Duration};

use anyhow::{Context, Result};
use proxy_agent::{
    dataplane::bpf::{
        encode::{Contents, FamilyContents, encode},
        ids::Ids,
    },
    model::{Cluster, NodeContext, compute},
    source::manifests,
};
use proxy_common::{Address, Frontend, FrontendFlags};
use tempfile::TempDir;
use tokio::{sync::mpsc, time::timeout};

const PATIENCE: Duration = Duration::from_secs(20);

#[tokio::test]
async fn a_node_port_shares_the_endpoints_of_its_cluster_ip() -> Result<()> {
    scenario("node_port_with_three_endpoints").await
}

#[tokio::test]
async fn a_cluster_ip_is_spread_over_its_endpoints_in_the_order_of_their_addresses() -> Result<()> {
    scenario("cluster_ip_with_four_endpoints").await
}

#[tokio::test]
async fn what_the_programs_cannot_serve_is_left_out_and_named() -> Result<()> {
    scenario("what_is_not_served").await
}

async fn scenario(name: &str) -> Result<()> {
    let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/scenarios");
    let cluster = read(&dir.join(format!("{name}.yaml"))).await?;
    let node = NodeContext {
        name: "here".to_owned(),
        ..NodeContext::default()
    };
    let contents = encode(&compute(&cluster, &node), &mut Ids::default());
    let expected = fs::read_to_string(dir.join(format!("{name}.txt")))?;
    assert_eq!(in_words(&contents)?, expected);
    Ok(())
}

async fn read(manifest: &Path) -> Result<Cluster> {
    let dir = TempDir::new()?;
    fs::copy(manifest, dir.path().join("scenario.yaml"))?;
    let (sender, mut events) = mpsc::unbounded_channel();
    let source = tokio::spawn(manifests::run(dir.path().to_owned(), sender));
    let mut cluster = Cluster::default();
    while !cluster.has_listed_all() {
        let event = timeout(PATIENCE, events.recv()).await?;
        cluster.handle(event.context("the source ended")?);
    }
    source.abort();
    Ok(cluster)
}

fn in_words(contents: &Contents) -> Result<String> {
    let mut text = String::new();
    for (id, name) in &contents.services {
        writeln!(
            text,
            "service {id}: {}, protocol {}",
            name.text(),
            name.protocol()
        )?;
    }
    family(&mut text, "IPv4", &contents.v4)?;
    family(&mut text, "IPv6", &contents.v6)?;
    for unserved in contents.unserved.values() {
        writeln!(text, "{unserved}")?;
    }
    Ok(text)
}

fn family<A: Address>(text: &mut String, family: &str, contents: &FamilyContents<A>) -> Result<()> {
    for (key, frontend) in &contents.frontends {
        let at = SocketAddr::new(key.address().to_ip(), key.port().get());
        write!(text, "{family} {at} protocol {}: ", key.protocol())?;
        writeln!(text, "{}", frontend_in_words(frontend))?;
    }
    for (list, endpoints) in &contents.lists {
        for (slot, endpoint) in endpoints.iter().enumerate() {
            let at = SocketAddr::new(endpoint.address().to_ip(), endpoint.port().get());
            writeln!(text, "{family} list {list} slot {slot}: {at}")?;
        }
    }
    Ok(())
}

fn frontend_in_words(frontend: &Frontend) -> String {
    let mut words = vec![format!("service {}", frontend.service())];
    words.extend(frontend.kind().map(|kind| format!("{kind:?}")));
    for (flag, meaning) in [
        (FrontendFlags::MASQUERADE, "masquerade everyone"),
        (FrontendFlags::LOCAL, "local endpoints only"),
        (FrontendFlags::SILENT, "silent if empty"),
    ] {
        if frontend.flags().has(flag) {
            words.push(meaning.to_owned());
        }
    }
    let (list, len) = frontend.list();
    words.push(format!("list {list} of {len}"));
    words.join(", ")
}
