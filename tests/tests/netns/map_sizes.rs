//! Maps that turn out too small, and get larger under running traffic.

use anyhow::ensure;
use harness::{
    agent::{READY, TcAttach},
    traffic::{Client, Talker},
    wait,
    world::World,
};

const VARIANT: harness::world::Variant = crate::IPV4_TCP;
/// As many frontends as fit into the smallest table.
const ROOM: usize = 1_024;

#[test]
fn a_full_map_names_the_flag_costs_only_what_does_not_fit_and_grows_without_cutting_a_connection() {
    let world = World::start(TcAttach::Auto).unwrap();
    let [one, _] = &world.topology.nodes;
    let agent = &world.agents[0];
    let served = world.publish(VARIANT, &[&one.pods[0]]).unwrap();
    let client = Client::new(&one.pods[2].ns);
    let talker = Talker::start(client.talk(VARIANT.protocol, served.vip()).unwrap());
    agent.restart_with(&["--max-frontends", "1024"]).unwrap();
    talker.keeps_talking(20).unwrap();

    world.manifests.write_text("crowd", &crowd()).unwrap();
    wait::until("the log names the flag", READY, || {
        let log = agent.log();
        ensure!(log.contains("BPF map FRONTENDS4: write"), "no error");
        ensure!(
            log.contains("the map is full: restart the agent with a higher --max-frontends"),
            "no remedy"
        );
        Ok(())
    })
    .unwrap();
    agent
        .wait_until("the map is full", |rows| {
            ensure!(rows.len() == ROOM, "{} frontends", rows.len());
            Ok(())
        })
        .unwrap();
    client.ask(VARIANT.protocol, served.vip()).unwrap();

    agent.restart_with(&["--max-frontends", "2048"]).unwrap();
    agent
        .wait_until("everything fits", |rows| {
            ensure!(rows.len() > ROOM + 50, "{} frontends", rows.len());
            Ok(())
        })
        .unwrap();
    client.ask(VARIANT.protocol, served.vip()).unwrap();
    talker.keeps_talking(20).unwrap();
    talker.stop().unwrap();
}

/// More Services than fit.
fn crowd() -> String {
    let services = (0..ROOM + 100).map(|index| {
        format!(
            "apiVersion: v1\nkind: Service\nmetadata:\n  name: crowd-{index}\n  namespace: crowd\nspec:\n  clusterIP: 10.111.{}.{}\n  \
             ports:\n  - port: 80\n---\n",
            index / 250,
            index % 250 + 1
        )
    });
    services.collect()
}
