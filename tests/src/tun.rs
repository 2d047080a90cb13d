//! A cable between two namespaces whose devices have no Ethernet header: two tun devices, and threads that carry packets from one to
//! the other.

use std::{
    ffi::CString,
    fs::File,
    io::{self, Read as _, Write as _},
    mem,
    os::fd::{AsFd as _, AsRawFd as _},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread::{self, JoinHandle},
};

use anyhow::{Context as _, Result, ensure};
use nix::{
    libc,
    poll::{PollFd, PollFlags, poll},
};

use crate::netns::NetNs;

/// Larger than any packet.
const BUFFER: usize = 65_536;
/// Milliseconds after which a waiting thread looks whether it shall end.
const TICK: u16 = 100;

/// Two devices and what joins them. They go when this is dropped.
#[derive(Debug)]
pub struct Tun {
    ended: Arc<AtomicBool>,
    threads: Vec<JoinHandle<()>>,
}

impl Tun {
    /// Makes a device of this name in each of two namespaces. They are down and have no addresses.
    ///
    /// # Errors
    ///
    /// The name is taken, or the machine has no `/dev/net/tun`.
    pub fn join(one: &NetNs, two: &NetNs, name: &str) -> Result<Self> {
        let (one, two) = (one.run(|| open(name))?, two.run(|| open(name))?);
        let ended = Arc::new(AtomicBool::new(false));
        let pairs = [(one.try_clone()?, two.try_clone()?), (two, one)];
        let threads = pairs.map(|(from, to)| {
            let ended = Arc::clone(&ended);
            thread::spawn(move || carry(from, to, &ended))
        });
        Ok(Self {
            ended,
            threads: threads.into(),
        })
    }
}

impl Drop for Tun {
    fn drop(&mut self) {
        self.ended.store(true, Ordering::Relaxed);
        for thread in self.threads.drain(..) {
            let _ = thread.join();
        }
    }
}

fn open(name: &str) -> Result<File> {
    let device = File::options()
        .read(true)
        .write(true)
        .open("/dev/net/tun")
        .context("cannot open /dev/net/tun")?;
    let name = CString::new(name)?;
    let bytes = name.as_bytes();
    ensure!(bytes.len() < libc::IFNAMSIZ, "{name:?} is too long for a device");
    // SAFETY: all bytes zero are an `ifreq`.
    let mut request: libc::ifreq = unsafe { mem::zeroed() };
    for (to, from) in request.ifr_name.iter_mut().zip(bytes) {
        *to = libc::c_char::from_ne_bytes([*from]);
    }
    request.ifr_ifru.ifru_flags = libc::c_short::try_from(libc::IFF_TUN | libc::IFF_NO_PI)?;
    // SAFETY: the kernel reads and writes one `ifreq`, which `request` is.
    let result = unsafe { libc::ioctl(device.as_raw_fd(), libc::TUNSETIFF, &raw mut request) };
    ensure!(
        result == 0,
        "cannot make the device {name:?}: {}",
        io::Error::last_os_error()
    );
    Ok(device)
}

fn carry(mut from: File, mut to: File, ended: &AtomicBool) {
    let mut packet = vec![0; BUFFER];
    while !ended.load(Ordering::Relaxed) {
        let mut files = [PollFd::new(from.as_fd(), PollFlags::POLLIN)];
        let readable = poll(&mut files, TICK).is_ok_and(|ready| ready > 0);
        // A device that is down refuses packets, as a cable that is not plugged in.
        if readable && let Ok(length) = from.read(&mut packet) {
            let _ = to.write(&packet[..length]);
        }
    }
}
