//! Network namespaces that vanish with their owner, and code and programs that run inside of them.
//!
//! Names are `kp-<pid>-<number>-<label>`: unique among everything that runs at the same time, and they tell the
//! janitor whose they are.

use std::{
    ffi::OsStr,
    fs::File,
    panic::resume_unwind,
    path::PathBuf,
    process::{self, Command},
    sync::{
        Arc, OnceLock,
        atomic::{AtomicU32, Ordering},
    },
    thread,
};

use anyhow::{Context as _, Result, ensure};
use nix::{
    sched::{CloneFlags, setns},
    unistd::Uid,
};

use crate::{
    cgroup::{self, Cgroup},
    exec, janitor,
};

/// Where `ip netns` keeps its names.
pub(crate) const DIRECTORY: &str = "/run/netns";

/// A network namespace of our own. It is deleted on drop; devices in it go with it.
#[derive(Debug)]
pub struct NetNs {
    name: String,
    file: File,
    cgroup: OnceLock<(Arc<Cgroup>, File)>,
}

impl NetNs {
    /// Makes one namespace per label, all by one call of `ip`.
    ///
    /// # Errors
    ///
    /// Not root, or `ip` is missing.
    pub fn create_all<const N: usize>(labels: [&str; N]) -> Result<[Self; N]> {
        ensure!(
            Uid::effective().is_root(),
            "network namespaces need root: run this with sudo"
        );
        janitor::sweep_once();
        let names = labels.map(unique_name);
        let batch: String = names.iter().map(|name| format!("netns add {name}\n")).collect();
        exec::ip_batch(None, &batch)?;
        let opened: Result<Vec<Self>> = names.into_iter().map(Self::open).collect();
        opened?
            .try_into()
            .map_err(|_| anyhow::anyhow!("fewer namespaces than labels"))
    }

    fn open(name: String) -> Result<Self> {
        let path = PathBuf::from(DIRECTORY).join(&name);
        let file = File::open(&path).with_context(|| format!("cannot open {}", path.display()))?;
        Ok(Self {
            name,
            file,
            cgroup: OnceLock::new(),
        })
    }

    /// The name that `ip netns` knows.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// From now on, what runs in the namespace also runs in `cgroup`.
    ///
    /// # Errors
    ///
    /// It has joined one already, or this process cannot be moved to where its threads may enter.
    pub fn join(&self, cgroup: Arc<Cgroup>) -> Result<()> {
        let door = cgroup.door()?;
        let joined = self.cgroup.set((cgroup, door));
        ensure!(joined.is_ok(), "namespace {} is in a cgroup already", self.name);
        Ok(())
    }

    /// The cgroup that it has joined.
    #[must_use]
    pub fn cgroup(&self) -> Option<&Arc<Cgroup>> {
        self.cgroup.get().map(|(cgroup, _)| cgroup)
    }

    /// Runs `job` on a thread of its own inside the namespace. Sockets stay in the namespace they were made in, so
    /// a job may be as short as opening one.
    ///
    /// # Panics
    ///
    /// When `job` panics, or the namespace cannot be entered.
    pub fn run<T: Send>(&self, job: impl FnOnce() -> T + Send) -> T {
        self.run_by(self.cgroup.get().map(|(_, door)| door), job)
    }

    /// The same in this cgroup, whatever has been joined.
    ///
    /// # Errors
    ///
    /// As [`join`](Self::join).
    ///
    /// # Panics
    ///
    /// As [`run`](Self::run).
    pub fn run_in<T: Send>(&self, cgroup: &Cgroup, job: impl FnOnce() -> T + Send) -> Result<T> {
        Ok(self.run_by(Some(&cgroup.door()?), job))
    }

    fn run_by<T: Send>(&self, door: Option<&File>, job: impl FnOnce() -> T + Send) -> T {
        let inside = || {
            setns(&self.file, CloneFlags::CLONE_NEWNET).expect("root may enter its own namespace");
            if let Some(door) = door {
                cgroup::enter(door).expect("a thread may enter a cgroup of its domain");
            }
            job()
        };
        thread::scope(|scope| scope.spawn(inside).join()).unwrap_or_else(|panic| resume_unwind(panic))
    }

    /// A command that will run inside, and in the cgroup that has been joined. Unlike `ip netns exec` it leaves the mounts alone, so
    /// /sys/fs/bpf and every other bpffs stay visible.
    ///
    /// # Panics
    ///
    /// When no more files can be opened.
    #[must_use]
    pub fn command(&self, program: impl AsRef<OsStr>) -> Command {
        let door = self.cgroup.get().map(|(_, door)| door.try_clone());
        self.command_by(program, door.transpose().expect("one more open file"))
    }

    /// The same in this cgroup, whether it has been joined or not.
    ///
    /// # Errors
    ///
    /// As [`join`](Self::join).
    ///
    /// # Panics
    ///
    /// As [`command`](Self::command).
    pub fn command_in(&self, cgroup: &Cgroup, program: impl AsRef<OsStr>) -> Result<Command> {
        Ok(self.command_by(program, Some(cgroup.door()?)))
    }

    fn command_by(&self, program: impl AsRef<OsStr>, door: Option<File>) -> Command {
        use std::os::unix::process::CommandExt as _;

        let file = self.file.try_clone().expect("one more open file");
        let mut command = Command::new(program);
        let enter = move || {
            setns(&file, CloneFlags::CLONE_NEWNET)?;
            door.as_ref().map_or(Ok(()), cgroup::enter)
        };
        // SAFETY: between fork and exec the closure makes a system call on each of two files that are already open; it
        // neither allocates nor takes a lock.
        unsafe { command.pre_exec(enter) };
        command
    }

    /// Writes a value below /proc/sys/net of this namespace, e.g. `("ipv4/ip_forward", "1")`.
    ///
    /// # Errors
    ///
    /// The kernel has no such setting or refuses the value.
    pub fn sysctl(&self, settings: &[(&str, &str)]) -> Result<()> {
        self.run(|| {
            for (name, value) in settings {
                std::fs::write(format!("/proc/sys/net/{name}"), value)
                    .with_context(|| format!("cannot set net/{name}={value}"))?;
            }
            Ok(())
        })
    }
}

impl Drop for NetNs {
    fn drop(&mut self) {
        if let Err(error) = exec::output(Command::new("ip").args(["netns", "delete", &self.name])) {
            eprintln!("namespace {} is left behind: {error:#}", self.name);
        }
    }
}

fn unique_name(label: &str) -> String {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    let number = NEXT.fetch_add(1, Ordering::Relaxed);
    format!("kp-{}-{number}-{label}", process::id())
}
