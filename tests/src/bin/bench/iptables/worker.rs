//! A process with one cluster in memory and its rules of one family. It does what a line on its standard input says and answers with
//! one line.

use std::{process, time::Instant};

use anyhow::{Result, bail};
use clap::ValueEnum;
use proxy_agent::{
    dataplane::iptables::render::{Extent, Renderer, Settings},
    model::{DetectLocal, Family, NodeContext, Object},
};

use crate::{
    cluster::{in_memory::InMemory, objects},
    process::{obey, peak_memory},
};

/// Of all addresses of the cluster.
#[derive(Clone, Copy, Debug, ValueEnum)]
pub(crate) enum FamilyFlag {
    /// IPv4.
    V4,
    /// IPv6.
    V6,
}

/// Serves `services` until standard input ends.
pub(crate) fn run(family: FamilyFlag, services: u32) -> Result<()> {
    let family = match family {
        FamilyFlag::V4 => Family::V4,
        FamilyFlag::V6 => Family::V6,
    };
    let mut node = Node::new(family, services);
    obey(|line| node.obey(line))
}

struct Node {
    cluster: InMemory,
    renderer: Renderer,
    /// Of the last text.
    bytes: usize,
}

impl Node {
    fn new(family: Family, services: u32) -> Self {
        let context = NodeContext {
            name: "node-1".to_owned(),
            // As of a cluster with pods: every Service has a rule for those who are none.
            detect_local: DetectLocal::ClusterCidr(vec![objects::pods(family)]),
            ..NodeContext::default()
        };
        let mut cluster = InMemory::new(services, family, context);
        cluster.compute();
        Self {
            cluster,
            renderer: Renderer::new(Settings::of(family)),
            bytes: 0,
        }
    }

    /// The answer is in milliseconds, but for `memory`, which is in MiB, and `bytes`.
    fn obey(&mut self, command: &str) -> Result<f64> {
        match command {
            "full" => Ok(self.full()),
            "endpoint" => {
                let slice = self.cluster.changed_slice();
                Ok(self.partial(vec![slice]))
            }
            "service" => {
                let objects = self.cluster.new_service();
                Ok(self.partial(objects))
            }
            "bytes" => Ok(f64::from(u32::try_from(self.bytes)?)),
            "memory" => peak_memory(process::id()),
            _ => bail!("unknown command {command:?}"),
        }
    }

    fn full(&mut self) -> f64 {
        let start = Instant::now();
        self.renderer.render_all(self.cluster.desired(), &[]);
        let text = self.renderer.text(Extent::Full, &[]);
        let took = start.elapsed();
        self.wrote(&text);
        took.as_secs_f64() * 1_000.0
    }

    /// What follows from the change for the node is not in the figure: that is the same whatever the dataplane.
    fn partial(&mut self, objects: Vec<Object>) -> f64 {
        let delta = self.cluster.update(objects);
        let start = Instant::now();
        self.renderer.render(self.cluster.desired(), &[], &delta);
        let stale = self.renderer.left();
        let text = self.renderer.text(Extent::Partial, &stale);
        let took = start.elapsed();
        self.wrote(&text);
        took.as_secs_f64() * 1_000.0
    }

    fn wrote(&mut self, text: &str) {
        self.bytes = text.len();
        self.renderer.written();
    }
}
