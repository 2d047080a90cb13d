//! The iptables rules that are rendered for what the model says.
//!
//! ```text
//! golden/CLUSTER.yaml ─▶ Cluster ─compute─▶ Desired ─▶ Renderer ══ golden/SCENARIO.rules
//! random clusters, one after the other ─▶ Plan ─▶ Desired, Delta ─▶ Renderer ══ a new Renderer
//!                                                                      └─ partial texts ─▶ chains ══ chains of the full text
//! ```

mod chains;
mod changes;
mod golden;

use proxy_agent::{
    dataplane::iptables::render::{Renderer, Settings},
    model::{Desired, Family},
};

/// As kube-proxy is set without flags, on a kernel that has all that it likes to have.
fn settings(family: Family) -> Settings {
    Settings {
        family,
        only: None,
        mark: 1 << 14,
        random_fully: false,
        localhost_node_ports: true,
        drops_invalid: true,
        invalid_counter: true,
        localhost_counter: true,
    }
}

fn rendered(settings: Settings, desired: &Desired) -> Renderer {
    let addresses = [
        "127.0.0.1",
        "192.168.0.2",
        "192.168.1.2",
        "::1",
        "2001:db8::1",
        "2001:db8::2",
    ];
    let addresses = addresses.map(|address| address.parse().expect("an address"));
    let mut renderer = Renderer::new(settings);
    renderer.render_all(desired, &addresses);
    renderer
}
