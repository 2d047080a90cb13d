//! Where UDP flows to Services may go on to. kube-proxy asks whether an endpoint serves; here it is whether anybody is sent there.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::{IpAddr, SocketAddr},
};

use ipnet::IpNet;

use crate::model::{Desired, Family, Frontend, FrontendAddress, FrontendKey, Protocol, Scope, WhenEmpty};

/// Where flows to the addresses of UDP Services may go.
#[derive(Debug, Default)]
pub(super) struct Wanted {
    addresses: BTreeMap<SocketAddr, Served>,
    /// By port alone, on whichever address of the family.
    node_ports: BTreeMap<(Family, u16), Served>,
}

/// Where flows to one frontend may go.
#[derive(Debug, Default)]
struct Served {
    endpoints: BTreeSet<SocketAddr>,
    /// The addresses by which the node's processes get an endpoint or a refusal, if it is not all.
    heard: Option<Vec<IpNet>>,
}

impl Wanted {
    pub(super) fn of(desired: &Desired) -> Self {
        Self::of_frontends(desired, desired.frontends.iter())
    }

    /// To these frontends alone.
    pub(super) fn of_those(desired: &Desired, keys: &BTreeSet<FrontendKey>) -> Self {
        let frontends = keys.iter();
        let known = frontends.filter_map(|key| Some((key, desired.frontends.get(key)?)));
        Self::of_frontends(desired, known)
    }

    fn of_frontends<'d>(
        desired: &Desired,
        frontends: impl Iterator<Item = (&'d FrontendKey, &'d Frontend)>,
    ) -> Self {
        let mut wanted = Self::default();
        for (key, frontend) in frontends.filter(|(key, _)| key.protocol == Protocol::Udp) {
            let served = Served::of(desired, key.address.family(), frontend);
            match key.address {
                FrontendAddress::Ip(address) => {
                    wanted.addresses.insert((address, key.port).into(), served);
                }
                FrontendAddress::AnyNode(family) => {
                    wanted.node_ports.insert((family, key.port), served);
                }
            }
        }
        wanted
    }

    pub(super) fn has_address(&self, address: SocketAddr) -> bool {
        self.addresses.contains_key(&address)
    }

    pub(super) fn has_node_port(&self, at: SocketAddr) -> bool {
        self.node_ports.contains_key(&node_port(at))
    }

    /// Whether there are none of a family.
    pub(super) fn has_none_of(&self, family: Family) -> bool {
        let mut families = self.addresses.keys().map(|address| Family::of(address.ip()));
        let mut of_node_ports = self.node_ports.keys().map(|(family, _)| *family);
        families.all(|other| other != family) && of_node_ports.all(|other| other != family)
    }

    /// Whether a flow is to a Service, and answered by none of its endpoints.
    pub(super) fn is_misled(&self, destination: SocketAddr, answerer: SocketAddr) -> bool {
        let served = self.at(destination);
        served.is_some_and(|served| !served.endpoints.contains(&answerer))
    }

    /// Whether a flow of a process of the node is to a Service that meets this process with silence.
    pub(super) fn is_unheard(&self, source: IpAddr, destination: SocketAddr) -> bool {
        let heard = self.at(destination).and_then(|served| served.heard.as_ref());
        heard.is_some_and(|heard| !heard.iter().any(|range| range.contains(&source)))
    }

    fn at(&self, destination: SocketAddr) -> Option<&Served> {
        let by_address = self.addresses.get(&destination);
        by_address.or_else(|| self.node_ports.get(&node_port(destination)))
    }
}

const fn node_port(at: SocketAddr) -> (Family, u16) {
    (Family::of(at.ip()), at.port())
}

