//! Programs and maps in the kernel, handed from test to test: the verifier takes half a second for the programs, the tests
//! themselves a few milliseconds.

use std::{
    sync::{Mutex, PoisonError},
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result};
use aya::{
    Ebpf,
    maps::{MapData, PerCpuArray, PerCpuValues},
    util::nr_cpus,
};
use proxy_agent::{
    dataplane::bpf::{
        object::{self, MapSizes, PinDir},
        writer::Writer,
    },
    model::{Desired, DetectLocal, NodeContext, compute},
};
use proxy_common::{
    Addr4, Addr6, Address, Counter, Interface, InterfaceFlags, NODE_PORTS, ON_DEVICE, RateLimit,
    snat::PortPool,
};

use super::{Affinities, ClusterIp, FlowTables, Fragments, Setup, cluster, service::NODE};
use crate::scratch::Scratch;

/// Test runs are on the loopback device of the caller's network namespace.
const LOOPBACK: u32 = 1;
/// Lists go after a second without a frontend.
const BEYOND_GRACE: Duration = Duration::from_secs(2);
/// Flow tables with more entries: more than three times what any test opens.
const SIZES: MapSizes = MapSizes {
    flows: 32_768,
    ..MapSizes::DEFAULT
};

/// Those that no test is using. They end with the process: nothing of them is pinned.
static IDLE: Mutex<Vec<Loaded>> = Mutex::new(Vec::new());

/// The programs, with maps that no other test has.
pub(super) struct Loaded {
    pub(super) object: Ebpf,
    pub(super) flows4: FlowTables<Addr4>,
    pub(super) flows6: FlowTables<Addr6>,
    pub(super) affinities4: Affinities<Addr4>,
    pub(super) affinities6: Affinities<Addr6>,
    pub(super) fragments4: Fragments<Addr4>,
    pub(super) fragments6: Fragments<Addr6>,
    counters: PerCpuArray<MapData, u64>,
    reject_rate: PerCpuArray<MapData, RateLimit>,
    writer: Writer,
    now: Instant,
}

impl Loaded {
    /// One that another test is done with, else a new one; with nothing in its maps.
    pub(super) fn take() -> Result<Self> {
        let idle = IDLE.lock().unwrap_or_else(PoisonError::into_inner).pop();
        let mut loaded = idle.map_or_else(Self::load, Ok)?;
        loaded.clear()?;
        Ok(loaded)
    }

    /// For the next test.
    pub(super) fn give_back(self) {
        IDLE.lock().unwrap_or_else(PoisonError::into_inner).push(self);
    }

    fn load() -> Result<Self> {
        // The pins are gone at the end of this function; the maps live on, because programs use them.
        let scratch = Scratch::create()?;
        let pins = PinDir::new(&scratch.bpffs());
        let mut object = object::load(&pins, SIZES).context(
            "the BPF programs do not load; `cargo xtask test` builds them and tells the tests where they are, in \
             KUBE_PORTAL_BPF_OBJECT",
        )?;
        let writer = Writer::new(object::maps(&mut object, &pins)?);
        let counters = object
            .take_map("COUNTERS")
            .context("the object has no counters")?;
        let reject_rate = object
            .take_map("REJECT_RATE")
            .context("the object has no rate of rejects")?;
        Ok(Self {
            flows4: FlowTables::take(&mut object, ["INGRESS_FLOWS4", "EGRESS_FLOWS4"])?,
            flows6: FlowTables::take(&mut object, ["INGRESS_FLOWS6", "EGRESS_FLOWS6"])?,
            affinities4: Affinities::take(&mut object, "AFFINITY4")?,
            affinities6: Affinities::take(&mut object, "AFFINITY6")?,
            fragments4: Fragments::take(&mut object, ["FRAGMENTS4", "FRAGMENTED4"])?,
            fragments6: Fragments::take(&mut object, ["FRAGMENTS6", "FRAGMENTED6"])?,
            counters: PerCpuArray::try_from(counters)?,
            reject_rate: PerCpuArray::try_from(reject_rate)?,
            now: Instant::now(),
            object,
            writer,
        })
    }

    fn clear(&mut self) -> Result<()> {
        self.writer.maps.v4.node_addresses.retain(|_| false)?;
        self.writer.maps.v6.node_addresses.retain(|_| false)?;
        self.writer.maps.interfaces.retain(|_| false)?;
        self.set_forward_mark(0)?;
        self.flows4.clear()?;
        self.flows6.clear()?;
        self.affinities4.clear()?;
        self.affinities6.clear()?;
        self.fragments4.clear()?;
        self.fragments6.clear()?;
        let cpus = nr_cpus().map_err(|(_, error)| error)?;
        for counter in Counter::ALL {
            self.counters
                .set(*counter as u32, PerCpuValues::try_from(vec![0; cpus])?, 0)?;
        }
        self.reject_rate
            .set(0, PerCpuValues::try_from(vec![RateLimit::FULL; cpus])?, 0)?;
        Ok(())
    }

    pub(super) fn set_forward_mark(&mut self, mark: u32) -> Result<()> {
        Ok(self.writer.set_forward_mark(mark)?)
    }

    pub(super) fn count(&self, counter: Counter) -> Result<u64> {
        Ok(self.counters.get(&(counter as u32), 0)?.iter().sum())
    }

    /// Makes these all the Services there are, and lets the time pass after which old lists go.
    pub(super) fn apply(&mut self, services: &[ClusterIp], setup: &Setup) -> Result<()> {
        let node = NodeContext {
            name: NODE.to_owned(),
            detect_local: DetectLocal::ClusterCidr(setup.pods.clone()),
            ..NodeContext::default()
        };
        self.apply_desired(&compute(&cluster(services), &node), setup)
    }

    /// As [`Self::apply`], with what the model says.
    pub(super) fn apply_desired(&mut self, desired: &Desired, setup: &Setup) -> Result<()> {
        for _ in 0..2 {
            let ports = PortPool::new(setup.ports.iter().cloned());
            self.writer.apply_all(desired, ports, self.now)?;
            self.now += BEYOND_GRACE;
        }
        Ok(())
    }

    pub(super) fn apply_node(&mut self, setup: &Setup) -> Result<()> {
        let (mut snat4, mut snat6) = (Addr4::ANY, Addr6::ANY);
        for address in &setup.node {
            if let Some(v4) = Addr4::from_ip(*address) {
                snat4 = v4;
                self.writer
                    .maps
                    .v4
                    .node_addresses
                    .set(v4, NODE_PORTS | ON_DEVICE)?;
            }
            if let Some(v6) = Addr6::from_ip(*address) {
                snat6 = v6;
                self.writer
                    .maps
                    .v6
                    .node_addresses
                    .set(v6, NODE_PORTS | ON_DEVICE)?;
            }
        }
        self.writer
            .maps
            .interfaces
            .set(LOOPBACK, Interface::new(snat4, snat6, InterfaceFlags::NONE))?;
        Ok(())
    }
}
