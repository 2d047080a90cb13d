//! When the frontend of a Service gets another list.

use std::{
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, bail};
use aya::maps::{HashMap, Map, MapData};
use harness::agent::Agent;
use proxy_agent::{dataplane::bpf::object::PinDir, model::Family};
use proxy_common::{Addr4, Address as _, Frontend, FrontendKey, Port, TCP};

use crate::cluster::objects;

/// Often enough for a tenth of a millisecond, seldom enough to leave the processor to the others.
const INTERVAL: Duration = Duration::from_micros(100);
const PATIENCE: Duration = Duration::from_secs(20);

/// A frontend in the agent's map.
pub(super) struct Watched {
    map: HashMap<MapData, FrontendKey<Addr4>, Frontend>,
    key: FrontendKey<Addr4>,
}

/// Somebody who looks at it.
pub(super) struct Watcher(JoinHandle<Result<Instant>>);

impl Watched {
    /// That of Service `index`.
    pub(super) fn new(agent: &Agent, index: u32) -> Result<Self> {
        let pin = PinDir::new(agent.pin_root()).map("FRONTENDS4");
        let address = Addr4::from_ip(objects::cluster_ip(index, Family::V4)).context("not IPv4")?;
        Ok(Self {
            map: Map::HashMap(MapData::from_pin(pin)?).try_into()?,
            key: FrontendKey::new(address, Port::new(80), TCP),
        })
    }

    /// The list that it names at present.
    pub(super) fn list(&self) -> Result<Option<u32>> {
        match self.map.get(&self.key, 0) {
            Ok(frontend) => Ok(Some(frontend.list_for(false).id)),
            Err(aya::maps::MapError::KeyNotFound) => Ok(None),
            Err(error) => Err(error.into()),
        }
    }

    /// Looks until it names another one.
    pub(super) fn wait_for_change(self) -> Result<Watcher> {
        let before = self.list()?;
        let look = move || {
            let start = Instant::now();
            while self.list()? == before {
                if start.elapsed() > PATIENCE {
                    bail!("a change has not reached the map in {PATIENCE:?}");
                }
                thread::sleep(INTERVAL);
            }
            Ok(Instant::now())
        };
        Ok(Watcher(thread::spawn(look)))
    }
}

impl Watcher {
    /// When it did.
    pub(super) fn join(self) -> Result<Instant> {
        self.0
            .join()
            .map_err(|_| anyhow::anyhow!("the thread that looks at the map panicked"))?
    }
}
