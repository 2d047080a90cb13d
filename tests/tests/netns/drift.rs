//! Somebody else writes to the agent's maps: what is wrong there does not stay.

use std::{collections::BTreeMap, net::SocketAddr, time::Duration};

use anyhow::{Result, ensure};
use aya::maps::{HashMap, Map, MapData};
use harness::{
    agent::{Agent, READY, TcAttach},
    topology::Host,
    traffic::Client,
    wait,
    world::{Variant, World},
};
use nix::sys::signal::Signal::{SIGCONT, SIGSTOP};
use proxy_agent::{dataplane::bpf::object::PinDir, model::Protocol};
use proxy_common::{
    Addr4, Addr6, Address as _, Endpoint, EndpointKey, Frontend, FrontendKey, MemberKey, Port, ServiceName,
    TCP,
};

const VARIANTS: [Variant; 2] = [crate::IPV4_TCP, crate::IPV6_TCP];
/// For an answer that may not come.
const PATIENCE: Duration = Duration::from_millis(200);
/// No key of ours looks like this.
const FOREIGN: u8 = 0xee;

type Damage = fn(&Agent, &Needs<'_>, &Needs<'_>);

/// A pinned map, bytes to bytes.
struct Pinned<'a, const K: usize, const V: usize> {
    name: &'static str,
    agent: &'a Agent,
    map: HashMap<MapData, [u8; K], [u8; V]>,
    before: BTreeMap<[u8; K], [u8; V]>,
}

/// What fails if an entry is not as it should be.
struct Needs<'a> {
    client: Client<'a>,
    target: SocketAddr,
    /// Whether it needs the value and not only the key.
    value: bool,
}

#[test]
fn entries_that_somebody_deletes_overwrites_or_adds_are_repaired_and_traffic_flows_again() {
    let world = World::start(TcAttach::Auto).unwrap();
    let agent = &world.agents[0];
    agent.restart_with(&["--sync-period", "200ms"]).unwrap();
    let [node, _] = &world.topology.nodes;
    let [nginx_a, nginx_b, shell] = &node.pods;
    let [v4, v6] = VARIANTS.map(|variant| world.publish(variant, &[nginx_a, nginx_b]).unwrap());
    // For these the maps say who is in a list.
    let _udp = [crate::IPV4_UDP, crate::IPV6_UDP]
        .map(|variant| world.publish(variant, &[nginx_a, nginx_b]).unwrap());
    for (service, damage) in [(&v4, damage_v4 as Damage), (&v6, damage_v6)] {
        let vip = Needs::new(shell, service.vip(), true);
        let node_port = Needs::new(&world.topology.client, service.node_port(&node.host), false);
        damage(agent, &vip, &node_port);
    }
    let log = agent.log();
    assert!(
        log.contains("somebody else has changed what was written"),
        "{log}"
    );
}

#[test]
fn a_frontend_that_somebody_adds_leads_nowhere_after_the_next_look() {
    let world = World::start(TcAttach::Auto).unwrap();
    let agent = &world.agents[0];
    agent.restart_with(&["--sync-period", "200ms"]).unwrap();
    let [nginx_a, _, shell] = &world.topology.nodes[0].pods;
    let service = world.publish(crate::IPV4_TCP, &[nginx_a]).unwrap();
    let foreign: SocketAddr = "10.97.255.255:80".parse().unwrap();
    let needs = Needs::new(shell, foreign, true);
    let key = |at: SocketAddr| FrontendKey::new(Addr4::from_ip(at.ip()).unwrap(), Port::new(at.port()), TCP);

    agent.signal(SIGSTOP).unwrap();
    let added = add_frontend(agent, key(service.vip()), key(foreign));
    let answer = needs.ask();
    agent.signal(SIGCONT).unwrap();
    added.unwrap();
    answer.unwrap();
    wait::until("nobody answers there", READY, || {
        ensure!(needs.ask().is_err(), "somebody does");
        Ok(())
    })
    .unwrap();
}

fn add_frontend(agent: &Agent, like: FrontendKey<Addr4>, key: FrontendKey<Addr4>) -> Result<()> {
    let pin = PinDir::new(agent.pin_root()).map("FRONTENDS4");
    let mut map: HashMap<_, FrontendKey<Addr4>, Frontend> =
        Map::HashMap(MapData::from_pin(pin)?).try_into()?;
    let frontend = map.get(&like, 0)?;
    Ok(map.insert(key, frontend, 0)?)
}

