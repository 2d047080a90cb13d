//! A server for one client at a time: a thread a port, which knows nothing of any other.

use std::{
    io::{self, Read as _, Write as _},
    net::{IpAddr, SocketAddr, TcpListener, TcpStream},
    os::fd::AsRawFd as _,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread::{self, JoinHandle},
};

use anyhow::{Context as _, Result};
use harness::netns::NetNs;
use nix::sys::socket::{Shutdown, shutdown};

use super::{BLOCK, MESSAGE, TAKE_ALL, processor};

/// Runs until it is dropped.
pub(crate) struct Server {
    ports: Vec<Port>,
}

struct Port {
    listener: Arc<TcpListener>,
    is_over: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Server {
    /// Listens on all of `ports`; ready on return.
    pub(crate) fn start(ns: &NetNs, address: IpAddr, ports: impl Iterator<Item = u16>) -> Result<Self> {
        let listen = |address| ns.run(|| TcpListener::bind(address));
        Self::start_by(listen, ports.map(|port| SocketAddr::new(address, port)))
    }

    /// The same on what `listen` makes for each address.
    pub(crate) fn start_by(
        listen: impl Fn(SocketAddr) -> io::Result<TcpListener>,
        addresses: impl Iterator<Item = SocketAddr>,
    ) -> Result<Self> {
        let open = |address| {
            let listener = listen(address).with_context(|| format!("cannot listen on {address}"))?;
            Ok(Port::open(listener))
        };
        Ok(Self {
            ports: addresses.map(open).collect::<Result<_>>()?,
        })
    }
}

impl Port {
    fn open(listener: TcpListener) -> Self {
        let listener = Arc::new(listener);
        let is_over = Arc::new(AtomicBool::new(false));
        let (own, over) = (Arc::clone(&listener), Arc::clone(&is_over));
        let thread = thread::spawn(move || serve(&own, &over));
        Self {
            listener,
            is_over,
            thread: Some(thread),
        }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        for port in &self.ports {
            port.is_over.store(true, Ordering::Relaxed);
            // Wakes `accept`. One that has ended already has nothing to wake.
            let _ = shutdown(port.listener.as_raw_fd(), Shutdown::Both);
        }
        for thread in self.ports.iter_mut().filter_map(|port| port.thread.take()) {
            let _ = thread.join();
        }
    }
}

fn serve(listener: &TcpListener, is_over: &AtomicBool) {
    if let Err(error) = processor::take() {
        eprintln!("the figures are less exact: no processor for the server: {error}");
    }
    while !is_over.load(Ordering::Relaxed) {
        if let Ok((stream, _)) = listener.accept() {
            // A connection that breaks is the client's to notice.
            let _ = answer(stream);
        }
    }
}

fn answer(mut stream: TcpStream) -> io::Result<()> {
    let mut message = [0; MESSAGE];
    loop {
        let length = stream.read(&mut message)?;
        match message.first() {
            _ if length == 0 => return Ok(()),
            Some(&TAKE_ALL) => return take_all(stream, length),
            _ => stream.write_all(&message[..length])?,
        }
    }
}

fn take_all(mut stream: TcpStream, first: usize) -> io::Result<()> {
    let mut block = vec![0; BLOCK];
    let mut all = first as u64;
    loop {
        match stream.read(&mut block)? {
            0 => return stream.write_all(&all.to_be_bytes()),
            length => all += length as u64,
        }
    }
}
