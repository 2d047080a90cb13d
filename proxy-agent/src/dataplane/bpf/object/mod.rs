//! Loading the programs, and where their maps and links are pinned.

mod resize;

use std::{
    fs, io,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    thread,
};

use anyhow::{Context, Result, bail};
use aya::{
    Btf, Ebpf, EbpfLoader, Pod,
    maps::Map,
    programs::{Program, ProgramType, SchedClassifier},
    sys::{BpfHelper, is_helper_supported},
};
use aya_obj::btf::BtfKind;
use nix::{
    mount::{MsFlags, mount},
    sys::statfs::{BPF_FS_MAGIC, statfs},
};
use proxy_common::{Addr4, Addr6, DEFAULT_FLOWS, MAX_ENDPOINTS, MAX_FRONTENDS, MAX_SERVICES, WIRE_VERSION};

use super::{
    maps::{KernelCell, KernelMap, KernelRanges},
    reconcile::{FamilyMaps, Maps},
    tracked_map::TrackedMap,
};

/// The maps that every pass of the agent and every run of the programs share.
pub const MAP_NAMES: [&str; 31] = [
    "FRONTENDS4",
    "FRONTENDS6",
    "ENDPOINTS4",
    "ENDPOINTS6",
    "LIST_MEMBERS4",
    "LIST_MEMBERS6",
    "SOURCE_RANGES4",
    "SOURCE_RANGES6",
    "AFFINITY4",
    "AFFINITY6",
    "SOCKET_AFFINITY4",
    "SOCKET_AFFINITY6",
    "TCP_SOCKETS",
    "UDP_SOCKETS",
    "UNCONNECTED4",
    "UNCONNECTED6",
    "DATAGRAMS4",
    "DATAGRAMS6",
    "CANARIES",
    "INGRESS_FLOWS4",
    "INGRESS_FLOWS6",
    "EGRESS_FLOWS4",
    "EGRESS_FLOWS6",
    "FLOW_HINTS",
    "SOCKET_HINTS",
    "NODE_ADDRESSES4",
    "NODE_ADDRESSES6",
    "INTERFACES",
    "SERVICES",
    "SETTINGS",
    "COUNTERS",
];

/// The programs of devices with an Ethernet header, which every node has. Those of other devices wait for the first one: to verify
/// a program takes the kernel about half a second, and it is what the start of the agent waits for.
const PROGRAM_NAMES: [&str; 2] = ["tc_ingress", "tc_egress"];

/// The object that `cargo xtask build` makes; empty in a build without it.
static OBJECT: &[u8] = aya::include_bytes_aligned!(concat!(env!("OUT_DIR"), "/kube-portal.bpf.o"));

/// How many entries the maps have room for. A map that exists with another size is made anew, with what it holds; only the flow
/// tables stay as they are, because the programs go on writing them.
#[derive(Clone, Copy, Debug)]
pub struct MapSizes {
    /// Frontends per family.
    pub frontends: u32,
    /// Slots of all endpoint lists per family: while a list is replaced the old and the new one.
    pub endpoints: u32,
    /// Service ports.
    pub services: u32,
    /// Entries of each of the four flow tables.
    pub flows: u32,
}

impl MapSizes {
    /// For clusters of 50,000 Services, and more.
    pub const DEFAULT: Self = Self {
        frontends: MAX_FRONTENDS,
        endpoints: MAX_ENDPOINTS,
        services: MAX_SERVICES,
        flows: DEFAULT_FLOWS,
    };

    fn of_maps(self) -> [(&'static str, u32); 11] {
        [
            ("FRONTENDS4", self.frontends),
            ("FRONTENDS6", self.frontends),
            ("ENDPOINTS4", self.endpoints),
            ("ENDPOINTS6", self.endpoints),
            ("LIST_MEMBERS4", self.endpoints),
            ("LIST_MEMBERS6", self.endpoints),
            ("SERVICES", self.services),
            ("INGRESS_FLOWS4", self.flows),
            ("INGRESS_FLOWS6", self.flows),
            ("EGRESS_FLOWS4", self.flows),
            ("EGRESS_FLOWS6", self.flows),
        ]
    }
}

/// A directory in a BPF file system for everything that outlives the agent.
#[derive(Clone, Debug)]
pub struct PinDir {
    root: PathBuf,
}

impl PinDir {
    /// Under `root`, which lies in a BPF file system.
    #[must_use]
    pub fn new(root: &Path) -> Self {
        Self {
            root: root.to_owned(),
        }
    }

    /// Where the maps are: `v<WIRE_VERSION>/maps`, so that a map of another layout is never opened.
    #[must_use]
    pub fn maps(&self) -> PathBuf {
        self.version().join("maps")
    }

