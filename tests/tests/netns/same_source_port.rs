//! Two Services that lead to one endpoint, asked at the same time from one source port: behind the translation both
//! are the same tuple, so one of them must get another source port.

use harness::{
    traffic::Client,
    world::{Variant, shared},
};

for_each_variant!(both_conversations_work);

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
