//! Manifests are edited while the agents run.

use std::io;

use harness::{
    traffic::Client,
    world::{World, shared},
};

const TCP: harness::world::Variant = crate::IPV4_TCP;

fn ask(world: &World, target: std::net::SocketAddr) -> io::Result<String> {
    let client = Client::new(&world.topology.nodes[0].pods[2].ns);
    client.ask(TCP.protocol, target).map(|answer| answer.server)
}

#[test]
fn a_service_whose_file_is_removed_is_no_longer_served() {
    let world = shared();
    let service = world.publish(TCP, &[&world.topology.nodes[0].pods[0]]).unwrap();
    let (vip, id) = (service.vip(), service.service.id());
    assert_eq!(ask(&world, vip).unwrap(), "nginx-a");
    drop(service);
    for agent in &world.agents {
        agent
            .wait_until("the Service is gone", |rows| {
                anyhow::ensure!(rows.iter().all(|row| row.service != id), "{id} is still there");
                Ok(())
            })
            .unwrap();
    }
    assert!(ask(&world, vip).is_err());
}

#[test]
fn a_broken_document_does_not_keep_the_rest_from_working() {
    let world = shared();
    let [one, two] = &world.topology.nodes;
    let mut service = world.publish(TCP, &[&one.pods[0]]).unwrap();
    let broken = "apiVersion: v1\nkind: Service\nmetadata: [not, a, map]\n---\n{ unclosed: [\n";
    world.manifests.write_text("broken", broken).unwrap();
    assert_eq!(ask(&world, service.vip()).unwrap(), "nginx-a");
    // A change made beside the broken file arrives, and so does a Service that is new.
    service.set_endpoints(&[&two.pods[0]]).unwrap();
    assert_eq!(ask(&world, service.vip()).unwrap(), "nginx-c");
    let other = world.publish(TCP, &[&one.pods[1]]).unwrap();
    assert_eq!(ask(&world, other.vip()).unwrap(), "nginx-b");
    world.manifests.remove("broken").unwrap();
}

#[test]
fn a_service_beside_a_broken_document_of_its_own_file_is_served() {
    let world = shared();
    let service = world.publish(TCP, &[&world.topology.nodes[0].pods[0]]).unwrap();
    let broken = "apiVersion: v1\nkind: Service\nmetadata:\n  name: bad\nspec:\n  ports: 7\n---\n";
    let mut renamed = service.service.clone();
    renamed.port += 1;
    world
        .manifests
        .write_text(&renamed.name, &format!("{broken}{}", renamed.to_yaml()))
        .unwrap();
    for agent in &world.agents {
        let port = renamed.port;
        agent
            .wait_until("the good document", |rows| {
                anyhow::ensure!(
                    rows.iter()
                        .any(|row| row.port == port && row.service == renamed.id()),
                    "not yet"
                );
                Ok(())
            })
            .unwrap();
    }
}
