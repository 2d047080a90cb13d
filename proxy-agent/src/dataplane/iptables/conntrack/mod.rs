//! The kernel's table of connections, which keeps UDP flows where they once went: those of Services are deleted when that is not, or
//! not any more, where they belong, and their next packet meets the rules.
//!
//! TCP connections stay: they end by themselves. kube-proxy does the same, by what it calls serving endpoints; here it is the endpoints
//! that the rules send to.

mod flow;
mod netlink;

use std::{
    collections::{BTreeMap, BTreeSet},
    net::SocketAddr,
};

use self::flow::Flow;
pub(super) use self::netlink::ConntrackError;
use crate::model::{Delta, Desired, Family, Frontend, FrontendAddress, FrontendKey, Protocol, Scope};

/// Deletes the UDP flows of Services that do not go to one of their endpoints; how many.
///
/// # Errors
/// When the table cannot be read, or an entry not deleted.
pub(super) fn clean(desired: &Desired) -> Result<usize, ConntrackError> {
    let mut deleted = 0;
    for family in Family::ALL {
        let wanted = Wanted::of(desired, family);
        if wanted.is_empty() {
            continue;
        }
        let mut table = netlink::Table::open(family)?;
        let flows = table.udp_flows()?;
        for flow in flows.iter().filter(|flow| wanted.is_misled(flow)) {
            table.delete(flow)?;
            deleted += 1;
        }
    }
    Ok(deleted)
}

/// Whether a change has to do with UDP.
pub(super) fn is_needed(delta: &Delta) -> bool {
    let is_udp = |protocol| protocol == Protocol::Udp;
    delta.lists.iter().any(|list| is_udp(list.service_port.protocol))
        || delta.frontends.iter().any(|key| is_udp(key.protocol))
}

/// Where flows to the addresses of UDP Services may go.
#[derive(Debug, Default)]
struct Wanted {
    addresses: BTreeMap<SocketAddr, BTreeSet<SocketAddr>>,
    /// By port alone, on whichever address.
    node_ports: BTreeMap<u16, BTreeSet<SocketAddr>>,
}

impl Wanted {
    fn of(desired: &Desired, family: Family) -> Self {
        let mut wanted = Self::default();
        let frontends = desired.frontends.iter();
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

    fn is_empty(&self) -> bool {
        self.addresses.is_empty() && self.node_ports.is_empty()
    }

    /// Whether it is to a Service, and answered by none of its endpoints.
    fn is_misled(&self, flow: &Flow) -> bool {
        let by_address = self.addresses.get(&flow.destination);
        let endpoints = by_address.or_else(|| self.node_ports.get(&flow.destination.port()));
        endpoints.is_some_and(|endpoints| !endpoints.contains(&flow.answerer))
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

    fn flow(destination: &str, answerer: &str) -> Flow {
        Flow {
            destination: destination.parse().unwrap(),
            answerer: answerer.parse().unwrap(),
            tuple: Vec::new(),
            zone: None,
        }
    }

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
            assert_eq!(
                wanted.is_misled(&flow(destination, answerer)),
                is_misled,
                "{destination} {answerer}"
            );
        }
    }
}
