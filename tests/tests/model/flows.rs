//! The table of flows, by the model: what each node shall do, and what the objects say.

use std::collections::BTreeMap;

use harness::{
    flows::{self, Case, Endpoint, Flow, Node, Report, Source, address, node_addresses, node_context},
    manifests,
};
use proxy_agent::model::{Desired, Family, Object, ObjectName, compute};

use crate::{
    oracle::{Met, World, answer},
    packet::Packet,
    tracer::{self, Target, trace},
};

#[test]
fn the_model_sends_every_flow_of_the_table_where_it_says() {
    let (flows, objects) = table();
    let mut report = Report::new("the model");
    let cluster = manifests::cluster(objects);
    let desired = Node::ALL.map(|node| compute(&cluster, &node_context(node)));
    for case in Case::all(&flows) {
        let desired = &desired[case.flow.decider() as usize];
        let traced = trace(desired, &packet(case));
        report.exact(case, &outcome(case, traced, is_sticky(desired, &service(case))));
    }
    report.finish();
}

#[test]
fn the_oracle_sends_every_flow_of_the_table_where_it_says() {
    let (flows, objects) = table();
    let mut report = Report::new("the oracle");
    let worlds = Node::ALL.map(|node| World::of(node_context(node), objects.clone()));
    for case in Case::all(&flows) {
        let world = &worlds[case.flow.decider() as usize];
        let answered = answer(world, &packet(case), &mut Met::new());
        let is_sticky = world.services[&service(case)].session_affinity.is_some();
        report.exact(case, &outcome(case, answered, is_sticky));
    }
    report.finish();
}

fn table() -> (Vec<Flow>, Vec<Object>) {
    let flows = flows::table().expect("the table can be read");
    let yaml: Vec<String> = flows::services(&flows)
        .iter()
        .map(|service| service.to_yaml())
        .collect();
    let objects = manifests::objects(&yaml.join("---\n")).expect("the manifests can be read");
    (flows, objects)
}

fn packet(case @ Case { flow, variant }: Case<'_>) -> Packet {
    Packet {
        source: address(flow.client.name(), variant.family),
        interface: None,
        destination: case.flow.target(variant),
        protocol: flow.protocol(variant),
        node: node_addresses(flow.decider()).into(),
    }
}

fn service(Case { flow, variant }: Case<'_>) -> ObjectName {
    ObjectName::new("default", &flow.block.service(variant).name)
}

fn is_sticky(desired: &Desired, service: &ObjectName) -> bool {
    let mut ports = desired.service_ports.iter();
    ports.any(|(id, port)| id.service == *service && port.session_affinity.is_some())
}

fn outcome(case: Case<'_>, traced: tracer::Outcome, is_sticky: bool) -> flows::Outcome {
    match traced {
        tracer::Outcome::Reject => flows::Outcome::Refused,
        tracer::Outcome::Drop => flows::Outcome::Silence,
        tracer::Outcome::NoMatch => flows::Outcome::LeftAlone,
        tracer::Outcome::Forward(targets) => {
            let found: Option<BTreeMap<_, _>> =
                targets.iter().map(|at| target(at, case.variant.family)).collect();
            match found {
                Some(all) if is_sticky => flows::Outcome::One(all),
                Some(all) => flows::Outcome::Any(all),
                None => flows::Outcome::Odd(format!("{targets:?}")),
            }
        }
    }
}

fn target(target: &Target, family: Family) -> Option<(Endpoint, Source)> {
    let is_it = |at: &Endpoint| address(at.pod(), family) == target.address;
    let endpoint = Endpoint::ALL.into_iter().find(is_it)?;
    let source = if target.masquerade {
        Source::Masqueraded
    } else {
        Source::Kept
    };
    (target.port == flows::TARGET_PORT).then_some((endpoint, source))
}
