//! `--keep`: how to look around.

use std::{thread, time::Duration};

use anyhow::Result;
use harness::agent::binary;
use proxy_agent::model::Family;

use crate::{kernel, paint, signals, stage::Stage};

/// Prints commands that work as they stand and waits for Ctrl-C.
pub(crate) fn print_and_wait(stage: &Stage) -> Result<()> {
    print(stage)?;
    while signals::check().is_ok() {
        thread::sleep(Duration::from_millis(100));
    }
    Ok(())
}

fn print(stage: &Stage) -> Result<()> {
    let topology = &stage.world.topology;
    let [node, _] = &topology.nodes;
    println!(
        "\n{}",
        paint::heading("Look around (as root, in another terminal)")
    );
    let shell = node.pods[2].ns.name();
    command(
        "ask the Service from a pod",
        &format!("ip netns exec {shell} curl {}", stage.cluster_ip(Family::V4)),
    );
    command(
        "over IPv6",
        &format!(
            "ip netns exec {shell} curl 'http://{}'",
            stage.cluster_ip(Family::V6)
        ),
    );
    let client = topology.client.ns.name();
    command(
        "from outside",
        &format!("ip netns exec {client} curl {}", stage.node_port(Family::V4)),
    );
    command(
        "change the Service",
        &format!(
            "editor {}",
            stage.world.manifests.path(&stage.service.name).display()
        ),
    );
    let (portal, root) = (binary()?, stage.agent().pin_root().to_owned());
    let inspect = format!("{} inspect --pin-root {} flows", portal.display(), root.display());
    command("see the flows of node1", &inspect);
    let map = kernel::pinned(stage, "FRONTENDS4")?;
    command(
        "the same with bpftool",
        &format!("bpftool map dump pinned {}", map.display()),
    );
    let name = node.host.ns.name();
    command("the programs", "bpftool prog show name tc_ingress");
    command(
        "packets at node1",
        &format!("nsenter --net=/run/netns/{name} tcpdump -ni any port 80"),
    );
    println!("\nEverything stands until Ctrl-C.");
    Ok(())
}

fn command(what: &str, line: &str) {
    println!("\n  {}\n    {line}", paint::dim(what));
}
