//! From what the model wants to what the maps hold, in full or in part.

use std::{collections::BTreeMap, time::Instant};

use proxy_common::{Addr4, Addr6, Address, Cookie, Network, Settings, SocketRules, snat::PortPool};

use super::{
    encode::{encode, encode_delta},
    ids::Ids,
    maps::MapError,
    reconcile::{Maps, Retired},
    unserved::Report,
};
use crate::{
    dataplane::Applied,
    model::{Delta, Desired, Family, LocalTraffic, Mesh, NodeRules, PodSockets},
};

/// The maps, and what has to be remembered between two passes.
pub struct Writer {
    /// The maps.
    pub maps: Maps,
    ids: Ids,
    retired: Retired,
    unserved: Report,
    forward_mark: u32,
    draining: bool,
    node: OwnNode,
}

/// The node to its sockets.
#[derive(Clone, Copy)]
struct OwnNode {
    netns: Cookie,
    addresses: (Addr4, Addr6),
    rules: SocketRules,
}

impl OwnNode {
    /// As an earlier run has left it: sockets go on as they do until it is known.
    fn of(settings: &Settings) -> Self {
        Self {
            netns: settings.netns(),
            addresses: (settings.node4(), settings.node6()),
            rules: settings.sockets(),
        }
    }

    fn in_settings(self, settings: Settings) -> Settings {
        let (v4, v6) = self.addresses;
        let rules = if self.netns == Cookie::NONE {
            SocketRules::NONE
        } else {
            self.rules
        };
        settings.with_sockets(self.netns, rules).with_node(v4, v6)
    }
}

impl Writer {
    /// Goes on with what an earlier run left in the maps.
    #[must_use]
    pub fn new(maps: Maps) -> Self {
        Self {
            ids: maps.restore_ids(),
            forward_mark: known(&maps).map_or(0, Settings::forward_mark),
            draining: known(&maps).is_some_and(Settings::is_draining),
            node: OwnNode::of(known(&maps).unwrap_or(&Settings::new(PortPool::new([]), 0, 0))),
            maps,
            retired: Retired::default(),
            unserved: Report::default(),
        }
    }

    /// The ids in use.
    #[must_use]
    pub const fn ids(&self) -> &Ids {
        &self.ids
    }

    /// How many frontends are not served, or not in all they ask for, by each reason that there can be.
    #[must_use]
    pub fn unserved(&self) -> BTreeMap<&'static str, usize> {
        self.unserved.counts()
    }

    /// Makes packets of masqueraded flows carry this bit of the mark between the hooks, or none if it is 0.
    ///
    /// # Errors
    /// When the settings can't be written.
    pub fn set_forward_mark(&mut self, mark: u32) -> Result<(), MapError> {
        self.forward_mark = mark;
        // Without settings there is no flow yet.
        match known(&self.maps).map(|settings| settings.with_forward_mark(mark)) {
            Some(settings) => self.maps.settings.set(0, settings),
            None => Ok(()),
        }
    }

    /// Whether nobody has served by these maps yet, or somebody else was to have the new flows.
    #[must_use]
    pub fn has_not_begun(&self) -> bool {
        // An array of the kernel's has its element from the start: zeros, which no id is.
        let is_new = |settings: &Settings| settings.next_list() == 0;
        self.draining || known(&self.maps).is_none_or(is_new)
    }

    /// Has the programs open no flows, or open them again.
    ///
    /// # Errors
    /// When the settings can't be written.
    pub fn set_draining(&mut self, draining: bool) -> Result<(), MapError> {
        self.draining = draining;
        // Without settings there is no flow yet.
        match known(&self.maps).map(|settings| settings.with_draining(draining)) {
            Some(settings) => self.maps.settings.set(0, settings),
            None => Ok(()),
        }
    }

    /// Says which network namespace is the node's, [`Cookie::NONE`] if its sockets are not caught, and what its own packets leave with.
    ///
    /// # Errors
    /// When the settings can't be written.
    pub fn set_node(&mut self, netns: Cookie, addresses: (Addr4, Addr6)) -> Result<(), MapError> {
        self.node = OwnNode {
            netns,
            addresses,
            ..self.node
        };
        // Without settings there is no flow yet.
        match known(&self.maps).map(|settings| self.node.in_settings(*settings)) {
            Some(settings) => self.maps.settings.set(0, settings),
            None => Ok(()),
        }
    }

    fn settings(&mut self, node: &NodeRules, ports: PortPool) -> Settings {
        self.node.rules = socket_rules(node);
        let (next_list, next_service) = self.ids.next();
        let settings = Settings::new(ports, next_list, next_service)
            .with_pods(pods(node), pods(node))
            .with_forward_mark(self.forward_mark)
            .with_draining(self.draining);
        self.node.in_settings(settings)
    }

    /// Makes the maps hold `desired` and nothing else; masquerading takes its ports from `ports`.
    ///
    /// # Errors
    /// The first failure. All that does not depend on it is written all the same.
    pub fn apply_all(
        &mut self,
        desired: &Desired,
        ports: PortPool,
        now: Instant,
    ) -> Result<Applied, MapError> {
        let contents = encode(desired, &mut self.ids);
        // A full pass finds unused lists by what no frontend names, which holds after a failure too.
        let _: Vec<u32> = self.ids.take_replaced();
        self.unserved.replace(&contents.unserved);
        let settings = self.settings(&desired.node, ports);
        self.maps.reconcile(&contents, settings, &mut self.retired, now)
    }

    /// Makes the maps hold `desired` if they hold it apart from what `delta` names.
    ///
    /// # Errors
    /// The first failure; then [`Self::apply_all`] has to be called next.
    pub fn apply_delta(
        &mut self,
        desired: &Desired,
        delta: &Delta,
        ports: PortPool,
        now: Instant,
    ) -> Result<Applied, MapError> {
        let (contents, gone) = encode_delta(desired, delta, &mut self.ids);
        self.unserved.update(&delta.frontends, &contents.unserved);
        let settings = self.settings(&desired.node, ports);
        self.maps
            .apply((&contents, &gone), settings, &mut self.retired, now)
    }
}

