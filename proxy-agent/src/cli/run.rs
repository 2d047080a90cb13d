//! `kube-portal run`.

use std::{
    collections::BTreeSet,
    future,
    net::SocketAddr,
    ops::RangeInclusive,
    path::{Path, PathBuf},
    time::Duration,
};

use anyhow::{Context, Result, bail};
use clap::{ArgAction, ArgGroup, Args, ValueEnum};
use tokio::sync::watch;

use super::{
    Pins, allocator, check,
    config::Config,
    conntrack::ConntrackFlags,
    metrics::BindAddress,
    node::NodeFlags,
    telemetry::{self, LogFormat},
};
use crate::{
    agent,
    dataplane::{
        bpf::{
            Options,
            attach::TcAttach,
            object::{MapSizes, PinDir},
            sockets::CgroupRoot,
        },
        iptables,
    },
    model::{NodeContext, SocketLb},
    netfilter::conntrack_settings,
    node::ports::DEFAULT_NODE_PORTS,
    sync::Intervals,
};

const MIN_SYNC_PERIOD: Duration = Duration::from_millis(50);
/// Programs that somebody has detached are back within five seconds, however slow the machine.
const ATTACHED: Duration = Duration::from_secs(3);
const MASQUERADE_BIT: u32 = 14;
const SYNC_PERIOD: Duration = Duration::from_secs(5 * 60);

/// What carries the traffic.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum Mode {
    /// BPF programs, or iptables rules where the kernel does not take them.
    #[default]
    Auto,
    /// BPF programs, or nothing.
    Bpf,
    /// kube-proxy's iptables rules.
    Iptables,
}

/// Flags of `run`.
#[derive(Debug, Args)]
#[command(group(ArgGroup::new("source").args(["manifests", "kubeconfig"])))]
pub struct Run {
    /// Serve the Services, EndpointSlices and Nodes in the YAML files of this directory, live, instead of a cluster's.
    #[arg(long, value_name = "DIR")]
    manifests: Option<PathBuf>,

    /// Reach the API server as this file says. Without it and --manifests: with the pod's service account.
    #[arg(long, value_name = "FILE")]
    kubeconfig: Option<PathBuf>,

    /// URL of the API server, instead of the one that the kubeconfig or the pod's environment names.
    #[arg(long, value_name = "URL", conflicts_with = "manifests")]
    master: Option<String>,

    /// kube-proxy's configuration file (KubeProxyConfiguration). What it says counts instead of the flags for the same, except
    /// --hostname-override. If it changes, the agent ends, to be started again.
    #[arg(long, value_name = "FILE", conflicts_with = "manifests")]
    config: Option<PathBuf>,

    #[arg(skip)]
    configured: Option<Config>,

    #[command(flatten)]
    node: NodeFlags,

    #[command(flatten)]
    conntrack: ConntrackFlags,

    /// What carries the traffic.
    #[arg(long, value_enum, default_value_t)]
    mode: Mode,

    /// Whose connections to Services are translated at connect. It has no effect in iptables mode.
    #[arg(long, value_enum, default_value_t, value_name = "WHOSE")]
    socket_lb: SocketLb,

    #[command(flatten)]
    pins: Pins,

    /// How programs are attached to network devices.
    #[arg(long, value_enum, default_value_t)]
    tc_attach: TcAttach,

    /// The cgroup v2 directory whose processes' sockets are translated, instead of the root of the hierarchy: needed where the host's
    /// is mounted in a place of its own.
    #[arg(long, value_name = "PATH")]
    cgroup_root: Option<PathBuf>,

