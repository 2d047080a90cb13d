//! Who sends a packet.

use ipnet::IpNet;
use proxy_agent::model::DetectLocal;

use super::answer::{Met, Walk};

#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Client {
    Pod,
    Node,
    External,
}

/// How local pods are known.
pub(super) enum Pods<'a> {
    Unknown,
    From(IpNet),
    By(Box<dyn Fn(&str) -> bool + 'a>),
}

impl<'a> Walk<'a> {
    pub(super) fn client(&self, met: &mut Met) -> Client {
        let source = self.packet.source;
        let is_pod = match self.pods(met) {
            Pods::Unknown => false,
            Pods::From(range) => range.contains(&source),
            Pods::By(matches) => self.packet.interface.as_deref().is_some_and(matches),
        };
        let (client, word) = match (is_pod, self.packet.is_node(source)) {
            (true, _) => (Client::Pod, "a pod asks"),
            (false, true) => (Client::Node, "the node asks"),
            (false, false) => (Client::External, "someone outside asks"),
        };
        met.insert(word);
        client
    }

    pub(super) fn pods(&self, met: &mut Met) -> Pods<'a> {
        let by_range = |ranges: &[IpNet], met: &mut Met| {
            let is_same_family = |range: &&IpNet| range.addr().is_ipv4() == self.packet.source.is_ipv4();
            let first = ranges.iter().find(is_same_family);
            met.insert(if first.is_some() {
                "pods are a range"
            } else {
                "pods are unknown"
            });
            first.map_or(Pods::Unknown, |range| Pods::From(*range))
        };
        let by_name = |word, matches: Box<dyn Fn(&str) -> bool + 'a>, met: &mut Met| {
            met.insert(word);
            Pods::By(matches)
        };
        match &self.world.context.detect_local {
            DetectLocal::ClusterCidr(ranges) => by_range(ranges, met),
            DetectLocal::NodeCidr => {
                met.insert("pods are the Node's ranges");
                by_range(self.own_node().map_or(&[], |node| &node.pod_cidrs), met)
            }
            DetectLocal::BridgeInterface(bridge) => {
                by_name("pods come by a bridge", Box::new(move |name| name == bridge), met)
            }
            DetectLocal::InterfaceNamePrefix(prefix) => by_name(
                "pods come by a prefix",
                Box::new(move |name| name.starts_with(prefix)),
                met,
            ),
        }
    }
}
