//! Wiring and supervision: if any part ends, the process does, and whoever started it starts it again. The datapath goes on
//! without it.

use std::{convert::Infallible, future, net::SocketAddr, path::PathBuf, sync::mpsc as std_mpsc, thread};

use anyhow::{Context, Result, bail};
use tokio::{
    signal::unix::{SignalKind, signal},
    sync::{mpsc, oneshot, watch},
    task,
};

use crate::{
    cli::run::{Mode, Run, SourceChoice},
    dataplane::{
        Dataplane,
        after_programs::RulesAfterPrograms,
        bpf::{BpfDataplane, Options, dump},
        iptables::{self, IptablesDataplane},
        with_rules::ProgramsWithRules,
    },
    explain::explain,
    metrics::{self, Metrics},
    model::{ClusterEvent, PodSockets, SocketLb},
    netfilter::{self, conntrack_settings},
    node::{self, NodeFacts},
    source::{EventSender, kubernetes, manifests},
    sync::{Event, Runner},
};

/// Runs until a signal asks to stop, or a part fails.
///
/// # Errors
/// When a part fails.
pub async fn run(config: Run) -> Result<()> {
    let context = config.context()?;
    let source = Source::new(&config, context.socket_lb).await?;
    let (source_events, source_inbox) = mpsc::unbounded_channel();
    let metrics = Metrics::default();
    // While the kernel verifies the programs, the objects come.
    let source = tokio::spawn(source.run(context.name.clone(), metrics.clone(), source_events));
    let (mode, bpf, rules) = (config.mode(), Options::from(&config), config.iptables());
    let caught = bpf.caught.subscribe();
    let conntrack = config.conntrack();
    // Before the rules, which depend on what conntrack takes for INVALID.
    task::spawn_blocking(move || conntrack_settings::apply(&conntrack)).await?;
    let (dataplane, has_programs) = task::spawn_blocking(move || dataplane(mode, bpf, rules)).await??;
    let loaded = if has_programs {
        "programs loaded"
    } else {
        "serving by iptables rules"
    };
    tracing::info!(node = context.name, "{loaded}");
    let (events, inbox) = std_mpsc::channel();
    let sockets = has_programs.then(|| SocketLog::new(context.socket_lb));
    let runner = Runner::new(dataplane, context, config.intervals(), metrics.clone());
    let sync = supervised("sync", move || runner.run(&inbox))?;

    tokio::spawn(config.canaries(caught));
    let (facts, facts_inbox) = watch::channel(NodeFacts::default());
    let (marks, marks_inbox) = watch::channel(None);
    let node_inbox = NodeInbox {
        facts: facts_inbox,
        marks: marks_inbox,
        is_known: false,
    };
    tokio::select! {
        result = source => result?.context("the source of objects has ended"),
        result = node::watch(facts) => result.map(|never| match never {}).context("netlink has ended"),
        result = netfilter::watch(config.masquerade_mark(), marks), if has_programs => result.map(|never| match never {}).context("netfilter"),
        never = serve(config.metrics_address(), metrics) => match never {},
        () = config.config_changed() => bail!("the configuration file has changed; starting again applies it"),
        () = forward(source_inbox, node_inbox, sockets, events) => bail!("the event queue has ended"),
        _ = sync => bail!("the sync thread has ended"),
        result = stop_signal() => result,
    }
}

/// What carries the traffic, and whether that are programs: unless rules are asked for, those are tried first.
fn dataplane(mode: Mode, bpf: Options, rules: iptables::Options) -> Result<(Box<dyn Dataplane>, bool)> {
    let pins = bpf.pins.clone();
    if mode != Mode::Iptables {
        match BpfDataplane::new(bpf) {
            Ok(programs) => return Ok((Box::new(ProgramsWithRules::new(programs, rules)), true)),
            Err(error) if mode == Mode::Bpf => return Err(error.into()),
            Err(error) => {
                let why = explain(&error.into());
                tracing::warn!(
                    "the kernel does not take the programs, iptables rules take their place: {why}"
                );
            }
        }
    }
    let rules = IptablesDataplane::new(rules)?;
    Ok((Box::new(RulesAfterPrograms::new(rules, pins)), false))
}

/// Where objects come from, ready to be asked.
enum Source {
    Manifests(PathBuf),
    Kubernetes {
        client: kubernetes::Client,
        follows_meshes: bool,
    },
}

