//! The table of flows, by the rules that we write.

use std::collections::BTreeMap;

use harness::{
    flows::{self, Case, Client, Endpoint, Report, Source, address, node_addresses, node_context},
    manifests,
    rules::{Answer, Fate, Node, Outcome, Packet, Rules},
};
use proxy_agent::model::{Family, compute};

#[test]
fn the_rules_that_we_write_send_every_flow_of_the_table_where_it_says() {
    let flows = flows::table().expect("the table can be read");
    let yaml: Vec<String> = flows::services(&flows)
        .iter()
        .map(|service| service.to_yaml())
        .collect();
    let cluster = manifests::cluster(manifests::objects(&yaml.join("---\n")).expect("manifests"));
    let mut report = Report::new("the rules");
    for node in flows::Node::ALL {
        let desired = compute(&cluster, &node_context(node));
        for family in Family::ALL {
            let rules = Rules::rendered(&desired, family, &node_addresses(node));
            let rules = rules.unwrap_or_else(|error| panic!("{error:#}"));
            let cases = Case::all(&flows).filter(|case| case.flow.decider() == node);
            for case in cases.filter(|case| case.variant.family == family) {
                report.exact(case, &flows::but_for_output(case, outcome(case, &rules)));
            }
        }
    }
    report.finish();
}

fn outcome(case @ Case { flow, variant }: Case<'_>, rules: &Rules) -> flows::Outcome {
    let node = Node {
        addresses: node_addresses(flow.decider()),
        ..Node::default()
    };
    let source = (address(flow.client.name(), variant.family), 40_000).into();
    let packet = Packet {
        protocol: flow.protocol(variant),
        interface: (flow.client != Client::Node).then(|| "any".to_owned()),
        ..Packet::tcp(source, flow.target(variant))
    };
    let answer = rules.ask(&node, &packet);
    met(case, &answer.unwrap_or_else(|error| panic!("{error:#}")))
}

fn met(case: Case<'_>, answer: &Answer) -> flows::Outcome {
    let fates: Vec<Fate> = answer.fates().into_keys().collect();
    match fates[..] {
        [Fate::Rejected] => return flows::Outcome::Refused,
        [Fate::Dropped] => return flows::Outcome::Silence,
        [Fate::Untouched] => return flows::Outcome::LeftAlone,
        _ => {}
    }
    let targets: Option<BTreeMap<_, _>> = answer
        .0
        .keys()
        .map(|outcome| target(outcome, case.variant.family))
        .collect();
    let remembers = answer.0.keys().any(|outcome| !outcome.remembered_in.is_empty());
    match targets {
        Some(all) if remembers => flows::Outcome::One(all),
        Some(all) => flows::Outcome::Any(all),
        None => flows::Outcome::Odd(answer.to_string()),
    }
}

fn target(outcome: &Outcome, family: Family) -> Option<(Endpoint, Source)> {
    let Fate::Endpoint(to) = outcome.fate else {
        return None;
    };
    let is_it = |at: &Endpoint| to == (address(at.pod(), family), flows::TARGET_PORT).into();
    let endpoint = Endpoint::ALL.into_iter().find(is_it)?;
    let source = match &outcome.masqueraded_by {
        Some(_) => Source::Masqueraded,
        None => Source::Kept,
    };
    Some((endpoint, source))
}
