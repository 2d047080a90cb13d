//! Servers: threads that end when their owner drops them.

use std::{
    collections::BTreeMap,
    io::{self, Read as _, Write as _},
    net::{Shutdown, SocketAddr, TcpListener, TcpStream, UdpSocket},
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    thread::{self, JoinHandle},
};

use anyhow::{Context as _, Result};
use proxy_agent::model::Protocol;

use super::{TICK, bulk, http};
use crate::netns::NetNs;

/// What a server does with what it gets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// Answers each line or datagram with `<own name> <peer> <line>`.
    WhoAmI,
    /// Sends everything back in blocks of 64 KiB. TCP only.
    Echo,
    /// Answers `GET /` like [`Role::WhoAmI`] answers a line. TCP only.
    Http,
}

/// A server that runs until it is dropped.
#[derive(Debug)]
pub struct Server {
    shared: Arc<Shared>,
    thread: Option<JoinHandle<()>>,
}

#[derive(Debug)]
pub(super) struct Shared {
    pub(super) name: String,
    role: Role,
    ended: AtomicBool,
    pub(super) served: AtomicUsize,
    /// By number. Whoever waits for a client is woken by the end of its stream, not by a clock: there may be thousands.
    streams: Mutex<BTreeMap<usize, TcpStream>>,
}

impl Server {
    /// Listens on `address` inside `ns`; ready on return.
    ///
    /// # Errors
    ///
    /// The address is not there or taken.
    ///
    /// # Panics
    ///
    /// With SCTP.
    pub fn start(
        ns: &NetNs,
        name: &str,
        role: Role,
        protocol: Protocol,
        address: SocketAddr,
    ) -> Result<Self> {
        let shared = Arc::new(Shared {
            name: name.to_owned(),
            role,
            ended: AtomicBool::new(false),
            served: AtomicUsize::new(0),
            streams: Mutex::default(),
        });
        let context = || format!("{name} cannot listen on {protocol} {address}");
        let own = Arc::clone(&shared);
        let thread = match protocol {
            Protocol::Tcp => {
                let listener = ns.run(|| TcpListener::bind(address)).with_context(context)?;
                listener.set_nonblocking(true)?;
                thread::spawn(move || accept(&listener, &own))
            }
            Protocol::Udp => {
                let socket = ns.run(|| UdpSocket::bind(address)).with_context(context)?;
                socket.set_read_timeout(Some(TICK))?;
                thread::spawn(move || answer_datagrams(&socket, &own))
            }
            Protocol::Sctp => panic!("no SCTP server"),
        };
        Ok(Self {
            shared,
            thread: Some(thread),
        })
    }

    /// How many connections or datagrams it has had.
    #[must_use]
    pub fn served(&self) -> usize {
        self.shared.served.load(Ordering::Relaxed)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.shared.ended.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
        for stream in self.shared.streams().values() {
            // Its client may have gone.
            let _ = stream.shutdown(Shutdown::Both);
        }
    }
}

impl Shared {
    pub(super) fn ended(&self) -> bool {
        self.ended.load(Ordering::Relaxed)
    }

    fn streams(&self) -> MutexGuard<'_, BTreeMap<usize, TcpStream>> {
        self.streams.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn answer(&self, client: SocketAddr, line: &str) -> String {
        format!("{} {client} {line}", self.name)
    }
}

fn accept(listener: &TcpListener, shared: &Arc<Shared>) {
    while !shared.ended() {
        wait_for_client(listener);
        while let Ok((stream, client)) = listener.accept() {
            let number = shared.served.fetch_add(1, Ordering::Relaxed);
            let shared = Arc::clone(shared);
            // A connection that breaks is the client's to notice.
            thread::spawn(move || serve_until_its_end(&shared, stream, (number, client)));
        }
    }
}

fn wait_for_client(listener: &TcpListener) {
    use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
    use std::os::fd::AsFd as _;

    let mut files = [PollFd::new(listener.as_fd(), PollFlags::POLLIN)];
    let timeout = PollTimeout::try_from(TICK).expect("a tick fits");
    // An interrupted or timed out wait only means: look again.
    let _ = poll(&mut files, timeout);
}

fn serve_until_its_end(
    shared: &Shared,
    stream: TcpStream,
    (number, client): (usize, SocketAddr),
) -> io::Result<()> {
    shared.streams().insert(number, stream.try_clone()?);
    if shared.ended() {
        return Ok(());
    }
    let served = serve(shared, stream, client);
    shared.streams().remove(&number);
    served
}

fn serve(shared: &Shared, stream: TcpStream, client: SocketAddr) -> io::Result<()> {
    stream.set_nonblocking(false)?;
    stream.set_nodelay(true)?;
    match shared.role {
        Role::WhoAmI => answer_lines(shared, stream, client),
        Role::Echo => bulk::echo(stream),
        Role::Http => http::serve(shared, stream, client),
    }
}

fn answer_lines(shared: &Shared, mut stream: TcpStream, client: SocketAddr) -> io::Result<()> {
    let mut pending = Vec::new();
    let mut buffer = [0; 2048];
    loop {
        let length = stream.read(&mut buffer)?;
        if length == 0 {
            return Ok(());
        }
        pending.extend_from_slice(&buffer[..length]);
        while let Some(end) = pending.iter().position(|byte| *byte == b'\n') {
            let line: Vec<u8> = pending.drain(..=end).collect();
            let line = String::from_utf8_lossy(&line);
            stream.write_all(format!("{}\n", shared.answer(client, line.trim_end())).as_bytes())?;
        }
    }
}

fn answer_datagrams(socket: &UdpSocket, shared: &Shared) {
    let mut buffer = [0; 2048];
    while !shared.ended() {
        // A timeout, or the ICMP error that an earlier answer met.
        let Ok((length, client)) = socket.recv_from(&mut buffer) else {
            continue;
        };
        shared.served.fetch_add(1, Ordering::Relaxed);
        let line = String::from_utf8_lossy(&buffer[..length]).into_owned();
        let _ = socket.send_to(shared.answer(client, &line).as_bytes(), client);
    }
}
