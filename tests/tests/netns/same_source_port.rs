//! Two Services that lead to one endpoint, asked at the same time from one source port: behind the translation both
//! are the same tuple, so one of them must get another source port.

use harness::{
    traffic::Client,
    world::{Variant, shared},
};

for_each_variant!(both_conversations_work);
for_each_variant!(an_endpoint_can_be_asked_itself_beside_or_after_a_service_from_one_port);

fn an_endpoint_can_be_asked_itself_beside_or_after_a_service_from_one_port(variant: Variant) {
    let world = shared();
    let [one, two] = &world.topology.nodes;
    for (pod, port) in [(&one.pods[0], 4446), (&two.pods[0], 4447)] {
        let service = world.publish(variant, &[pod]).unwrap();
        let client = Client::new(&one.pods[2].ns).from_port(port);
        let direct = service.direct(pod);
        let mut talk = client.talk(variant.protocol, service.vip()).unwrap();
        let through = talk.ask("through").unwrap();
        let mut beside = client.talk(variant.protocol, direct).unwrap();
        for round in ["one", "two", "three"] {
            assert_ne!(beside.ask(round).unwrap().client, through.client);
            assert_eq!(talk.ask(round).unwrap().client, through.client);
        }
        drop((talk, beside));
        let after = client.from_port(port + 10);
        after
            .talk(variant.protocol, service.vip())
            .unwrap()
            .ask("before")
            .unwrap();
        after
            .talk(variant.protocol, direct)
            .unwrap()
            .ask("after")
            .unwrap();
    }
}

fn both_conversations_work(variant: Variant) {
    let world = shared();
    let [one, two] = &world.topology.nodes;
    let first = world.publish(variant, &[&two.pods[0]]).unwrap();
    let second = world.publish_beside(&first).unwrap();
    let client = Client::new(&one.pods[2].ns).from_port(4444);
    let mut one_talk = client.talk(variant.protocol, first.vip()).unwrap();
    let mut other_talk = client.talk(variant.protocol, second.vip()).unwrap();
    let mut seen = Vec::new();
    for round in ["one", "two", "three"] {
        seen.push((
            one_talk.ask(round).unwrap().client,
            other_talk.ask(round).unwrap().client,
        ));
    }
    assert_ne!(seen[0].0, seen[0].1, "the server must be able to tell them apart");
    assert!(
        seen.iter().all(|pair| *pair == seen[0]),
        "a conversation changed its port: {seen:?}"
    );
}