fn damage_v4(agent: &Agent, vip: &Needs<'_>, node_port: &Needs<'_>) {
    Pinned::<{ size_of::<FrontendKey<Addr4>>() }, { size_of::<Frontend>() }>::check(
        agent,
        "FRONTENDS4",
        Some(vip),
    );
    Pinned::<{ size_of::<EndpointKey>() }, { size_of::<Endpoint<Addr4>>() }>::check(
        agent,
        "ENDPOINTS4",
        Some(vip),
    );
    Pinned::<{ size_of::<MemberKey<Addr4>>() }, 4>::check(agent, "LIST_MEMBERS4", None);
    Pinned::<{ size_of::<Addr4>() }, 4>::check(agent, "NODE_ADDRESSES4", Some(node_port));
    Pinned::<4, { size_of::<ServiceName>() }>::check(agent, "SERVICES", None);
}

fn damage_v6(agent: &Agent, vip: &Needs<'_>, node_port: &Needs<'_>) {
    Pinned::<{ size_of::<FrontendKey<Addr6>>() }, { size_of::<Frontend>() }>::check(
        agent,
        "FRONTENDS6",
        Some(vip),
    );
    Pinned::<{ size_of::<EndpointKey>() }, { size_of::<Endpoint<Addr6>>() }>::check(
        agent,
        "ENDPOINTS6",
        Some(vip),
    );
    Pinned::<{ size_of::<MemberKey<Addr6>>() }, 4>::check(agent, "LIST_MEMBERS6", None);
    Pinned::<{ size_of::<Addr6>() }, 4>::check(agent, "NODE_ADDRESSES6", Some(node_port));
}

impl<const K: usize, const V: usize> Pinned<'_, K, V> {
    /// Does all kinds of damage, one after the other.
    fn check(agent: &Agent, name: &'static str, needs: Option<&Needs<'_>>) {
        let mut pinned = Pinned::<K, V>::open(agent, name).unwrap();
        assert!(!pinned.before.is_empty(), "{name} is empty");
        let keys: Vec<[u8; K]> = pinned.before.keys().copied().collect();
        pinned.damage("deleted", needs, |map| {
            keys.iter().try_for_each(|key| Ok(map.remove(key)?))
        });
        let by_value = needs.filter(|needs| needs.value);
        pinned.damage("overwritten", by_value, |map| {
            keys.iter().try_for_each(|key| Ok(map.insert(key, [0; V], 0)?))
        });
        pinned.damage("added to", None, |map| Ok(map.insert([FOREIGN; K], [0; V], 0)?));
    }

    fn open<'a>(agent: &'a Agent, name: &'static str) -> Result<Pinned<'a, K, V>> {
        let pin = PinDir::new(agent.pin_root()).map(name);
        let map: HashMap<_, [u8; K], [u8; V]> = Map::HashMap(MapData::from_pin(pin)?).try_into()?;
        Ok(Pinned {
            name,
            agent,
            before: contents(&map)?,
            map,
        })
    }

    /// While the agent holds still, so that what it does about it is what the wait is for.
    fn damage(
        &mut self,
        how: &str,
        needs: Option<&Needs<'_>>,
        damage: impl FnOnce(&mut HashMap<MapData, [u8; K], [u8; V]>) -> Result<()>,
    ) {
        let what = format!("{} {how}", self.name);
        self.agent.signal(SIGSTOP).unwrap();
        let damaged = damage(&mut self.map);
        let after = contents(&self.map);
        let answer = needs.map(Needs::ask);
        self.agent.signal(SIGCONT).unwrap();
        damaged.unwrap();
        assert_ne!(after.unwrap(), self.before, "{what}");
        assert!(
            !matches!(answer, Some(Ok(_))),
            "{what}: traffic does not mind: {answer:?}"
        );
        wait::until(&what, READY, || {
            ensure!(contents(&self.map)? == self.before, "it still is");
            Ok(())
        })
        .unwrap();
        if let Some(needs) = needs {
            wait::until(&what, READY, || Ok(needs.ask()?)).unwrap();
        }
    }
}

fn contents<const K: usize, const V: usize>(
    map: &HashMap<MapData, [u8; K], [u8; V]>,
) -> Result<BTreeMap<[u8; K], [u8; V]>> {
    Ok(map.iter().collect::<Result<_, _>>()?)
}

impl<'a> Needs<'a> {
    fn new(host: &'a Host, target: SocketAddr, value: bool) -> Self {
        let client = Client::new(&host.ns).patience(PATIENCE);
        Self {
            client,
            target,
            value,
        }
    }

    fn ask(&self) -> std::io::Result<harness::traffic::Answer> {
        self.client.ask(Protocol::Tcp, self.target)
    }
}