/// What the programs work with.
fn known(maps: &Maps) -> Option<&Settings> {
    maps.settings.known().get(&0)
}

/// Whose sockets are translated.
fn socket_rules(node: &NodeRules) -> SocketRules {
    let knows_pods = |family| node.of(family).local_traffic != LocalTraffic::Unknown;
    let pods = node.pod_sockets.at_connect();
    let bits = [
        (true, SocketRules::NODE),
        (pods, SocketRules::PODS),
        (knows_pods(Family::V4), SocketRules::PODS4),
        (knows_pods(Family::V6), SocketRules::PODS6),
    ];
    let set = bits.into_iter().filter(|(is_set, _)| *is_set);
    set.fold(reason(&node.pod_sockets), |all, (_, bit)| all.with(bit))
}

/// Why pods' are, or are not.
const fn reason(pods: &PodSockets) -> SocketRules {
    let mesh = match pods {
        PodSockets::All | PodSockets::Host => return SocketRules::NONE,
        PodSockets::NoMesh | PodSockets::Unknown => SocketRules::NONE,
        PodSockets::Mesh(Mesh::Istio, _) => SocketRules::ISTIO,
        PodSockets::Mesh(Mesh::Linkerd, _) => SocketRules::LINKERD,
        PodSockets::Mesh(Mesh::Kuma, _) => SocketRules::KUMA,
        PodSockets::Mesh(Mesh::Consul, _) => SocketRules::CONSUL,
    };
    SocketRules::AUTO.with(mesh)
}

/// The addresses of local pods, if they are known by that.
fn pods<A: Address>(node: &NodeRules) -> Option<Network<A>> {
    let of = |family| match node.of(family).local_traffic {
        LocalTraffic::Source(pods) => Some(Network::new(
            A::from_ip(pods.network())?,
            A::from_ip(pods.netmask())?,
        )),
        _ => None,
    };
    Family::ALL.into_iter().find_map(of)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::FamilyRules;

    fn rules(pod_sockets: PodSockets) -> SocketRules {
        socket_rules(&NodeRules {
            pod_sockets,
            ..NodeRules::default()
        })
    }

    #[test]
    fn the_settings_say_whose_sockets_are_translated_and_why() {
        let node = SocketRules::NODE;
        assert_eq!(rules(PodSockets::All), node.with(SocketRules::PODS));
        assert_eq!(rules(PodSockets::Host), node);
        let auto = node.with(SocketRules::AUTO);
        assert_eq!(rules(PodSockets::NoMesh), auto.with(SocketRules::PODS));
        assert_eq!(rules(PodSockets::Unknown), auto);
        for (mesh, bit) in [
            (Mesh::Istio, SocketRules::ISTIO),
            (Mesh::Linkerd, SocketRules::LINKERD),
            (Mesh::Kuma, SocketRules::KUMA),
            (Mesh::Consul, SocketRules::CONSUL),
        ] {
            let found = PodSockets::Mesh(mesh, "group".to_owned());
            assert_eq!(rules(found), auto.with(bit), "{mesh}");
        }
    }

    #[test]
    fn sockets_of_pods_are_known_as_such_where_anything_tells_pods() {
        let rules = socket_rules(&NodeRules {
            v6: FamilyRules {
                local_traffic: LocalTraffic::Bridge("cni0".to_owned()),
                ..FamilyRules::default()
            },
            ..NodeRules::default()
        });
        assert!(rules.has(SocketRules::PODS6) && !rules.has(SocketRules::PODS4));
    }

    #[test]
    fn nobodys_are_as_long_as_the_nodes_own_namespace_is_not_known() {
        let settings = Settings::new(PortPool::new([]), 1, 1);
        let node = |netns| OwnNode {
            netns,
            addresses: (Addr4::ANY, Addr6::ANY),
            rules: SocketRules::NODE,
        };
        let rules = |netns| node(netns).in_settings(settings).sockets();
        assert_eq!(rules(Cookie::NONE), SocketRules::NONE);
        assert_eq!(rules(Cookie::new(1)), SocketRules::NODE);
    }
}
