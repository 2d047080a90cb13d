//! The table of flows, by the loaded programs: one packet through ingress and egress, and its reply back.

use std::net::{IpAddr, SocketAddr};

use harness::{
    bpf::{Datapath, Hook, Layer, Outcome, Packet, SYN, Setup, Transport, in_own_netns},
    flows::{self, Case, Endpoint, Node, Report, Source, address, node_addresses, node_context, pods},
    manifests,
};
use proxy_agent::model::{Cluster, Family, Protocol, compute};

use crate::{refusal, scene::POOL};

/// So many flows from as many ports meet four endpoints all but once in 10^7.
const TRIES: u16 = 60;
/// As many as show that there is no second one but once in 10^4.
const TRIES_OF_ONE: u16 = 14;

#[test]
fn the_programs_send_every_flow_of_the_table_where_it_says() {
    let flows = flows::table().unwrap();
    let yaml: Vec<String> = flows::services(&flows)
        .iter()
        .map(|service| service.to_yaml())
        .collect();
    let cluster = manifests::cluster(manifests::objects(&yaml.join("---\n")).unwrap());
    let mut report = Report::new("the programs");
    let cases = report.on_devices(&flows);
    in_own_netns(|| {
        for node in Node::ALL {
            let mut programs = Programs::on(node, &cluster);
            for case in cases.iter().filter(|case| case.flow.decider() == node) {
                report.sampled(*case, &programs.sample(*case));
            }
        }
    });
    report.finish();
}

struct Programs {
    datapath: Datapath,
    node: Node,
    next_port: u16,
}

impl Programs {
    fn on(node: Node, cluster: &Cluster) -> Self {
        let mut datapath = Datapath::load(Setup {
            layer: Layer::Ethernet,
            node: node_addresses(node),
            ports: POOL.to_vec(),
            pods: pods(),
        });
        datapath.apply_desired(&compute(cluster, &node_context(node)));
        Self {
            datapath,
            node,
            next_port: 1_024,
        }
    }

    /// What many tries of a flow meet.
    fn sample(&mut self, case: Case<'_>) -> flows::Outcome {
        let tries = match &case.flow.expected {
            flows::Outcome::Any(all) if all.len() > 1 => TRIES,
            flows::Outcome::Any(_) | flows::Outcome::One(_) => TRIES_OF_ONE,
            _ => 1,
        };
        let first = self.once(case);
        (1..tries).fold(first, |seen, _| seen.and(self.once(case)))
    }

    fn once(&mut self, case: Case<'_>) -> flows::Outcome {
        let request = self.request(case);
        match self
            .datapath
            .send_bytes(Hook::Ingress, &request.bytes(Layer::Ethernet))
        {
            Ok(Outcome::Dropped) => flows::Outcome::Silence,
            Ok(Outcome::Redirected(answer)) if answer == refusal::of(&request, Layer::Ethernet) => {
                flows::Outcome::Refused
            }
            Ok(Outcome::Next(bytes)) => self.follow(case, &request, &Packet::parse(&bytes, Layer::Ethernet)),
            other => flows::Outcome::Odd(format!("{other:x?}")),
        }
    }

    /// The first packet of a flow that nobody has opened before.
    fn request(&mut self, Case { flow, variant }: Case<'_>) -> Packet {
        self.next_port = self.next_port.checked_add(1).unwrap_or(1_024);
        let source = SocketAddr::new(address(flow.client.name(), variant.family), self.next_port);
        let transport = match flow.protocol(variant) {
            Protocol::Tcp => Transport::Tcp(SYN),
            _ => Transport::Udp,
        };
        Packet::new(source, flow.target(variant), transport)
    }

    fn follow(&mut self, case: Case<'_>, request: &Packet, inside: &Packet) -> flows::Outcome {
        let Some(arrived) = self.datapath.try_send(Hook::Egress, inside) else {
            return flows::Outcome::Odd(format!("egress drops {inside:?}"));
        };
        if arrived == *request {
            return flows::Outcome::LeftAlone;
        }
        let back = self.datapath.try_send(Hook::Ingress, &arrived.answer());
        let back = back.and_then(|inside| self.datapath.try_send(Hook::Egress, &inside));
        if back != Some(request.answer()) {
            return flows::Outcome::Odd(format!("the client gets {back:?}"));
        }
        let found = target(arrived.destination, case.variant.family).zip(self.source(request, &arrived));
        found.map_or_else(
            || flows::Outcome::Odd(format!("{arrived:?}")),
            |(endpoint, source)| flows::Outcome::at(endpoint, source),
        )
    }

    fn source(&self, request: &Packet, arrived: &Packet) -> Option<Source> {
        let source: IpAddr = arrived.source.ip();
        if source == request.source.ip() {
            return Some(Source::Kept);
        }
        node_addresses(self.node)
            .contains(&source)
            .then_some(Source::Masqueraded)
    }
}

fn target(to: SocketAddr, family: Family) -> Option<Endpoint> {
    let is_it = |at: &Endpoint| SocketAddr::new(address(at.pod(), family), flows::TARGET_PORT) == to;
    Endpoint::ALL.into_iter().find(is_it)
}
