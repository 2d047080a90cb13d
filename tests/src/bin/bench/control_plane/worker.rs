//! A process with one cluster in memory and the maps of one node in the kernel. It does what a line on its standard input says and
//! answers with one line.

use std::{
    io::{self, BufRead as _, Write as _},
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, bail};
use harness::{netns::NetNs, scratch::Scratch};
use proxy_agent::{
    dataplane::{
        Dataplane as _,
        bpf::{
            BpfDataplane, Options,
            attach::TcAttach,
            object::{MapSizes, PinDir},
        },
    },
    model::{Changes, Cluster, ClusterEvent, EndpointSlice, NodeContext, Object, ObjectKind, Plan},
};

use super::{ENDPOINTS, objects};

/// Lists stay for a second after their last frontend.
const BEYOND_GRACE: Duration = Duration::from_millis(1_100);

/// Serves `services` until standard input ends.
pub(crate) fn run(services: u32) -> Result<()> {
    let [ns] = NetNs::create_all(["bench"])?;
    let scratch = Scratch::create()?;
    ns.run(|| {
        let mut node = Node::start(&scratch, services)?;
        let mut out = io::stdout();
        for line in io::stdin().lock().lines() {
            let answer = node.obey(&line?)?;
            writeln!(out, "{answer}")?;
            out.flush()?;
        }
        Ok(())
    })
}

struct Node {
    cluster: Cluster,
    plan: Plan,
    dataplane: BpfDataplane,
    services: u32,
    /// The next endpoint that nobody has.
    fresh: u32,
    /// The next Service to change.
    turn: u32,
}

impl Node {
    fn start(scratch: &Scratch, services: u32) -> Result<Self> {
        let options = Options {
            pins: PinDir::new(&scratch.bpffs().join("pins")),
            tc_attach: TcAttach::Auto,
            sizes: MapSizes {
                flows: 16_384,
                ..MapSizes::DEFAULT
            },
            node_ports: 30_000..=32_767,
        };
        let mut cluster = Cluster::default();
        let all = 0..services;
        let list = all.clone().map(objects::service).map(Object::Service).collect();
        cluster.handle(ClusterEvent::Replace(ObjectKind::Service, list));
        let list = all.map(first_slice).map(Object::EndpointSlice).collect();
        cluster.handle(ClusterEvent::Replace(ObjectKind::EndpointSlice, list));
        let context = NodeContext {
            name: "node-1".to_owned(),
            ..NodeContext::default()
        };
        Ok(Self {
            cluster,
            plan: Plan::new(context),
            dataplane: BpfDataplane::new(options)?,
            services,
            fresh: services * ENDPOINTS,
            turn: 0,
        })
    }

    /// The answer is in milliseconds, but for `memory`, which is in MiB.
    fn obey(&mut self, command: &str) -> Result<f64> {
        let (command, count) = command.split_once(' ').unwrap_or((command, "0"));
        let count: u32 = count.parse()?;
        match command {
            "nothing" => Ok(0.0),
            "cold" => self.cold(),
            "endpoint" => self.change_endpoint(),
            "service" => self.add_service(),
            "flap" => self.flap(),
            "large" => self.add_large(count),
            "large-endpoint" => self.change_large(count),
            "later" => self.later(),
            "memory" => peak_memory(),
            _ => bail!("unknown command {command:?}"),
        }
    }

    fn cold(&mut self) -> Result<f64> {
        let start = Instant::now();
        self.plan.update(&self.cluster, &Changes::everything());
        self.dataplane.apply_all(self.plan.desired())?;
        Ok(millis(start))
    }

    fn change_endpoint(&mut self) -> Result<f64> {
        let service = self.next_service();
        let endpoints = numbers(service).skip(1).chain([self.fresh]);
        self.fresh += 1;
        let slice = objects::slice(service, endpoints);
        self.apply(vec![Object::EndpointSlice(slice)])
    }

    fn add_service(&mut self) -> Result<f64> {
        let index = self.fresh;
        self.fresh += ENDPOINTS;
        let slice = objects::slice(index, index..index + ENDPOINTS);
        self.apply(vec![
            Object::Service(objects::service(index)),
            Object::EndpointSlice(slice),
        ])
    }

    /// One endpoint in a hundred is replaced, in one pass.
    fn flap(&mut self) -> Result<f64> {
        let slices = (0..(self.services * ENDPOINTS / 100).max(1)).map(|_| {
            let service = self.next_service();
            let endpoints: Vec<u32> = numbers(service).skip(1).chain([self.fresh]).collect();
            self.fresh += 1;
            Object::EndpointSlice(objects::slice(service, endpoints.into_iter()))
        });
        let slices = slices.collect();
        self.apply(slices)
    }

    fn add_large(&mut self, endpoints: u32) -> Result<f64> {
        let index = u32::MAX / 1_000;
        let first = self.fresh;
        self.fresh += endpoints + 1_000_000;
        let slice = objects::slice(index, first..first + endpoints);
        self.apply(vec![
            Object::Service(objects::service(index)),
            Object::EndpointSlice(slice),
        ])
    }

    /// Another `endpoints` endpoints than the last time, but for all of them but one.
    fn change_large(&mut self, endpoints: u32) -> Result<f64> {
        let index = u32::MAX / 1_000;
        let first = self.fresh - 1_000_000 - endpoints;
        self.fresh += 1;
        let slice = objects::slice(index, first + 1..first + 1 + endpoints);
        self.apply(vec![Object::EndpointSlice(slice)])
    }

    /// What was left for later.
    fn later(&mut self) -> Result<f64> {
        std::thread::sleep(BEYOND_GRACE);
        self.apply(Vec::new())
    }

    fn apply(&mut self, objects: Vec<Object>) -> Result<f64> {
        let start = Instant::now();
        let mut changes = Changes::default();
        for object in objects {
            changes.merge(self.cluster.handle(ClusterEvent::Apply(object)));
        }
        let delta = self.plan.update(&self.cluster, &changes);
        self.dataplane.apply_delta(self.plan.desired(), &delta)?;
        Ok(millis(start))
    }

    /// In steps, so that neighbours in the maps are not neighbours in time.
    const fn next_service(&mut self) -> u32 {
        self.turn = (self.turn + 7_919) % self.services;
        self.turn
    }
}

fn first_slice(service: u32) -> EndpointSlice {
    objects::slice(service, numbers(service))
}

fn numbers(service: u32) -> impl Iterator<Item = u32> {
    (0..ENDPOINTS).map(move |endpoint| service * ENDPOINTS + endpoint)
}

fn millis(since: Instant) -> f64 {
    since.elapsed().as_secs_f64() * 1_000.0
}

/// `VmHWM` of this process.
fn peak_memory() -> Result<f64> {
    super::memory::peak("self").context("cannot tell the peak of memory")
}