impl Served {
    fn of(desired: &Desired, family: Family, frontend: &Frontend) -> Self {
        let endpoints = |scope| {
            let list = desired.lists.get(&frontend.list_key(family, scope));
            list.map_or(&[][..], |list| &list.endpoints)
        };
        let all = [Scope::Cluster, Scope::Local].map(endpoints);
        let is_empty = endpoints(frontend.internal_clients).is_empty();
        Self {
            endpoints: all
                .into_iter()
                .flatten()
                .map(|endpoint| (endpoint.address, endpoint.port).into())
                .collect(),
            heard: match frontend.when_empty {
                WhenEmpty::Reject if is_empty => None,
                WhenEmpty::Drop if is_empty => Some(Vec::new()),
                _ => Some(frontend.source_ranges.clone()).filter(|ranges| !ranges.is_empty()),
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{Endpoint, EndpointList, FrontendKind, Masquerade, ServicePortId, samples::name};

    fn served(endpoints: &[&str]) -> Served {
        let endpoints = endpoints.iter().map(|endpoint| endpoint.parse().unwrap());
        Served {
            endpoints: endpoints.collect(),
            heard: None,
        }
    }

    #[test]
    fn flows_to_services_are_misled_unless_one_of_the_endpoints_answers() {
        let wanted = Wanted {
            addresses: [
                (
                    "10.96.0.10:53".parse().unwrap(),
                    served(&["10.1.0.2:5353", "10.1.0.3:5353"]),
                ),
                ("10.96.0.11:53".parse().unwrap(), served(&[])),
            ]
            .into(),
            node_ports: [((Family::V4, 30_053), served(&["10.1.0.2:5353"]))].into(),
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
            ("[fd00::2]:30053", "[fd00::3]:5353", false),
            ("8.8.8.8:53", "8.8.8.8:53", false),
        ] {
            let flow = [destination, answerer].map(|end| end.parse().unwrap());
            assert_eq!(wanted.is_misled(flow[0], flow[1]), is_misled, "{flow:?}");
        }
    }

    #[test]
    fn a_process_hears_nothing_where_policy_or_ranges_keep_it_out_and_is_refused_where_nobody_serves() {
        let endpoint = Endpoint {
            address: [10, 1, 0, 2].into(),
            port: 5353,
            weight: 1,
            local: false,
        };
        let is_unheard = |endpoints: &[Endpoint], when_empty, ranges: &[&str]| {
            let frontend = Frontend {
                kind: FrontendKind::LoadBalancer,
                service_port: ServicePortId {
                    service: name("default/dns"),
                    port: String::new(),
                    protocol: Protocol::Udp,
                },
                external_clients: Scope::Cluster,
                internal_clients: Scope::Local,
                masquerade: Masquerade::Never,
                when_empty,
                source_ranges: ranges.iter().map(|range| range.parse().unwrap()).collect(),
            };
            let key = FrontendKey {
                address: FrontendAddress::Ip([10, 96, 0, 10].into()),
                port: 53,
                protocol: Protocol::Udp,
            };
            let list = |scope, endpoints: &[Endpoint]| {
                let endpoints = endpoints.to_vec();
                (frontend.list_key(Family::V4, scope), EndpointList { endpoints })
            };
            let desired = Desired {
                lists: [list(Scope::Cluster, &[endpoint]), list(Scope::Local, endpoints)].into(),
                frontends: [(key, frontend)].into(),
                ..Desired::default()
            };
            let wanted = Wanted::of(&desired);
            wanted.is_unheard([192, 168, 0, 2].into(), "10.96.0.10:53".parse().unwrap())
        };
        for (endpoints, when_empty, ranges, expected) in [
            (&[endpoint][..], WhenEmpty::Drop, &[][..], false),
            (&[endpoint], WhenEmpty::Drop, &["192.168.0.0/24"], false),
            (&[endpoint], WhenEmpty::Drop, &["192.168.1.0/24"], true),
            (&[], WhenEmpty::Drop, &[], true),
            (&[], WhenEmpty::Drop, &["192.168.0.0/24"], true),
            (&[], WhenEmpty::Reject, &[], false),
            (&[], WhenEmpty::Reject, &["192.168.1.0/24"], false),
        ] {
            let is_unheard = is_unheard(endpoints, when_empty, ranges);
            assert_eq!(is_unheard, expected, "{endpoints:?} {when_empty:?} {ranges:?}");
        }
    }
}
