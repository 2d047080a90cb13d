//! `NODE_ADDRESSES`: which of the node's addresses serve NodePorts.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::IpAddr,
};

use proxy_common::{Addr4, Addr6, Address};

use super::{maps::MapError, reconcile::Maps};
use crate::model::{Family, Masquerade, NodeRules};

/// Follows the node's addresses and what the flags and the Node object say about them.
#[derive(Debug, Default)]
pub(super) struct NodeAddresses {
    local: BTreeSet<IpAddr>,
    rules: Option<NodeRules>,
}

impl NodeAddresses {
    /// The addresses that the node has.
    pub(super) fn set_local(&mut self, local: BTreeSet<IpAddr>) {
        self.local = local;
    }

    /// Which of them serve NodePorts.
    pub(super) fn set_rules(&mut self, rules: &NodeRules) {
        if self.rules.as_ref() != Some(rules) {
            warn_of_limits(rules);
            self.rules = Some(rules.clone());
        }
    }

    /// Makes the maps say so. As long as nobody has said which, those of an earlier run stay.
    pub(super) fn write(&self, maps: &mut Maps) -> Result<(), MapError> {
        if self.rules.is_none() {
            return Ok(());
        }
        let v4 = maps.v4.node_addresses.replace(&self.serving::<Addr4>());
        v4.and(maps.v6.node_addresses.replace(&self.serving::<Addr6>()))
    }

    fn serving<A: Address>(&self) -> BTreeMap<A, u32> {
        let serves = |address: &&IpAddr| {
            let rules = self.rules.as_ref();
            rules.is_some_and(|rules| rules.of(Family::of(**address)).node_ports.serves(**address))
        };
        let serving = self.local.iter().filter(serves);
        serving
            .filter_map(|address| Some((A::from_ip(*address)?, 1)))
            .collect()
    }
}

fn warn_of_limits(rules: &NodeRules) {
    if Family::ALL
        .iter()
        .any(|family| rules.of(*family).masquerade == Masquerade::OffCluster)
    {
        tracing::warn!(
            "clients from outside of the cluster keep their address at cluster IPs: the BPF programs do not tell them from pods \
             yet (--masquerade-all replaces everyone's)"
        );
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{FamilyRules, NodePorts};

    fn addresses(texts: &[&str]) -> BTreeSet<IpAddr> {
        texts.iter().map(|text| text.parse().unwrap()).collect()
    }

    #[test]
    fn only_addresses_that_the_rules_name_serve_and_before_there_are_rules_none_is_written() {
        let mut node = NodeAddresses::default();
        node.set_local(addresses(&["192.168.0.2", "10.0.0.2", "fd00::2"]));
        assert!(node.serving::<Addr4>().is_empty());
        node.set_rules(&NodeRules::default());
        assert_eq!(
            (node.serving::<Addr4>().len(), node.serving::<Addr6>().len()),
            (2, 1)
        );
        node.set_rules(&NodeRules {
            v4: FamilyRules {
                node_ports: NodePorts::Within(vec!["10.0.0.0/8".parse().unwrap()]),
                ..FamilyRules::default()
            },
            ..NodeRules::default()
        });
        let expected = Addr4::from_ip("10.0.0.2".parse().unwrap()).unwrap();
        assert_eq!(node.serving::<Addr4>(), [(expected, 1)].into());
        node.set_local(addresses(&["10.0.0.3"]));
        assert!(!node.serving::<Addr4>().contains_key(&expected));
    }
}
