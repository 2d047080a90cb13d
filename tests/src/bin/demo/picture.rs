//! The topology in characters.

use std::time::Duration;

use harness::topology::{Host, Node};
use proxy_agent::model::Family;

use crate::{paint, stage::Stage};

/// Inner width of a node's box.
const WIDTH: usize = 46;

/// Prints who stands where, and the Service.
pub(crate) fn print(stage: &Stage, took: Duration) {
    let topology = &stage.world.topology;
    println!(
        "{}",
        paint::heading("kube-portal demo: two nodes, six pods, no kube-proxy, no iptables rule")
    );
    println!(
        "{}",
        paint::dim(&format!(
            "network namespaces on this machine, ready in {:.1} s",
            took.as_secs_f32()
        ))
    );
    println!();
    println!(
        "  client {}   outside: knows the LAN, has no route to pods",
        topology.client.ip(Family::V4)
    );
    println!("    │");
    println!(
        "  ══╧═════════════════════╤═════════════ LAN 192.168.50.0/24 ══════════════╤═══════════════════════"
    );
    println!("                          │                                                │");
    print_nodes(stage, &topology.nodes);
    println!();
    println!("  Service {}   ● endpoint", paint::heading(&stage.service.id()));
    println!(
        "    ClusterIP {}, {}",
        stage.cluster_ip(Family::V4),
        stage.cluster_ip(Family::V6)
    );
    println!(
        "    NodePort  {} on every node",
        stage.node_port(Family::V4).port()
    );
}

fn print_nodes(stage: &Stage, [one, two]: &[Node; 2]) {
    let join = |left: String, right: String| println!("  {left} {right}");
    join(lid(&one.host), lid(&two.host));
    for (left, right) in one.pods.iter().zip(&two.pods) {
        join(side(stage, left), side(stage, right));
    }
    let bottom = || format!("└{}┘", "─".repeat(WIDTH));
    join(bottom(), bottom());
}

fn lid(node: &Host) -> String {
    let title = format!(" {} {}, {} ", node.name, node.ip(Family::V4), node.ip(Family::V6));
    format!("┌{title:─^WIDTH$}┐")
}

fn side(stage: &Stage, pod: &Host) -> String {
    let mark = if stage.endpoints().iter().any(|endpoint| endpoint.name == pod.name) {
        '●'
    } else {
        ' '
    };
    let (v4, v6) = (pod.ip(Family::V4).to_string(), pod.ip(Family::V6).to_string());
    format!("│{:WIDTH$}│", format!(" {mark} {:8} {v4:16} {v6}", pod.name))
}
