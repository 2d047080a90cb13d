//! Endpoints on another node alone, where a policy wants local ones.

use std::{io::ErrorKind, time::Duration};

use anyhow::ensure;
use harness::{
    agent::Row,
    traffic::Client,
    world::{Variant, shared_with_sockets},
};

use super::catch;

for_each_variant!(nobody_answers_and_nobody_is_reached_without_the_local_endpoint_that_the_policy_wants);

/// Whoever answers at all has done so by then.
const SILENCE: Duration = Duration::from_millis(500);

fn nobody_answers_and_nobody_is_reached_without_the_local_endpoint_that_the_policy_wants(variant: Variant) {
    let world = shared_with_sockets();
    let [one, two] = &world.topology.nodes;
    let service = world.publish_edited(variant, &[&two.pods[0]], |service| {
        service.spec.push("internalTrafficPolicy: Local".to_owned());
    });
    let service = service.unwrap();
    let id = service.service.id();
    // The NodePort has the endpoints that the policy leaves out.
    let is_served = |rows: &[Row]| {
        let mut own = rows.iter().filter(|row| row.service == id);
        ensure!(own.any(|row| !row.endpoints.is_empty()), "{id} has no endpoint");
        Ok(())
    };
    world.agents[0].wait_until(&id, is_served).unwrap();
    let outside = catch(&world, variant, service.vip());
    for client in [&one.host, &one.pods[2]] {
        let answer = Client::new(&client.ns)
            .patience(SILENCE)
            .ask(variant.protocol, service.vip());
        let error = answer.unwrap_err();
        let is_silence = matches!(error.kind(), ErrorKind::TimedOut | ErrorKind::WouldBlock);
        assert!(is_silence, "{} is told: {error}", client.name);
    }
    assert_eq!((outside.served(), service.served()), (0, 0));
}
