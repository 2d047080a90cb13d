//! The loaded programs, their maps, and packets sent through them.

use std::{
    net::{IpAddr, SocketAddr},
    ops::RangeInclusive,
    panic::resume_unwind,
    thread,
};

use aya::{
    TestRun as _, TestRunOptions,
    programs::{ProgramError, SchedClassifier},
};
use ipnet::IpNet;
use nix::sched::{CloneFlags, unshare};
use proxy_agent::{dataplane::bpf::object, model::Desired};
use proxy_common::Counter;

use super::{ClusterIp, Layer, Packet, at_once::at_once, loaded::Loaded};

/// `TCX_NEXT` and `TC_ACT_UNSPEC`.
const NEXT: u32 = u32::MAX;
/// `TC_ACT_SHOT`.
const SHOT: u32 = 2;
/// `TCX_REDIRECT` and `TC_ACT_REDIRECT`.
const REDIRECT: u32 = 7;

/// Room for a `struct __sk_buff`, and where the mark is in it.
const CONTEXT: usize = 256;
const MARK: usize = 8;

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
    /// It goes to another device's egress, with these bytes. A test run does not tell which.
    Redirected(Vec<u8>),
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
    /// `--cluster-cidr`: the addresses that pods are known by.
    pub pods: Vec<IpNet>,
}

/// The programs in the kernel, with maps that no other test has.
pub struct Datapath {
    setup: Setup,
    /// `None` only while it is dropped.
    loaded: Option<Loaded>,
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
    /// Programs on a node, without any Service. To be used inside of [`in_own_netns`].
    ///
    /// # Panics
    ///
    /// Without a BPF object, or on a kernel that refuses it.
    #[must_use]
    pub fn load(setup: Setup) -> Self {
        let mut loaded = Loaded::take().unwrap_or_else(|error| panic!("{error:#}"));
        loaded.apply_node(&setup).expect("the node's maps can be written");
        loaded
            .apply(&[], &setup)
            .expect("the maps of Services can be written");
        Self {
            setup,
            loaded: Some(loaded),
        }
    }

    fn loaded(&self) -> &Loaded {
        self.loaded.as_ref().expect("not dropped")
    }

    fn loaded_mut(&mut self) -> &mut Loaded {
        self.loaded.as_mut().expect("not dropped")
    }

    /// Makes the maps say that these are all the Services there are, and lets the time pass after which old lists go.
    ///
    /// # Panics
    ///
    /// When a map can't be written.
    pub fn apply(&mut self, services: &[ClusterIp]) {
        let setup = self.setup.clone();
        self.loaded_mut()
            .apply(services, &setup)
            .expect("the maps of Services can be written");
    }

    /// As [`Self::apply`], with what the model says of the node, pods included.
    ///
    /// # Panics
    ///
    /// When a map can't be written.
    pub fn apply_desired(&mut self, desired: &Desired) {
        let setup = self.setup.clone();
        self.loaded_mut()
            .apply_desired(desired, &setup)
            .expect("the maps of Services can be written");
    }

    /// The layer of the device.
    #[must_use]
    pub const fn layer(&self) -> Layer {
        self.setup.layer
    }

    /// Sends bytes. Whatever the device's layer, the kernel takes the packet's protocol from bytes 12 and 13, where Ethernet has its
    /// EtherType.
    ///
    /// # Errors
    ///
    /// The kernel's, when it does not give such a packet to any program.
    ///
    /// # Panics
    ///
    /// When the verdict is none that the programs give.
    pub fn send_bytes(&mut self, hook: Hook, bytes: &[u8]) -> Result<Outcome, ProgramError> {
        self.send_bytes_marked(hook, bytes, 0).map(|(outcome, _)| outcome)
    }

    /// As [`Self::send_bytes`], with a mark; gives the mark that the packet then has, too.
    ///
    /// # Errors
    ///
    /// As [`Self::send_bytes`].
    ///
    /// # Panics
    ///
    /// As [`Self::send_bytes`].
    pub fn send_bytes_marked(
        &mut self,
        hook: Hook,
        bytes: &[u8],
        mark: u32,
    ) -> Result<(Outcome, u32), ProgramError> {
        let program = self.program(hook);
        run(program, hook, bytes, mark)
    }

    fn program(&mut self, hook: Hook) -> &SchedClassifier {
        let name = hook.program(self.setup.layer);
        object::program(&mut self.loaded_mut().object, name).expect("the program")
    }

    /// Sends two packets at the same time, each on a CPU of its own; what goes on of each.
    ///
    /// # Panics
    ///
    /// As [`Self::try_send`].
    pub fn send_at_once(&mut self, hook: Hook, packets: [&Packet; 2]) -> [Option<Packet>; 2] {
        let layer = self.setup.layer;
        let program = self.program(hook);
        let bytes = packets.map(|packet| packet.bytes(layer));
        let sent = at_once(|which| run(program, hook, &bytes[which], 0));
        sent.map(|sent| went_on(hook, sent.expect("a whole packet can be sent").0, layer))
    }

    /// Sends a packet with a mark, which must go on; it and its mark then.
    ///
    /// # Panics
    ///
    /// When it does not go on.
    pub fn send_marked(&mut self, hook: Hook, packet: &Packet, mark: u32) -> (Packet, u32) {
        let layer = self.setup.layer;
        match self.send_bytes_marked(hook, &packet.bytes(layer), mark) {
            Ok((Outcome::Next(bytes), mark)) => (Packet::parse(&bytes, layer), mark),
            other => panic!("{packet:?} becomes {other:?}: {:?}", self.counted()),
        }
    }

