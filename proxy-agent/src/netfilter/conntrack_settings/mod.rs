//! The settings of conntrack that kube-proxy makes when it starts. Conntrack goes on beside the programs, so both modes make them.
//!
//! ```text
//! Settings, CPUs ──▶ /proc/sys/net/netfilter/nf_conntrack_…, /sys/module/nf_conntrack/parameters/hashsize
//! ```
//!
//! Services are served whether a setting can be made or not: each one that cannot is a warning.

use std::{
    fs, io,
    path::{Path, PathBuf},
    time::Duration,
};

use nix::unistd::{SysconfVar, sysconf};

const SYSCTLS: &str = "proc/sys/net/netfilter";
/// There in every network namespace once the module is loaded.
const LOADED: &str = "nf_conntrack_count";
const HASH_SIZE: &str = "sys/module/nf_conntrack/parameters/hashsize";
/// However many CPUs there are, for the sake of memory.
const MOST: u32 = 1 << 20;
const ENTRIES_PER_BUCKET: u32 = 4;

/// What is asked for, by kube-proxy's names. Zero and `false` leave the kernel's value alone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Settings {
    /// Room for so many connections for each CPU.
    pub max_per_core: u32,
    /// Room for at least so many connections, unless `max_per_core` is zero.
    pub min: u32,
    /// How long an idle TCP connection is remembered.
    pub tcp_timeout_established: Duration,
    /// How long one is remembered of which one end is closed.
    pub tcp_timeout_close_wait: Duration,
    /// TCP packets outside of the window are not INVALID.
    pub tcp_be_liberal: bool,
    /// How long a UDP flow without an answer is remembered.
    pub udp_timeout: Duration,
    /// How long a UDP flow with answers is remembered.
    pub udp_timeout_stream: Duration,
}

impl Default for Settings {
    /// kube-proxy's defaults.
    fn default() -> Self {
        Self {
            max_per_core: 32 << 10,
            min: 128 << 10,
            tcp_timeout_established: Duration::from_secs(24 * 60 * 60),
            tcp_timeout_close_wait: Duration::from_secs(60 * 60),
            tcp_be_liberal: false,
            udp_timeout: Duration::ZERO,
            udp_timeout_stream: Duration::ZERO,
        }
    }
}

/// Makes the settings in the network namespace of the thread.
pub fn apply(settings: &Settings) {
    for warning in write(Path::new("/"), settings, cpus()) {
        tracing::warn!("conntrack is not as asked for: {warning}");
    }
}

/// Those of the machine, not those that a container may use: the table is the machine's, too.
fn cpus() -> u32 {
    let online = sysconf(SysconfVar::_NPROCESSORS_ONLN).ok().flatten();
    online.and_then(|cpus| u32::try_from(cpus).ok()).unwrap_or(1)
}

/// A setting that could not be made.
#[derive(Debug, thiserror::Error)]
enum SettingError {
    #[error("{} is not there; load the module nf_conntrack before the agent starts", .0.display())]
    NotLoaded(PathBuf),
    #[error(
        "cannot write {value} to {}: {source}; write it on the node, or leave it alone with --{flag}={off} or {field}: {off} in the \
         file of --config",
        path.display()
    )]
    Write {
        path: PathBuf,
        value: u64,
        flag: &'static str,
        field: &'static str,
        off: &'static str,
        source: io::Error,
    },
}

/// One value for one file, and how to ask for none.
#[derive(Clone, Copy)]
struct Sysctl {
    name: &'static str,
    value: u64,
    flag: &'static str,
    field: &'static str,
    off: &'static str,
}

/// Below `root`; what fails does not keep the rest from being written.
fn write(root: &Path, settings: &Settings, cpus: u32) -> Vec<SettingError> {
    let sysctls = root.join(SYSCTLS);
    let (max, others) = (settings.table_size(cpus), settings.per_namespace());
    if max.value == 0 && others.is_empty() {
        return Vec::new();
    }
    let loaded = sysctls.join(LOADED);
    if !loaded.exists() {
        return vec![SettingError::NotLoaded(loaded)];
    }
    let others = others.iter().map(|sysctl| sysctl.set(&sysctls.join(sysctl.name)));
    let table = (max.value > 0).then(|| resize(root, max));
    others.chain(table).filter_map(Result::err).collect()
}

/// The hash table only ever grows, and not for a maximum that was refused.
fn resize(root: &Path, max: Sysctl) -> Result<(), SettingError> {
    max.set(&root.join(SYSCTLS).join(max.name))?;
    let buckets = max.value / u64::from(ENTRIES_PER_BUCKET);
    let path = root.join(HASH_SIZE);
    if number(&path).is_some_and(|present| present >= buckets) {
        return Ok(());
    }
    Sysctl {
        value: buckets,
        ..max
    }
    .set(&path)
}

impl Settings {
    fn table_size(&self, cpus: u32) -> Sysctl {
        let value = match self.max_per_core.saturating_mul(cpus) {
            0 => 0,
            scaled if scaled > MOST => MOST,
            scaled => scaled.max(self.min),
        };
        Sysctl {
            name: "nf_conntrack_max",
            value: value.into(),
            flag: "conntrack-max-per-core",
            field: "conntrack.maxPerCore",
            off: "0",
        }
    }

    fn per_namespace(&self) -> Vec<Sysctl> {
        let seconds = |name, value: Duration, flag, field| Sysctl {
            name,
            value: value.as_secs(),
            flag,
            field,
            off: "0s",
        };
        let mut sysctls = vec![
            seconds(
                "nf_conntrack_tcp_timeout_established",
                self.tcp_timeout_established,
                "conntrack-tcp-timeout-established",
                "conntrack.tcpEstablishedTimeout",
            ),
            seconds(
                "nf_conntrack_tcp_timeout_close_wait",
                self.tcp_timeout_close_wait,
                "conntrack-tcp-timeout-close-wait",
                "conntrack.tcpCloseWaitTimeout",
            ),
            seconds(
                "nf_conntrack_udp_timeout",
                self.udp_timeout,
                "conntrack-udp-timeout",
                "conntrack.udpTimeout",
            ),
            seconds(
                "nf_conntrack_udp_timeout_stream",
                self.udp_timeout_stream,
                "conntrack-udp-timeout-stream",
                "conntrack.udpStreamTimeout",
            ),
            Sysctl {
                name: "nf_conntrack_tcp_be_liberal",
                value: self.tcp_be_liberal.into(),
                flag: "conntrack-tcp-be-liberal",
                field: "conntrack.tcpBeLiberal",
                off: "false",
            },
        ];
        sysctls.retain(|sysctl| sysctl.value > 0);
        sysctls
    }
}

impl Sysctl {
    /// A value that is there already needs no right to write it.
    fn set(&self, path: &Path) -> Result<(), SettingError> {
        if number(path) == Some(self.value) {
            return Ok(());
        }
        let written = put(path, self.value).map_err(|source| SettingError::Write {
            path: path.to_owned(),
            value: self.value,
            flag: self.flag,
            field: self.field,
            off: self.off,
            source,
        });
        written.inspect(|()| {
            tracing::info!(path = %path.display(), value = self.value, "conntrack is set");
        })
    }
}

/// Not to a file that would have to be made: no kernel would read it.
fn put(path: &Path, value: u64) -> io::Result<()> {
    let mut file = fs::OpenOptions::new().write(true).truncate(true).open(path)?;
    io::Write::write_all(&mut file, value.to_string().as_bytes())
}

fn number(path: &Path) -> Option<u64> {
    fs::read_to_string(path).ok()?.trim().parse().ok()
}

#[cfg(test)]
mod tests;
