//! Blocks as Services.

use std::net::{IpAddr, SocketAddr};

use ipnet::IpNet;
use proxy_agent::model::{Family, TrafficPolicy};

use super::{Block, Client, Destination, Door, Endpoint, Flow, Part, VARIANTS, address, virtual_networks};
use crate::{
    manifests::{self, Condition, Service},
    world::Variant,
};

/// Port of each Service.
const PORT: u16 = 80;
/// A port of no Service.
const OTHER_PORT: u16 = 81;
/// Port of each endpoint.
pub const TARGET_PORT: u16 = 8_080;
/// NodePorts are this and the number of the Service.
const NODE_PORTS: u16 = 30_000;

/// The Services of a table, one of each block for each variant, none twice.
#[must_use]
pub fn services(flows: &[Flow]) -> Vec<Service> {
    let mut blocks: Vec<&Block> = flows.iter().map(|flow| &*flow.block).collect();
    blocks.dedup_by_key(|block| block.number);
    let services = blocks
        .iter()
        .flat_map(|block| VARIANTS.map(|variant| block.service(variant)));
    services.collect()
}

impl Block {
    /// Its Service in this variant.
    #[must_use]
    pub fn service(&self, variant: Variant) -> Service {
        let ip = |door| self.virtual_ip(door, variant);
        Service {
            name: format!("flows-{}", self.number_of(variant)),
            port_name: "main".to_owned(),
            protocol: variant.protocol,
            cluster_ips: vec![ip(0)],
            external_ips: vec![ip(1)],
            port: PORT,
            node_port: Some(self.node_port(variant)),
            target_port: TARGET_PORT,
            weights: None,
            load_balancer: Some(ip(2)),
            spec: self.spec(variant.family),
            other_protocol: self.other_protocol,
            endpoints: self
                .endpoints
                .iter()
                .map(|at| endpoint(at, variant.family))
                .collect(),
        }
    }

    fn spec(&self, family: Family) -> Vec<String> {
        let name = |policy| match policy {
            TrafficPolicy::Cluster => "Cluster",
            TrafficPolicy::Local => "Local",
        };
        let mut spec = vec![
            format!("internalTrafficPolicy: {}", name(self.internal)),
            format!("externalTrafficPolicy: {}", name(self.external)),
        ];
        if self.affinity {
            spec.push("sessionAffinity: ClientIP".to_owned());
        }
        if !self.ranges.is_empty() {
            let range =
                |client: &Client| format!("{:?}", IpNet::from(address(client.name(), family)).to_string());
            let ranges: Vec<String> = self.ranges.iter().map(range).collect();
            spec.push(format!("loadBalancerSourceRanges: [{}]", ranges.join(", ")));
        }
        spec
    }

    /// Where a client asks.
    pub(super) fn target(&self, destination: Destination, variant: Variant) -> SocketAddr {
        let (ip, port) = match destination.door {
            Door::ClusterIp => (self.virtual_ip(0, variant), PORT),
            Door::ExternalIp => (self.virtual_ip(1, variant), PORT),
            Door::LoadBalancerIp => (self.virtual_ip(2, variant), PORT),
            Door::NodePort(node) => (address(node.name(), variant.family), self.node_port(variant)),
        };
        let is_virtual = !matches!(destination.door, Door::NodePort(_));
        let port = match destination.part {
            Part::OtherPort if is_virtual => OTHER_PORT,
            // The port of a virtual IP.
            Part::OtherPort => PORT,
            Part::Own | Part::OtherProtocol => port,
        };
        SocketAddr::new(ip, port)
    }

    fn virtual_ip(&self, network: usize, variant: Variant) -> IpAddr {
        let network: IpNet = virtual_networks(variant.family)[network]
            .parse()
            .expect("the table's own networks are right");
        let number = self.number_of(variant);
        match network.addr() {
            IpAddr::V4(net) => (net.to_bits() | u32::from(number)).to_be_bytes().into(),
            IpAddr::V6(net) => (net.to_bits() | u128::from(number)).to_be_bytes().into(),
        }
    }

    fn node_port(&self, variant: Variant) -> u16 {
        NODE_PORTS + self.number_of(variant)
    }

    /// The Service's number among all of the table.
    fn number_of(&self, variant: Variant) -> u16 {
        let index = (0..).zip(VARIANTS).find(|(_, other)| *other == variant);
        4 * self.number + index.map_or(0, |(index, _)| index)
    }
}

fn endpoint((at, condition): (&Endpoint, &Condition), family: Family) -> manifests::Endpoint {
    manifests::Endpoint {
        address: address(at.pod(), family),
        node: at.node().name().to_owned(),
        pod: at.pod().to_owned(),
        condition: *condition,
    }
}
