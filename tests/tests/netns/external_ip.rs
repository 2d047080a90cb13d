//! External IPs: as NodePorts, at an address that the node does not have.

use harness::{
    traffic::Client,
    world::{Variant, shared},
};

for_each_variant!(a_pod_reaches_a_service_by_its_external_ip);

fn a_pod_reaches_a_service_by_its_external_ip(variant: Variant) {
    let world = shared();
    let [one, two] = &world.topology.nodes;
    for endpoint in [&one.pods[0], &two.pods[0]] {
        let service = world.publish(variant, &[endpoint]).unwrap();
        let answer = Client::new(&one.pods[2].ns)
            .ask(variant.protocol, service.external_ip())
            .unwrap();
        assert_eq!(answer.server, endpoint.name);
        assert_eq!(
            answer.client.ip(),
            one.host.ip(variant.family),
            "traffic from outside is masqueraded"
        );
    }
}