    /// Shortest time between two passes, in which changes are collected [default: 50ms].
    #[arg(
        long,
        value_name = "DURATION",
        value_parser = humantime::parse_duration,
        aliases = ["iptables-min-sync-period", "nftables-min-sync-period"]
    )]
    min_sync_period: Option<Duration>,

    /// Time between two looks at whether the maps still hold what was written to them; what somebody else has changed is repaired
    /// [default: 5m].
    #[arg(
        long,
        value_name = "DURATION",
        value_parser = humantime::parse_duration,
        aliases = ["iptables-sync-period", "nftables-sync-period"]
    )]
    sync_period: Option<Duration>,

    /// Entries of each of the four flow tables. Without it: as many as fit into 0.5 % of the node's memory. Only for tables
    /// that do not exist yet.
    #[arg(long, value_name = "ENTRIES", value_parser = size())]
    flow_table_size: Option<u32>,

    /// Room for so many addresses and ports of Services per IP family.
    #[arg(long, value_name = "ENTRIES", default_value_t = MapSizes::DEFAULT.frontends, value_parser = size())]
    max_frontends: u32,

    /// Room for so many endpoints of Service ports per IP family, counting those of a list that is being replaced twice.
    #[arg(long, value_name = "ENTRIES", default_value_t = MapSizes::DEFAULT.endpoints, value_parser = size())]
    max_endpoints: u32,

    /// Room for so many Service ports.
    #[arg(long, value_name = "ENTRIES", default_value_t = MapSizes::DEFAULT.services, value_parser = size())]
    max_services: u32,

    /// The API server's --service-node-port-range, whose ports masquerading leaves alone.
    #[arg(long, value_name = "FIRST-LAST", value_parser = parse_range, default_value = "30000-32767")]
    service_node_port_range: RangeInclusive<u16>,

    /// The bit of the packets' mark that asks iptables rules for masquerading, and by which packets of masqueraded flows pass where the
    /// node's FORWARD policy is DROP.
    #[arg(long, value_name = "BIT", default_value_t = MASQUERADE_BIT, value_parser = clap::value_parser!(u32).range(0..=31))]
    iptables_masquerade_bit: u32,

    /// In iptables mode, serve node ports at 127.0.0.1 too, for which the kernel has to route loopback addresses.
    #[arg(
        long,
        value_name = "BOOL",
        default_value_t = true,
        action = ArgAction::Set,
        num_args = 0..=1,
        require_equals = true,
        default_missing_value = "true"
    )]
    iptables_localhost_nodeports: bool,

    /// Where metrics are served, as ADDRESS or ADDRESS:PORT; empty: nowhere [default: 127.0.0.1:10249].
    #[arg(long, value_name = "ADDRESS")]
    metrics_bind_address: Option<BindAddress>,

    /// How log lines look. RUST_LOG sets the level.
    #[arg(long, value_enum, default_value_t)]
    log_format: LogFormat,
}

/// Where objects come from.
#[derive(Debug)]
pub enum SourceChoice {
    /// A directory of YAML files.
    Manifests(PathBuf),
    /// An API server.
    Kubernetes {
        /// A kubeconfig file, else the pod's service account.
        kubeconfig: Option<PathBuf>,
        /// Another URL than the configured one.
        master: Option<String>,
    },
}

impl Run {
    /// `given` are the flags on the command line.
    pub(super) fn execute(mut self, given: &BTreeSet<String>) -> Result<()> {
        allocator::use_one_arena();
        telemetry::start(self.log_format);
        self.read_config(given)?;
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(2)
            .enable_all()
            .build()?;
        runtime.block_on(agent::run(self))
    }

    /// What the flags say about the node.
    ///
    /// # Errors
    /// When a flag lacks another one, or the host has no name.
    pub fn context(&self) -> Result<NodeContext> {
        let context = match &self.configured {
            Some(config) => config.context(self.node.name(config.hostname_override())?),
            None => self.node.context()?,
        };
        Ok(NodeContext {
            socket_lb: self.socket_lb,
            ..context
        })
    }

    /// Ends when the configuration file says something else than at the start; never without one.
    pub async fn config_changed(&self) {
        match &self.configured {
            Some(config) => config.changed().await,
            None => future::pending().await,
        }
    }

    fn read_config(&mut self, given: &BTreeSet<String>) -> Result<()> {
        let Some(path) = &self.config else { return Ok(()) };
        let config = Config::read(path).with_context(|| format!("--config {}", path.display()))?;
        for warning in config.warnings() {
            tracing::warn!("--config {}: {warning}", path.display());
        }
        for warning in config.ignored(given) {
            tracing::warn!("{warning}");
        }
        self.kubeconfig = config.kubeconfig().map(Path::to_path_buf);
        self.min_sync_period = config.min_sync_period();
        self.sync_period = config.sync_period();
        self.iptables_masquerade_bit = config.masquerade_bit().unwrap_or(MASQUERADE_BIT);
        self.iptables_localhost_nodeports = config.localhost_node_ports().unwrap_or(true);
        self.metrics_bind_address = config.metrics_bind_address();
        self.configured = Some(config);
        Ok(())
    }

    /// Where objects come from.
    ///
    /// # Errors
    /// When there is no such directory of manifests.
    pub fn source(&self) -> Result<SourceChoice> {
        Ok(match &self.manifests {
            Some(dir) if !dir.is_dir() => {
                bail!(
                    "--manifests {}: no such directory; create it or correct the flag",
                    dir.display()
                )
            }
            Some(dir) => SourceChoice::Manifests(dir.clone()),
            None => SourceChoice::Kubernetes {
                kubeconfig: self.kubeconfig.clone(),
                master: self.master.clone(),
            },
        })
    }

    /// Where maps and links are pinned.
    #[must_use]
    pub fn pins(&self) -> PinDir {
        self.pins.dir()
    }

    /// Where metrics are served, if anywhere.
    #[must_use]
    pub fn metrics_address(&self) -> Option<SocketAddr> {
        self.metrics_bind_address.unwrap_or_default().0
    }