    /// Makes packets of masqueraded flows carry this mark between the hooks.
    ///
    /// # Panics
    ///
    /// When the map can't be written.
    pub fn set_forward_mark(&mut self, mark: u32) {
        self.loaded_mut()
            .set_forward_mark(mark)
            .expect("the settings can be written");
    }

    /// Sends a packet, and gives what goes on; `None` if it is dropped.
    ///
    /// # Panics
    ///
    /// When it is redirected, when what goes on has a wrong checksum, or something else than addresses and ports has changed.
    pub fn try_send(&mut self, hook: Hook, packet: &Packet) -> Option<Packet> {
        let layer = self.setup.layer;
        let sent = self.send_bytes(hook, &packet.bytes(layer));
        went_on(hook, sent.expect("a whole packet can be sent"), layer)
    }

    /// Sends a packet to ingress that must come back as its own answer; the bytes of that.
    ///
    /// # Panics
    ///
    /// When it does not.
    pub fn answer(&mut self, packet: &Packet) -> Vec<u8> {
        let bytes = packet.bytes(self.setup.layer);
        match self.send_bytes(Hook::Ingress, &bytes) {
            Ok(Outcome::Redirected(answer)) => answer,
            other => panic!("{packet:?} becomes {other:?}: {:?}", self.counted()),
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
        self.loaded().count(counter).expect("the counters can be read")
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
            SocketAddr::V4(_) => self.loaded_mut().flows4.has(hook, packet),
            SocketAddr::V6(_) => self.loaded_mut().flows6.has(hook, packet),
        }
    }

    /// Entries in the tables of both families.
    #[must_use]
    pub fn flows(&mut self, hook: Hook) -> usize {
        let loaded = self.loaded_mut();
        loaded.flows4.len(hook) + loaded.flows6.len(hook)
    }

    /// Everything that both tables of both families hold, for comparison.
    #[must_use]
    pub fn flow_entries(&mut self, hook: Hook) -> impl PartialEq + std::fmt::Debug + use<> {
        let loaded = self.loaded_mut();
        (loaded.flows4.entries(hook), loaded.flows6.entries(hook))
    }

    /// Does what a full table would do to the entry of `packet`.
    ///
    /// # Panics
    ///
    /// When there is none.
    pub fn evict(&mut self, hook: Hook, packet: &Packet) {
        match packet.source {
            SocketAddr::V4(_) => self.loaded_mut().flows4.evict(hook, packet),
            SocketAddr::V6(_) => self.loaded_mut().flows6.evict(hook, packet),
        }
    }

    /// Makes the endpoints that clients are to keep look as if they had been chosen so long before.
    ///
    /// # Panics
    ///
    /// When the map can't be read or written.
    pub fn age_affinities(&mut self, seconds: u32) {
        let loaded = self.loaded_mut();
        loaded.affinities4.age(seconds).expect("the map can be written");
        loaded.affinities6.age(seconds).expect("the map can be written");
    }

    /// Makes all that is known of fragments look as if it had been seen so long before.
    ///
    /// # Panics
    ///
    /// When the maps can't be read or written.
    pub fn age_fragments(&mut self, seconds: u32) {
        let loaded = self.loaded_mut();
        loaded.fragments4.age(seconds).expect("the maps can be written");
        loaded.fragments6.age(seconds).expect("the maps can be written");
    }

    /// Datagrams whose first fragment is remembered.
    #[must_use]
    pub fn datagrams(&self) -> usize {
        self.loaded().fragments4.len() + self.loaded().fragments6.len()
    }

    /// Makes the entry of `packet` look as if it had been idle for so long.
    ///
    /// # Panics
    ///
    /// When there is none.
    pub fn age(&mut self, hook: Hook, packet: &Packet, seconds: u32) {
        match packet.source {
            SocketAddr::V4(_) => self.loaded_mut().flows4.age(hook, packet, seconds),
            SocketAddr::V6(_) => self.loaded_mut().flows6.age(hook, packet, seconds),
        }
    }
}

fn run(
    program: &SchedClassifier,
    hook: Hook,
    bytes: &[u8],
    mark: u32,
) -> Result<(Outcome, u32), ProgramError> {
    let mut out = vec![0; bytes.len() + 256];
    let mut context = [0; CONTEXT];
    context[MARK..MARK + 4].copy_from_slice(&mark.to_ne_bytes());
    let mut context_out = [0; CONTEXT];
    let result = program.test_run(TestRunOptions {
        data_in: Some(bytes),
        data_out: Some(&mut out),
        ctx_in: Some(&context[..MARK + 4]),
        ctx_out: Some(&mut context_out),
        ..TestRunOptions::new()
    })?;
    out.truncate(usize::try_from(result.data_size_out).expect("a length"));
    let outcome = match result.return_value {
        NEXT => Outcome::Next(out),
        REDIRECT => Outcome::Redirected(out),
        SHOT => Outcome::Dropped,
        other => panic!("{hook:?} gives verdict {other}"),
    };
    let mark = context_out[MARK..].first_chunk().expect("four bytes");
    Ok((outcome, u32::from_ne_bytes(*mark)))
}

fn went_on(hook: Hook, outcome: Outcome, layer: Layer) -> Option<Packet> {
    match outcome {
        Outcome::Next(bytes) => Some(Packet::parse(&bytes, layer)),
        Outcome::Dropped => None,
        Outcome::Redirected(bytes) => panic!("{hook:?} redirects a packet as {bytes:x?}"),
    }
}

impl Drop for Datapath {
    fn drop(&mut self) {
        if let Some(loaded) = self.loaded.take() {
            loaded.give_back();
        }
    }
}
