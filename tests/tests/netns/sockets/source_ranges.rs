//! Who is let in at a load balancer's address.

use std::{io::ErrorKind, net::SocketAddr, time::Duration};

use harness::{
    traffic::Client,
    world::{Variant, shared_with_sockets},
};
use proxy_agent::model::Family;

use super::{answerer, beside, catch};

for_each_variant!(a_process_of_the_node_is_let_in_by_the_nodes_address);

/// Whoever answers at all has done so by then.
const SILENCE: Duration = Duration::from_millis(500);

fn a_process_of_the_node_is_let_in_by_the_nodes_address(variant: Variant) {
    let (own, others) = match variant.family {
        Family::V4 => ("192.168.50.0/24", "203.0.113.0/24"),
        Family::V6 => ("fd00:50::/64", "2001:db8::/64"),
    };
    asks_where_are_let_in(own, variant, true);
    asks_where_are_let_in(others, variant, false);
}

fn asks_where_are_let_in(range: &str, variant: Variant, is_let_in: bool) {
    let world = shared_with_sockets();
    let [one, two] = &world.topology.nodes;
    let service = world.publish_edited(variant, &[&two.pods[0]], |service| {
        service.load_balancer = Some(beside(service.cluster_ips[0], 99));
        service
            .spec
            .push(format!("loadBalancerSourceRanges: [{range:?}]"));
    });
    let service = service.unwrap();
    world.agents[0].wait_for(&service.service).unwrap();
    let target = SocketAddr::new(service.service.load_balancer.unwrap(), service.service.port);
    if is_let_in {
        assert_eq!(answerer(variant, &one.host, target), two.pods[0].name);
        return;
    }
    let outside = catch(&world, variant, target);
    let answer = Client::new(&one.host.ns)
        .patience(SILENCE)
        .ask(variant.protocol, target);
    let error = answer.unwrap_err();
    assert!(
        matches!(error.kind(), ErrorKind::TimedOut | ErrorKind::WouldBlock),
        "{error}"
    );
    assert_eq!((outside.served(), service.served()), (0, 0));
}