    /// Whenever sockets of this process have begun to be caught, looks at whether those of pods are, too.
    pub fn canaries(
        &self,
        caught: watch::Receiver<Option<CgroupRoot>>,
    ) -> impl Future<Output = ()> + Send + 'static {
        check::follow(self.pins.clone(), caught)
    }

    /// The mark that packets carry where they need one to be forwarded: one bit.
    #[must_use]
    pub const fn masquerade_mark(&self) -> u32 {
        1 << self.iptables_masquerade_bit
    }

    /// What carries the traffic.
    #[must_use]
    pub const fn mode(&self) -> Mode {
        self.mode
    }

    /// How conntrack is to be set.
    #[must_use]
    pub fn conntrack(&self) -> conntrack_settings::Settings {
        let flags = || self.conntrack.settings();
        self.configured.as_ref().map_or_else(flags, Config::conntrack)
    }

    /// How iptables rules are set up.
    #[must_use]
    pub const fn iptables(&self) -> iptables::Options {
        iptables::Options {
            mark: self.masquerade_mark(),
            localhost_node_ports: self.iptables_localhost_nodeports,
            canary_period: self.sync_period,
            only: None,
        }
    }

    /// How far apart passes are.
    #[must_use]
    pub fn intervals(&self) -> Intervals {
        Intervals {
            min: self.min_sync_period.unwrap_or(MIN_SYNC_PERIOD),
            retry: Duration::from_secs(1),
            full: Duration::from_secs(3_600),
            drift: self.sync_period.unwrap_or(SYNC_PERIOD),
            attached: ATTACHED,
        }
    }
}

impl From<&Run> for Options {
    fn from(run: &Run) -> Self {
        Self {
            pins: run.pins.dir(),
            tc_attach: run.tc_attach,
            cgroup_root: run.cgroup_root.clone(),
            sizes: MapSizes {
                frontends: run.max_frontends,
                endpoints: run.max_endpoints,
                services: run.max_services,
                flows: run.flow_table_size.unwrap_or_else(default_flow_table_size),
            },
            node_ports: run.service_node_port_range.clone(),
            caught: watch::Sender::default(),
        }
    }
}

fn size() -> clap::builder::RangedI64ValueParser<u32> {
    clap::value_parser!(u32).range(1_024..=16_777_216)
}

/// An entry of one family's pair of tables and its twin take about 430 bytes with the kernel's own part.
const BYTES_PER_ENTRY: u64 = 430;

fn default_flow_table_size() -> u32 {
    let memory = nix::sys::sysinfo::sysinfo().map_or(0, |info| info.ram_total());
    let entries = (memory / 200 / BYTES_PER_ENTRY).clamp(16_384, 4_194_304);
    // The lower power of two: preallocated tables are rounded up inside.
    1 << u32::try_from(entries).unwrap_or(u32::MAX).ilog2()
}

fn parse_range(text: &str) -> Result<RangeInclusive<u16>> {
    let (first, last) = text
        .split_once('-')
        .with_context(|| format!("expected FIRST-LAST, as in {DEFAULT_NODE_PORTS:?}"))?;
    let range = first.trim().parse()?..=last.trim().parse()?;
    if range.is_empty() {
        bail!("the first port is above the last");
    }
    Ok(range)
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Parser)]
    struct Command {
        #[command(flatten)]
        run: Run,
    }

    fn context(flags: &[&str]) -> NodeContext {
        let mut run = Command::parse_from(["kube-portal"].iter().chain(flags)).run;
        run.read_config(&BTreeSet::new()).unwrap();
        run.context().unwrap()
    }

    #[test]
    fn whose_connections_are_translated_at_connect_is_said_by_a_flag_also_beside_a_configuration_file() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let kind = "apiVersion: kubeproxy.config.k8s.io/v1alpha1\nkind: KubeProxyConfiguration\n";
        std::fs::write(file.path(), kind).unwrap();
        let config = ["--config", file.path().to_str().unwrap()];
        for (flag, expected) in [
            (&[][..], SocketLb::Auto),
            (&["--socket-lb", "auto"], SocketLb::Auto),
            (&["--socket-lb", "all"], SocketLb::All),
            (&["--socket-lb", "host"], SocketLb::Host),
        ] {
            assert_eq!(context(flag).socket_lb, expected, "{flag:?}");
            assert_eq!(context(&[flag, &config].concat()).socket_lb, expected, "{flag:?}");
        }
    }

    #[test]
    fn a_port_range_is_two_numbers_in_order() {
        assert_eq!(parse_range("30000-32767").unwrap(), 30_000..=32_767);
        assert!(
            ["30000", "32767-30000", "a-b", "1-70000"]
                .iter()
                .all(|text| parse_range(text).is_err())
        );
    }
}