    /// Where a map is.
    #[must_use]
    pub fn map(&self, name: &str) -> PathBuf {
        self.maps().join(name)
    }

    /// Where the TCX links are.
    #[must_use]
    pub fn links(&self) -> PathBuf {
        self.version().join("links")
    }

    /// Where the links to a cgroup are.
    #[must_use]
    pub fn sockets(&self) -> PathBuf {
        self.version().join("sockets")
    }

    fn version(&self) -> PathBuf {
        self.root.join(format!("v{WIRE_VERSION}"))
    }

    /// Makes the directories, and mounts the BPF file system at `/sys/fs/bpf` if nobody has.
    ///
    /// # Errors
    /// When they can't be made, or lie in no BPF file system.
    pub fn create(&self) -> Result<()> {
        let default = Path::new("/sys/fs/bpf");
        if self.root.starts_with(default) && !is_bpffs(default) {
            mount(Some("bpf"), default, Some("bpf"), MsFlags::empty(), None::<&str>)
                .context("cannot mount the BPF file system; run: mount -t bpf bpf /sys/fs/bpf")?;
        }
        let existing = self.root.ancestors().find(|path| path.exists());
        if !existing.is_some_and(is_bpffs) {
            let root = self.root.display();
            bail!(
                "--pin-root {root} is not in a BPF file system; mount one there: mkdir -p {root} && mount -t bpf bpf {root}"
            );
        }
        for dir in [self.maps(), self.links()] {
            fs::create_dir_all(&dir).with_context(|| format!("cannot create {}", dir.display()))?;
        }
        fs::set_permissions(self.version(), fs::Permissions::from_mode(0o700))
            .context("cannot protect the pin directory")
    }

    /// Where versions of another layout have pinned what they have left behind.
    fn others(&self) -> Result<Vec<PathBuf>> {
        let entries = match fs::read_dir(&self.root) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            entries => entries.with_context(|| format!("cannot list {}", self.root.display()))?,
        };
        let paths: io::Result<Vec<_>> = entries.map(|entry| Ok(entry?.path())).collect();
        let mut paths = paths.with_context(|| format!("cannot list {}", self.root.display()))?;
        paths.retain(|path| is_version(path) && *path != self.version());
        Ok(paths)
    }

    /// Removes what versions of another layout have pinned, which detaches their programs. Tells whether there was any.
    ///
    /// # Errors
    /// When something can't be removed.
    pub fn remove_others(&self) -> Result<bool> {
        let others = self.others()?;
        others.iter().try_for_each(|path| remove_dir_all(path))?;
        Ok(!others.is_empty())
    }

    /// Removes every pin of any version, and the directories. What was never there is no error.
    ///
    /// # Errors
    /// When something can't be removed.
    pub fn remove(&self) -> Result<()> {
        self.remove_others()?;
        remove_dir_all(&self.version())?;
        match fs::remove_dir(&self.root) {
            Err(error)
                if !matches!(
                    error.kind(),
                    io::ErrorKind::NotFound | io::ErrorKind::DirectoryNotEmpty
                ) =>
            {
                // A mount point can't be removed, and need not.
                tracing::debug!(root = %self.root.display(), %error, "the pin root stays");
                Ok(())
            }
            _ => Ok(()),
        }
    }
}

/// `v` and a number.
fn is_version(path: &Path) -> bool {
    let name = path.file_name().and_then(|name| name.to_str());
    let number = name.and_then(|name| name.strip_prefix('v'));
    number.is_some_and(|number| number.parse::<u32>().is_ok())
}

fn remove_dir_all(dir: &Path) -> Result<()> {
    match fs::remove_dir_all(dir) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            Err(error).with_context(|| format!("cannot remove {}", dir.display()))
        }
        _ => Ok(()),
    }
}

fn is_bpffs(path: &Path) -> bool {
    statfs(path).is_ok_and(|stat| stat.filesystem_type() == BPF_FS_MAGIC)
}

/// Loads the programs over the pinned maps, making those that are not there or are to have another size.
///
/// # Errors
/// When this binary has no programs, or the kernel refuses them: the verifier's last words are in the error.
pub fn load(pins: &PinDir, sizes: MapSizes) -> Result<Ebpf> {
    if OBJECT.is_empty() {
        bail!("built without eBPF programs: run `cargo xtask build`");
    }
    pins.create()?;
    let mut loader = EbpfLoader::new();
    for name in MAP_NAMES {
        loader.map_pin_path(name, pins.map(name));
    }
    for (name, size) in sizes.of_maps() {
        resize::set_aside(pins, name, size)?;
        loader.map_max_entries(name, size);
    }
    let has_coarse_clock = u8::from(has_coarse_clock());
    loader.override_global("HAS_COARSE_CLOCK", &has_coarse_clock, true);
    let btf = Btf::from_sys_fs().ok();
    loader.btf(btf.as_ref());
    let has_set_retval = u8::from(btf.as_ref().is_some_and(has_set_retval));
    loader.override_global("HAS_SET_RETVAL", &has_set_retval, true);
    let mut object = loader
        .load(OBJECT)
        .context("the kernel does not take the BPF maps")?;
    load_programs(&mut object)?;
    Ok(object)
}

