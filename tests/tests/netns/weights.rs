//! Endpoints have weights by an annotation of their Service, and it is edited while the agents run.

use std::collections::BTreeMap;

use harness::{
    topology::Host,
    traffic::Client,
    world::{Published, Variant, World, shared},
};

for_each_variant!(connections_are_shared_out_by_weight_and_follow_the_annotation);

const QUESTIONS: u16 = 200;

fn connections_are_shared_out_by_weight_and_follow_the_annotation(variant: Variant) {
    let world = shared();
    let [a, b, c] = pods(&world);
    let mut service = world.publish(variant, &[a, b, c]).unwrap();

    // nginx-a and nginx-b are on node1, nginx-c is on node2.
    let annotation = "pod/nginx-a=0, node/node2=3";
    service
        .set_weights(Some(annotation), &[(a, 0.0), (b, 25.0), (c, 75.0)])
        .unwrap();
    let answers = ask(&world, variant, &service, 20_000);
    assert_eq!(answers.get("nginx-a"), None, "{answers:?}");
    // 50 of 200 with a standard deviation of 6.1: six of them.
    assert!((13..87).contains(&answers["nginx-b"]), "{answers:?}");

    let address = format!("{}=7,*=0", a.ip(variant.family));
    service
        .set_weights(Some(&address), &[(a, 100.0), (b, 0.0), (c, 0.0)])
        .unwrap();
    assert_eq!(
        ask(&world, variant, &service, 21_000),
        [("nginx-a".to_owned(), QUESTIONS)].into()
    );

    service
        .set_weights(None, &[(a, 33.33), (b, 33.33), (c, 33.33)])
        .unwrap();
    let answers = ask(&world, variant, &service, 22_000);
    assert!(
        answers.values().all(|count| (26..107).contains(count)),
        "{answers:?}"
    );
    assert_eq!(answers.len(), 3, "{answers:?}");
}

#[test]
fn a_malformed_annotation_is_named_once_and_the_service_is_served_evenly() {
    let world = shared();
    let [a, b, c] = pods(&world);
    let even = [(a, 33.33), (b, 33.33), (c, 33.33)];
    let mut service = world.publish(crate::IPV4_TCP, &[a, b, c]).unwrap();
    service.set_weights(Some("*=2, pod/nginx-a=0"), &even).unwrap();
    service
        .set_weights(Some("pod/nginx-a=0"), &[(a, 0.0), (b, 50.0), (c, 50.0)])
        .unwrap();

    service
        .set_weights(Some("pod/nginx-a=0, pod/nginx-b=many"), &even)
        .unwrap();

    // Whatever else changes, the fault is not told again.
    service.set_endpoints(&[a, b]).unwrap();
    drop(world.publish(crate::IPV4_TCP, &[a]).unwrap());
    let fault = format!(
        "Service default/{}: metadata.annotations[kube-portal.io/weights], entry 2, is \"pod/nginx-b=many\": \
         write a weight from 0 to 65535",
        service.service.name
    );
    for agent in &world.agents {
        assert_eq!(agent.log().matches(&fault).count(), 1, "{}", agent.log_tail());
    }
}

#[test]
fn a_conversation_stays_with_an_endpoint_whose_weight_becomes_0() {
    let world = shared();
    let [a, b, c] = pods(&world);
    for variant in [crate::IPV4_TCP, crate::IPV6_UDP] {
        let mut service = world.publish(variant, &[a, b, c]).unwrap();
        let only_a = "pod/nginx-a=1, *=0";
        service
            .set_weights(Some(only_a), &[(a, 100.0), (b, 0.0), (c, 0.0)])
            .unwrap();
        let client = Client::new(&world.topology.nodes[1].pods[2].ns);
        let mut talk = client.talk(variant.protocol, service.vip()).unwrap();
        assert_eq!(talk.ask("before").unwrap().server, "nginx-a");
        service
            .set_weights(Some("pod/nginx-a=0"), &[(a, 0.0), (b, 50.0), (c, 50.0)])
            .unwrap();
        assert_eq!(talk.ask("after").unwrap().server, "nginx-a");
    }
}

fn pods(world: &World) -> [&Host; 3] {
    let [one, two] = &world.topology.nodes;
    [&one.pods[0], &one.pods[1], &two.pods[0]]
}

/// Answers per server, to clients of different ports from `port` on: a port that was used a moment ago is still a UDP flow.
fn ask(world: &World, variant: Variant, service: &Published<'_>, port: u16) -> BTreeMap<String, u16> {
    let client = Client::new(&world.topology.nodes[1].pods[2].ns);
    let mut answers = BTreeMap::new();
    for port in port..port + QUESTIONS {
        let answer = client
            .from_port(port)
            .ask(variant.protocol, service.vip())
            .unwrap();
        *answers.entry(answer.server).or_default() += 1;
    }
    answers
}
