//! Where UDP flows to Services may go on to. kube-proxy asks whether an endpoint serves; here it is whether anybody is sent there.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::SocketAddr,
};

use crate::model::{Desired, Family, Frontend, FrontendAddress, FrontendKey, Protocol, Scope};

/// Where flows to the addresses of UDP Services may go.
#[derive(Debug, Default)]
pub(super) struct Wanted {
    addresses: BTreeMap<SocketAddr, BTreeSet<SocketAddr>>,
    /// By port alone, on whichever address.
    node_ports: BTreeMap<u16, BTreeSet<SocketAddr>>,
}

impl Wanted {
    pub(super) fn of(desired: &Desired, family: Family) -> Self {
        Self::of_frontends(desired, family, desired.frontends.iter())
    }

    /// To these frontends alone.
    pub(super) fn of_those(desired: &Desired, family: Family, keys: &BTreeSet<FrontendKey>) -> Self {
        let frontends = keys.iter();
        let known = frontends.filter_map(|key| Some((key, desired.frontends.get(key)?)));
        Self::of_frontends(desired, family, known)
    }

    fn of_frontends<'d>(
        desired: &Desired,
        family: Family,
        frontends: impl Iterator<Item = (&'d FrontendKey, &'d Frontend)>,
    ) -> Self {
        let mut wanted = Self::default();
        let of_family = |key: &FrontendKey| key.protocol == Protocol::Udp && key.address.family() == family;
        for (key, frontend) in frontends.filter(|(key, _)| of_family(key)) {
            let endpoints = endpoints(desired, family, frontend);
            match key.address {
                FrontendAddress::Ip(address) => {
                    wanted.addresses.insert((address, key.port).into(), endpoints);
                }
                FrontendAddress::AnyNode(_) => {
                    wanted.node_ports.insert(key.port, endpoints);
                }
            }
        }
        wanted
    }

    pub(super) fn has_address(&self, address: SocketAddr) -> bool {
        self.addresses.contains_key(&address)
    }

    pub(super) fn has_node_port(&self, port: u16) -> bool {
        self.node_ports.contains_key(&port)
    }

    pub(super) fn is_empty(&self) -> bool {
        self.addresses.is_empty() && self.node_ports.is_empty()
    }

    /// Whether a flow is to a Service, and answered by none of its endpoints.
    pub(super) fn is_misled(&self, destination: SocketAddr, answerer: SocketAddr) -> bool {
        let by_address = self.addresses.get(&destination);
        let endpoints = by_address.or_else(|| self.node_ports.get(&destination.port()));
        endpoints.is_some_and(|endpoints| !endpoints.contains(&answerer))
    }
}

fn endpoints(desired: &Desired, family: Family, frontend: &Frontend) -> BTreeSet<SocketAddr> {
    let lists = [Scope::Cluster, Scope::Local].map(|scope| frontend.list_key(family, scope));
    let lists = lists.iter().filter_map(|key| desired.lists.get(key));
    let endpoints = lists.flat_map(|list| &list.endpoints);
    endpoints
        .map(|endpoint| (endpoint.address, endpoint.port).into())
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn set(endpoints: &[&str]) -> BTreeSet<SocketAddr> {
        endpoints
            .iter()
            .map(|endpoint| endpoint.parse().unwrap())
            .collect()
    }

    #[test]
    fn flows_to_services_are_misled_unless_one_of_the_endpoints_answers() {
        let wanted = Wanted {
            addresses: [
                (
                    "10.96.0.10:53".parse().unwrap(),
                    set(&["10.1.0.2:5353", "10.1.0.3:5353"]),
                ),
                ("10.96.0.11:53".parse().unwrap(), set(&[])),
            ]
            .into(),
            node_ports: [(30_053, set(&["10.1.0.2:5353"]))].into(),
        };
        for (destination, answerer, is_misled) in [
            ("10.96.0.10:53", "10.1.0.3:5353", false),
            ("10.96.0.10:53", "10.1.0.4:5353", true),
            // Sent before there was an endpoint, or after the last one had gone.
            ("10.96.0.10:53", "10.96.0.10:53", true),
            ("10.96.0.11:53", "10.1.0.2:5353", true),
            ("10.96.0.10:54", "10.1.0.4:5353", false),
            ("192.168.0.2:30053", "10.1.0.2:5353", false),
            ("192.168.0.2:30053", "10.1.0.3:5353", true),
            ("8.8.8.8:53", "8.8.8.8:53", false),
        ] {
            let flow = [destination, answerer].map(|end| end.parse().unwrap());
            assert_eq!(wanted.is_misled(flow[0], flow[1]), is_misled, "{flow:?}");
        }
    }
}