impl Source {
    async fn new(config: &Run, socket_lb: SocketLb) -> Result<Self> {
        Ok(match config.source()? {
            SourceChoice::Manifests(dir) => Self::Manifests(dir),
            SourceChoice::Kubernetes { kubeconfig, master } => {
                let behind = |service| dump::behind(&config.pins(), service);
                Self::Kubernetes {
                    client: kubernetes::client(kubeconfig.as_deref(), master.as_deref(), behind).await?,
                    follows_meshes: socket_lb == SocketLb::Auto && config.mode() != Mode::Iptables,
                }
            }
        })
    }

    async fn run(self, node_name: String, metrics: Metrics, events: EventSender) -> Result<()> {
        match self {
            Self::Manifests(dir) => manifests::run(dir, metrics, events).await?,
            Self::Kubernetes {
                client,
                follows_meshes,
            } => tokio::select! {
                () = kubernetes::follow_meshes(client.clone(), events.clone()), if follows_meshes => {}
                () = kubernetes::run(client, node_name, metrics, events) => {}
            },
        }
        Ok(())
    }
}

async fn serve(address: Option<SocketAddr>, metrics: Metrics) -> Infallible {
    match address {
        Some(address) => metrics::serve(address, metrics).await,
        None => future::pending().await,
    }
}

/// From the async world to the sync thread's queue.
async fn forward(
    mut cluster: mpsc::UnboundedReceiver<ClusterEvent>,
    mut node: NodeInbox,
    mut sockets: Option<SocketLog>,
    events: std_mpsc::Sender<Event>,
) {
    loop {
        let event = tokio::select! {
            event = cluster.recv() => event.map(Event::Cluster),
            facts = node.changed() => facts.map(Event::Node),
        };
        let Some(event) = event else { return };
        if let (Event::Cluster(event), Some(sockets)) = (&event, &mut sockets) {
            sockets.note(event);
        }
        if events.send(event).is_err() {
            return;
        }
    }
}

/// Says where pods' connections are translated, at the start and when it changes.
struct SocketLog {
    flag: SocketLb,
    told: PodSockets,
}

impl SocketLog {
    fn new(flag: SocketLb) -> Self {
        let told = PodSockets::new(flag, None);
        tracing::info!("{told}");
        Self { flag, told }
    }

    fn note(&mut self, event: &ClusterEvent) {
        let ClusterEvent::MeshGroups(groups) = event else {
            return;
        };
        let now = PodSockets::new(self.flag, Some(groups));
        if now != self.told {
            tracing::info!("{now}");
            self.told = now;
        }
    }
}

/// What netlink and netfilter say about the node.
struct NodeInbox {
    facts: watch::Receiver<NodeFacts>,
    marks: watch::Receiver<Option<u32>>,
    /// Facts that nobody has read from the kernel would have the node lose all of its devices.
    is_known: bool,
}

impl NodeInbox {
    /// The next facts, with the mark; `None` at the end.
    async fn changed(&mut self) -> Option<NodeFacts> {
        tokio::select! {
            changed = self.facts.changed() => {
                changed.ok()?;
                self.is_known = true;
            }
            changed = self.marks.changed(), if self.is_known => changed.ok()?,
        }
        Some(NodeFacts {
            forward_mark: *self.marks.borrow_and_update(),
            ..self.facts.borrow_and_update().clone()
        })
    }
}

/// A thread whose end, also by panic, can be awaited.
fn supervised(name: &str, body: impl FnOnce() + Send + 'static) -> Result<oneshot::Receiver<()>> {
    let (alive, end) = oneshot::channel();
    thread::Builder::new()
        .name(name.to_owned())
        .spawn(move || {
            let _dropped_at_the_end: oneshot::Sender<()> = alive;
            body();
        })
        .context("cannot start a thread")?;
    Ok(end)
}

async fn stop_signal() -> Result<()> {
    let mut terminate = signal(SignalKind::terminate()).context("cannot listen for SIGTERM")?;
    let mut interrupt = signal(SignalKind::interrupt()).context("cannot listen for SIGINT")?;
    tokio::select! {
        _ = terminate.recv() => {}
        _ = interrupt.recv() => {}
    }
    tracing::info!(
        "stopping; the programs stay attached and traffic goes on (to remove them: kube-portal cleanup)"
    );
    Ok(())
}
