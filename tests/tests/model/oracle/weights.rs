//! How new flows are shared out.

use proxy_agent::model::{EndpointSelector, Service, SliceEndpoint};

use super::{
    answer::{Met, Walk},
    endpoints::Entry,
};

impl<'a> Walk<'a> {
    /// Those that get new flows, with their weights: 0 means none, unless all have it.
    pub(super) fn weighted(
        &self,
        service: &Service,
        chosen: &[Entry<'a>],
        met: &mut Met,
    ) -> Vec<(Entry<'a>, u16)> {
        let weigh = |entry: &Entry<'a>| (*entry, self.weight(service, entry.said));
        let mut weighted: Vec<(Entry<'a>, u16)> = chosen.iter().map(weigh).collect();
        let zeros = weighted.iter().filter(|(_, weight)| *weight == 0).count();
        if zeros == weighted.len() {
            met.insert("all weights are 0");
            weighted.iter_mut().for_each(|(_, weight)| *weight = 1);
        } else if zeros > 0 {
            met.insert("some weights are 0");
        } else if weighted.iter().any(|(_, weight)| *weight != weighted[0].1) {
            met.insert("unequal weights");
        }
        weighted.retain(|(_, weight)| *weight > 0);
        weighted
    }

    fn weight(&self, service: &Service, said: &SliceEndpoint) -> u16 {
        for rule in self.world.weights.get(&service.name).into_iter().flatten() {
            let is_meant = match &rule.selector {
                EndpointSelector::All => true,
                EndpointSelector::Network(network) => network.contains(&said.address),
                EndpointSelector::Pod(name) => said.pod.as_deref() == Some(name),
                EndpointSelector::PodPrefix(start) => {
                    said.pod.iter().any(|pod| pod.starts_with(start.as_str()))
                }
                EndpointSelector::Node(name) => said.node_name.as_deref() == Some(name),
            };
            if is_meant {
                return rule.weight;
            }
        }
        1
    }
}
