//! A process with one cluster in memory and the maps of one node in the kernel. It does what a line on its standard input says and
//! answers with one line.

use std::{
    path::Path,
    sync::Arc,
    time::{Duration, Instant},
};

use anyhow::{Result, bail};
use harness::{cgroup::Cgroup, netns::NetNs, scratch::Scratch};
use proxy_agent::{
    dataplane::{
        Dataplane as _,
        bpf::{
            BpfDataplane, Options,
            attach::TcAttach,
            object::{MapSizes, PinDir},
        },
    },
    model::{Family, NodeContext, Object},
};
use tokio::sync::watch;

use crate::{
    cluster::{
        in_memory::InMemory,
        objects::{self, ENDPOINTS},
    },
    process,
};

/// Lists stay for a second after their last frontend.
const BEYOND_GRACE: Duration = Duration::from_millis(1_100);

/// Serves `services` until standard input ends.
pub(crate) fn run(services: u32) -> Result<()> {
    let [ns] = NetNs::create_all(["bench"])?;
    let cgroup = Arc::new(Cgroup::create("bench")?);
    ns.join(Arc::clone(&cgroup))?;
    let scratch = Scratch::create()?;
    ns.run(|| {
        let mut node = Node::start(&scratch, cgroup.path(), services)?;
        process::obey(|line| node.obey(line))
    })
}

struct Node {
    cluster: InMemory,
    dataplane: BpfDataplane,
}

impl Node {
    fn start(scratch: &Scratch, cgroup: &Path, services: u32) -> Result<Self> {
        let options = Options {
            pins: PinDir::new(&scratch.bpffs().join("pins")),
            tc_attach: TcAttach::Auto,
            cgroup_root: Some(cgroup.to_owned()),
            sizes: MapSizes {
                flows: 16_384,
                ..MapSizes::DEFAULT
            },
            node_ports: 30_000..=32_767,
            caught: watch::Sender::default(),
        };
        let context = NodeContext {
            name: "node-1".to_owned(),
            ..NodeContext::default()
        };
        Ok(Self {
            cluster: InMemory::new(services, Family::V4, context),
            dataplane: BpfDataplane::new(options)?,
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
            "memory" => process::peak_memory(std::process::id()),
            _ => bail!("unknown command {command:?}"),
        }
    }

    fn cold(&mut self) -> Result<f64> {
        let start = Instant::now();
        self.cluster.compute();
        self.dataplane.apply_all(self.cluster.desired())?;
        Ok(millis(start))
    }

    fn change_endpoint(&mut self) -> Result<f64> {
        let slice = self.cluster.changed_slice();
        self.apply(vec![slice])
    }

    fn add_service(&mut self) -> Result<f64> {
        let objects = self.cluster.new_service();
        self.apply(objects)
    }

    /// One endpoint in a hundred is replaced, in one pass.
    fn flap(&mut self) -> Result<f64> {
        let count = (self.cluster.services() * ENDPOINTS / 100).max(1);
        let slices = (0..count).map(|_| self.cluster.changed_slice()).collect();
        self.apply(slices)
    }

    fn add_large(&mut self, endpoints: u32) -> Result<f64> {
        let index = u32::MAX / 1_000;
        let first = self.cluster.fresh;
        self.cluster.fresh += endpoints + 1_000_000;
        let slice = objects::slice(index, first..first + endpoints, Family::V4);
        self.apply(vec![
            Object::Service(objects::service(index, Family::V4)),
            Object::EndpointSlice(slice),
        ])
    }

    /// Another `endpoints` endpoints than the last time, but for all of them but one.
    fn change_large(&mut self, endpoints: u32) -> Result<f64> {
        let index = u32::MAX / 1_000;
        let first = self.cluster.fresh - 1_000_000 - endpoints;
        self.cluster.fresh += 1;
        let slice = objects::slice(index, first + 1..first + 1 + endpoints, Family::V4);
        self.apply(vec![Object::EndpointSlice(slice)])
    }

    /// What was left for later.
    fn later(&mut self) -> Result<f64> {
        std::thread::sleep(BEYOND_GRACE);
        self.apply(Vec::new())
    }

    fn apply(&mut self, objects: Vec<Object>) -> Result<f64> {
        let start = Instant::now();
        let delta = self.cluster.update(objects);
        self.dataplane.apply_delta(self.cluster.desired(), &delta)?;
        Ok(millis(start))
    }
}

fn millis(since: Instant) -> f64 {
    since.elapsed().as_secs_f64() * 1_000.0
}
