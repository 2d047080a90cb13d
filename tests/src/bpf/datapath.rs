//! The loaded programs, their maps, and packets sent through them.

use std::{
    net::IpAddr,
    ops::RangeInclusive,
    panic::resume_unwind,
    thread,
    time::{Duration, Instant},
};

use aya::{
    Ebpf, TestRun as _, TestRunOptions,
    maps::{MapData, PerCpuArray},
};
use nix::sched::{CloneFlags, unshare};
use proxy_agent::{
    dataplane::bpf::{
        encode::encode,
        ids::Ids,
        object::{self, PinDir},
        reconcile::{Maps, Retired},
    },
    model::{NodeContext, compute},
};
use proxy_common::{Addr4, Addr6, Address, Counter, Interface, snat::PortPool};

use super::{ClusterIp, FlowTables, Layer, Packet, cluster};
use crate::scratch::Scratch;

/// Test runs are on the loopback device of the caller's network namespace.
const LOOPBACK: u32 = 1;
/// `TCX_NEXT` and `TC_ACT_UNSPEC`.
const NEXT: u32 = u32::MAX;
/// `TC_ACT_SHOT`.
const SHOT: u32 = 2;
/// Lists go after a second without a frontend.
const BEYOND_GRACE: Duration = Duration::from_secs(2);

/// Where a packet meets the programs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Hook {
    /// It arrives on a device.
    Ingress,
    /// It leaves by a device.
    Egress,
}

impl Hook {
    const fn program(self, layer: Layer) -> &'static str {
        match (self, layer) {
            (Self::Ingress, Layer::Ethernet) => "tc_ingress",
            (Self::Egress, Layer::Ethernet) => "tc_egress",
            (Self::Ingress, Layer::Ip) => "tc_ingress_l3",
            (Self::Egress, Layer::Ip) => "tc_egress_l3",
        }
    }
}

/// What became of a packet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// It goes on, with these bytes.
    Next(Vec<u8>),
    /// It is gone.
    Dropped,
}

/// The node that the programs run on.
#[derive(Clone, Debug)]
pub struct Setup {
    /// The layer of the device that packets arrive on and leave by.
    pub layer: Layer,
    /// The node's addresses, the source of masqueraded packets.
    pub node: Vec<IpAddr>,
    /// Ports for masquerading.
    pub ports: Vec<RangeInclusive<u16>>,
    /// Entries of each flow table.
    pub flow_table_size: u32,
}

/// The programs in the kernel with maps of their own. Everything goes with it, also on panic.
pub struct Datapath {
    setup: Setup,
    object: Ebpf,
    maps: Maps,
    ids: Ids,
    retired: Retired,
    now: Instant,
    counters: PerCpuArray<MapData, u64>,
    flows4: FlowTables<Addr4>,
    flows6: FlowTables<Addr6>,
    _scratch: Scratch,
}

/// Runs `test` on a thread in a new network namespace, which ends with the thread.
///
/// # Panics
///
/// When `test` does, or without root.
pub fn in_own_netns<T: Send>(test: impl FnOnce() -> T + Send) -> T {
    let inside = || {
        unshare(CloneFlags::CLONE_NEWNET)
            .expect("network namespaces need root: run `cargo xtask test` as root");
        test()
    };
    thread::scope(|scope| scope.spawn(inside).join()).unwrap_or_else(|panic| resume_unwind(panic))
}

impl Datapath {
    /// Loads the programs. Call it inside of [`in_own_netns`].
    ///
    /// # Panics
    ///
    /// Without a BPF object, or on a kernel that refuses it.
    #[must_use]
    pub fn load(setup: Setup) -> Self {
        let scratch = Scratch::create().expect("a private bpffs");
        let pins = PinDir::new(&scratch.bpffs());
        let mut object = object::load(&pins, setup.flow_table_size).unwrap_or_else(|error| {
            panic!(
                "the BPF programs do not load: {error:#}\n`cargo xtask test` builds them and tells the tests where \
                 they are, in KUBE_PORTAL_BPF_OBJECT"
            )
        });
        let mut maps = object::maps(&mut object).expect("the agent's maps");
        tell_node(&mut maps, &setup.node);
        let counters = object.take_map("COUNTERS").expect("the object has counters");
        Self {
            flows4: FlowTables::take(&mut object, ["INGRESS_FLOWS4", "EGRESS_FLOWS4"]).expect("flow tables"),
            flows6: FlowTables::take(&mut object, ["INGRESS_FLOWS6", "EGRESS_FLOWS6"]).expect("flow tables"),
            counters: PerCpuArray::try_from(counters).expect("an array for each CPU"),
            ids: maps.restore_ids(),
            retired: Retired::default(),
            now: Instant::now(),
            setup,
            object,
            maps,
            _scratch: scratch,
        }
    }

    /// Makes the maps say that these are all the Services there are, and lets the time pass after which old lists go.
    ///
    /// # Panics
    ///
    /// When a map can't be written.
    pub fn apply(&mut self, services: &[ClusterIp]) {
        let desired = compute(
            &cluster(services),
            &NodeContext {
                name: "node".to_owned(),
            },
        );
        let contents = encode(&desired, &mut self.ids);
        assert_eq!(
            contents.unserved,
            [],
            "the test asks for what the programs do not serve"
        );
        for _ in 0..2 {
            let ports = PortPool::new(self.setup.ports.iter().cloned());
            self.maps
                .reconcile(&contents, (&self.ids, ports), &mut self.retired, self.now)
                .expect("the maps can be written");
            self.now += BEYOND_GRACE;
        }
    }

