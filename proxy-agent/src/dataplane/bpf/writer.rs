//! From what the model wants to what the maps hold, in full or in part.

use std::{collections::BTreeMap, time::Instant};

use proxy_common::{Address, Network, Settings, snat::PortPool};

use super::{
    encode::{encode, encode_delta},
    ids::Ids,
    maps::MapError,
    reconcile::{Maps, Retired},
    unserved::Report,
};
use crate::{
    dataplane::Applied,
    model::{Delta, Desired, Family, LocalTraffic, NodeRules},
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
}

impl Writer {
    /// Goes on with what an earlier run left in the maps.
    #[must_use]
    pub fn new(maps: Maps) -> Self {
        Self {
            ids: maps.restore_ids(),
            forward_mark: known(&maps).map_or(0, Settings::forward_mark),
            draining: known(&maps).is_some_and(Settings::is_draining),
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

    fn settings(&self, node: &NodeRules, ports: PortPool) -> Settings {
        let (next_list, next_service) = self.ids.next();
        Settings::new(ports, next_list, next_service)
            .with_pods(pods(node), pods(node))
            .with_forward_mark(self.forward_mark)
            .with_draining(self.draining)
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
