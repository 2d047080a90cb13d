//! curl, as the documentation of every Service tells people to use it.

use std::net::IpAddr;

use harness::{
    exec,
    skip::skipped,
    topology::Host,
    traffic::Role,
    world::{Variant, shared_with_sockets},
};

for_each_tcp!(curl_on_the_node_and_in_a_pod_gets_the_page);

fn curl_on_the_node_and_in_a_pod_gets_the_page(variant: Variant) {
    let world = shared_with_sockets();
    let [one, two] = &world.topology.nodes;
    let service = world.publish_role(variant, &[&two.pods[0]], Role::Http).unwrap();
    let url = match service.vip().ip() {
        IpAddr::V4(ip) => format!("http://{ip}"),
        IpAddr::V6(ip) => format!("http://[{ip}]"),
    };
    for client in [&one.host, &one.pods[2]] {
        let Some(page) = curl(client, &url) else {
            skipped(
                "curl_on_the_node_and_in_a_pod_gets_the_page",
                "curl is not installed",
            );
            return;
        };
        assert!(page.contains(&format!("Server: {}", two.pods[0].name)), "{page}");
    }
}

/// The page with its headers.
fn curl(client: &Host, url: &str) -> Option<String> {
    exec::output(std::process::Command::new("curl").arg("--version")).ok()?;
    let mut curl = client.ns.command("curl");
    let flags = [
        "--silent",
        "--show-error",
        "--include",
        "--noproxy",
        "*",
        "--max-time",
        "3",
    ];
    Some(exec::output(curl.args(flags).arg(url)).unwrap())
}