/// Linux 5.11 and later do. Where nobody can tell, the programs read the other one, which every kernel has.
fn has_coarse_clock() -> bool {
    let coarse = BpfHelper::BPF_FUNC_ktime_get_coarse_ns;
    is_helper_supported(ProgramType::SchedClassifier, coarse).unwrap_or(false)
}

/// Linux 5.18 and later do, and say so in their type information: a program that asks for it would have to name a hook, which
/// [`is_helper_supported`] does not.
fn has_set_retval(kernel: &Btf) -> bool {
    kernel
        .id_by_type_name_kind("bpf_set_retval", BtfKind::Func)
        .is_ok()
}

/// Both at the same time.
fn load_programs(object: &mut Ebpf) -> Result<()> {
    thread::scope(|scope| {
        let ours = object
            .programs_mut()
            .filter(|(name, _)| PROGRAM_NAMES.contains(name));
        let load = |(name, program)| scope.spawn(move || load_program(name, program));
        let threads: Vec<_> = ours.map(load).collect();
        threads.into_iter().try_for_each(|thread| {
            thread
                .join()
                .unwrap_or_else(|_| bail!("a thread that loads a program panicked"))
        })
    })
}

fn load_program(name: &str, program: &mut Program) -> Result<()> {
    let program: &mut SchedClassifier = program.try_into()?;
    program
        .load()
        .with_context(|| format!("the kernel does not take program {name}"))
}

/// A program of the object, in the kernel.
///
/// # Errors
/// When there is none of this name, or the kernel refuses it.
pub fn program<'a>(object: &'a mut Ebpf, name: &str) -> Result<&'a mut SchedClassifier> {
    let program = object
        .program_mut(name)
        .with_context(|| format!("the BPF object lacks program {name}"))?;
    if program.fd().is_err() {
        load_program(name, program)?;
    }
    Ok(program.try_into()?)
}

/// The maps that the agent writes, with what an earlier run left in them.
///
/// # Errors
/// When one is missing, can't be read, or is too small for what it held before it got another size.
pub fn maps(object: &mut Ebpf, pins: &PinDir) -> Result<Maps> {
    Ok(Maps {
        v4: family_maps::<Addr4>(
            object,
            pins,
            [
                "FRONTENDS4",
                "ENDPOINTS4",
                "LIST_MEMBERS4",
                "NODE_ADDRESSES4",
                "SOURCE_RANGES4",
            ],
        )?,
        v6: family_maps::<Addr6>(
            object,
            pins,
            [
                "FRONTENDS6",
                "ENDPOINTS6",
                "LIST_MEMBERS6",
                "NODE_ADDRESSES6",
                "SOURCE_RANGES6",
            ],
        )?,
        interfaces: hash(object, pins, "INTERFACES")?,
        services: hash(object, pins, "SERVICES")?,
        settings: TrackedMap::load(KernelCell::new("SETTINGS", take(object, "SETTINGS")?)?)?,
    })
}

fn family_maps<A: Pod + Ord + Send>(
    object: &mut Ebpf,
    pins: &PinDir,
    names: [&'static str; 5],
) -> Result<FamilyMaps<A>>
where
    proxy_common::FrontendKey<A>: Pod + Ord,
    proxy_common::Endpoint<A>: Pod + PartialEq,
    proxy_common::MemberKey<A>: Pod + Ord,
    proxy_common::SourceRange<A>: Pod + Ord,
{
    let [frontends, endpoints, members, node_addresses, ranges] = names;
    Ok(FamilyMaps {
        frontends: hash(object, pins, frontends)?,
        endpoints: hash(object, pins, endpoints)?,
        members: hash(object, pins, members)?,
        node_addresses: hash(object, pins, node_addresses)?,
        source_ranges: TrackedMap::load(KernelRanges::new(ranges, take(object, ranges)?)?)?,
    })
}

fn hash<K, V>(object: &mut Ebpf, pins: &PinDir, name: &'static str) -> Result<TrackedMap<K, V>>
where
    K: Pod + Ord + Send,
    V: Pod + PartialEq + Send,
{
    let mut map = TrackedMap::load(KernelMap::new(name, take(object, name)?)?)?;
    resize::take_over(pins, name, &mut map)?;
    Ok(map)
}

fn take(object: &mut Ebpf, name: &str) -> Result<Map> {
    object
        .take_map(name)
        .with_context(|| format!("the BPF object lacks map {name}"))
}
