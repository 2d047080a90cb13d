//! The agent without its kernel: it follows the cluster and writes into maps that fail.

use std::time::Instant;

use proxy_agent::{
    dataplane::{
        Applied,
        bpf::{encode::encode, maps::MapError, writer::Writer},
    },
    model::{Changes, Cluster, ClusterEvent, Delta, DetectLocal, NodeContext, Object, ObjectKind, Plan},
};
use proxy_common::snat::PortPool;

use super::{desired, maps::Memory};

/// Far more passes than it takes until none fails.
const PATIENCE: usize = 10_000;

/// What follows the cluster and keeps the maps.
pub(crate) struct Agent {
    cluster: Cluster,
    plan: Plan,
    memory: Memory,
    writer: Writer,
    /// Whether the last pass went well.
    is_sure: bool,
    failures: usize,
    now: Instant,
}

impl Agent {
    /// With empty maps, whose faults are drawn from `seed`.
    pub(crate) fn new(seed: u64) -> Self {
        let memory = Memory::new(seed);
        let context = NodeContext {
            name: "here".to_owned(),
            detect_local: DetectLocal::NodeCidr,
            ..NodeContext::default()
        };
        Self {
            cluster: Cluster::default(),
            plan: Plan::new(context),
            writer: Writer::new(memory.open()),
            memory,
            is_sure: false,
            failures: 0,
            now: Instant::now(),
        }
    }

    /// From now on the cluster has exactly these objects; the maps follow until nothing is left to do.
    pub(crate) fn replace(&mut self, objects: &[Object]) {
        let mut changes = Changes::default();
        for kind in ObjectKind::ALL {
            let of_kind = |object: &&Object| object.reference().kind == kind;
            let list = objects.iter().filter(of_kind).cloned().collect();
            changes.merge(self.cluster.handle(ClusterEvent::Replace(kind, list)));
        }
        let mut delta = self.plan.update(&self.cluster, &changes);
        for _ in 0..PATIENCE {
            let result = self.pass(&delta);
            self.is_sure = result.is_ok();
            match result {
                Ok(Applied { again_in: None, .. }) => return,
                Ok(Applied {
                    again_in: Some(wait), ..
                }) => self.now += wait,
                Err(_) => self.failures += 1,
            }
            delta = Delta::default();
        }
        panic!("the maps never became quiet");
    }

    /// How many passes have failed.
    pub(crate) const fn failures(&self) -> usize {
        self.failures
    }

    /// Writes what has changed, or everything if it is not sure what the maps hold.
    fn pass(&mut self, delta: &Delta) -> Result<Applied, MapError> {
        let (desired, ports) = (self.plan.desired(), PortPool::new([1_024..=29_999]));
        match self.is_sure {
            true => self.writer.apply_delta(desired, delta, ports, self.now),
            false => self.writer.apply_all(desired, ports, self.now),
        }
    }

    /// What the node shall do, what the maps hold and what they leave out. Nothing if there is nothing.
    pub(crate) fn in_words(&self) -> String {
        let desired = self.plan.desired();
        let contents = encode(desired, &mut self.writer.ids().clone());
        let unserved: String = contents
            .unserved
            .values()
            .map(|entry| format!("{entry}\n"))
            .collect();
        let sections = [
            ("desired", desired::in_words(desired)),
            ("maps", self.memory.in_words()),
            ("not in the maps", unserved),
        ];
        let sections = sections.into_iter().filter(|(_, text)| !text.is_empty());
        let sections: Vec<String> = sections
            .map(|(title, text)| format!("# {title}\n{text}"))
            .collect();
        sections.join("\n")
    }
}