    /// The layer of the device.
    #[must_use]
    pub const fn layer(&self) -> Layer {
        self.setup.layer
    }

    /// Sends bytes. They must make the kernel see the right protocol: see [`super::Layer`] and the addresses of the tests.
    ///
    /// # Errors
    ///
    /// The kernel's, when it does not give such a packet to any program.
    ///
    /// # Panics
    ///
    /// When the verdict is none that the programs give.
    pub fn send_bytes(&mut self, hook: Hook, bytes: &[u8]) -> Result<Outcome, aya::programs::ProgramError> {
        let mut out = vec![0; bytes.len() + 256];
        let program = object::program(&mut self.object, hook.program(self.setup.layer)).expect("the program");
        let result = program.test_run(TestRunOptions {
            data_in: Some(bytes),
            data_out: Some(&mut out),
            ..TestRunOptions::new()
        })?;
        out.truncate(usize::try_from(result.data_size_out).expect("a length"));
        Ok(match result.return_value {
            NEXT => Outcome::Next(out),
            SHOT => Outcome::Dropped,
            other => panic!("{hook:?} gives verdict {other}"),
        })
    }

    /// Sends a packet, and gives what goes on; `None` if it is dropped.
    ///
    /// # Panics
    ///
    /// When what goes on has a wrong checksum, or something else than addresses and ports has changed.
    pub fn try_send(&mut self, hook: Hook, packet: &Packet) -> Option<Packet> {
        let layer = self.setup.layer;
        match self
            .send_bytes(hook, &packet.bytes(layer))
            .expect("a whole packet can be sent")
        {
            Outcome::Next(bytes) => Some(Packet::parse(&bytes, layer)),
            Outcome::Dropped => None,
        }
    }

    /// Sends a packet that must go on.
    ///
    /// # Panics
    ///
    /// When it is dropped, and as [`Self::try_send`] does.
    pub fn send(&mut self, hook: Hook, packet: &Packet) -> Packet {
        let sent = self.try_send(hook, packet);
        sent.unwrap_or_else(|| panic!("{hook:?} drops {packet:?}: {:?}", self.counted()))
    }

    /// A counter's value.
    ///
    /// # Panics
    ///
    /// When the map can't be read.
    #[must_use]
    pub fn count(&self, counter: Counter) -> u64 {
        let values = self
            .counters
            .get(&(counter as u32), 0)
            .expect("a slot for each counter");
        values.iter().sum()
    }

    /// Names and values of all counters that are not zero.
    #[must_use]
    pub fn counted(&self) -> Vec<(&'static str, u64)> {
        Counter::ALL
            .iter()
            .map(|counter| (counter.name(), self.count(*counter)))
            .filter(|(_, count)| *count != 0)
            .collect()
    }

    /// Whether the table has an entry for `packet`.
    #[must_use]
    pub fn has_flow(&mut self, hook: Hook, packet: &Packet) -> bool {
        match packet.source {
            std::net::SocketAddr::V4(_) => self.flows4.has(hook, packet),
            std::net::SocketAddr::V6(_) => self.flows6.has(hook, packet),
        }
    }

    /// Entries in the tables of both families.
    #[must_use]
    pub fn flows(&mut self, hook: Hook) -> usize {
        self.flows4.len(hook) + self.flows6.len(hook)
    }

    /// Does what a full table would do to the entry of `packet`.
    ///
    /// # Panics
    ///
    /// When there is none.
    pub fn evict(&mut self, hook: Hook, packet: &Packet) {
        match packet.source {
            std::net::SocketAddr::V4(_) => self.flows4.evict(hook, packet),
            std::net::SocketAddr::V6(_) => self.flows6.evict(hook, packet),
        }
    }

    /// Makes the entry of `packet` look as if it had been idle for so long.
    ///
    /// # Panics
    ///
    /// When there is none.
    pub fn age(&mut self, hook: Hook, packet: &Packet, seconds: u32) {
        match packet.source {
            std::net::SocketAddr::V4(_) => self.flows4.age(hook, packet, seconds),
            std::net::SocketAddr::V6(_) => self.flows6.age(hook, packet, seconds),
        }
    }
}

fn tell_node(maps: &mut Maps, addresses: &[IpAddr]) {
    let (mut snat4, mut snat6) = (Addr4::ANY, Addr6::ANY);
    for address in addresses {
        if let Some(v4) = Addr4::from_ip(*address) {
            snat4 = v4;
            maps.v4.node_addresses.set(v4, 1).expect("a local address");
        }
        if let Some(v6) = Addr6::from_ip(*address) {
            snat6 = v6;
            maps.v6.node_addresses.set(v6, 1).expect("a local address");
        }
    }
    maps.interfaces
        .set(LOOPBACK, Interface::new(snat4, snat6))
        .expect("an interface");
}
