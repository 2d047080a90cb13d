//! Datagrams: a server that sends back what it gets, its client, and connects that send nothing at all.

use std::{
    io,
    net::{SocketAddr, UdpSocket},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

use super::{MESSAGE, PATIENCE, processor};

/// How long the server sleeps before it looks whether it is over.
const NAP: Duration = Duration::from_millis(50);
/// Connects between two looks at the clock, which costs a tenth of one.
const CONNECTS: u32 = 256;

/// A server for any number of clients. Runs until it is dropped.
pub(crate) struct Echo {
    is_over: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Echo {
    /// Answers on this socket.
    pub(crate) fn start(socket: UdpSocket) -> io::Result<Self> {
        socket.set_read_timeout(Some(NAP))?;
        let is_over = Arc::new(AtomicBool::new(false));
        let over = Arc::clone(&is_over);
        let thread = thread::spawn(move || serve(&socket, &over));
        Ok(Self {
            is_over,
            thread: Some(thread),
        })
    }
}

impl Drop for Echo {
    fn drop(&mut self) {
        self.is_over.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

fn serve(socket: &UdpSocket, is_over: &AtomicBool) {
    if let Err(error) = processor::take() {
        eprintln!("the figures are less exact: no processor for the server: {error}");
    }
    let mut message = [0; MESSAGE];
    while !is_over.load(Ordering::Relaxed) {
        if let Ok((length, client)) = socket.recv_from(&mut message) {
            // A client that has gone needs no answer.
            let _ = socket.send_to(&message[..length], client);
        }
    }
}

/// Sends a datagram by a socket that is not connected and reads the answer, again and again: so often.
pub(crate) fn exchanges(target: SocketAddr, slice: Duration) -> io::Result<u64> {
    processor::take()?;
    let socket = socket_for(target)?;
    socket.set_read_timeout(Some(PATIENCE))?;
    let mut answer = [0; MESSAGE];
    let mut count = 0;
    let begin = Instant::now();
    while begin.elapsed() < slice {
        socket.send_to(&[b'r'; MESSAGE], target)?;
        socket.recv_from(&mut answer)?;
        count += 1;
    }
    Ok(count)
}

/// Connects one socket again and again, which sends nothing: the system call's nanoseconds.
pub(crate) fn connects(target: SocketAddr, slice: Duration) -> io::Result<f64> {
    processor::take()?;
    let socket = socket_for(target)?;
    let mut count = 0_u64;
    let begin = Instant::now();
    while begin.elapsed() < slice {
        (0..CONNECTS).try_for_each(|_| socket.connect(target))?;
        count += u64::from(CONNECTS);
    }
    Ok(begin.elapsed().as_secs_f64() * 1e9 / count as f64)
}

fn socket_for(target: SocketAddr) -> io::Result<UdpSocket> {
    UdpSocket::bind(match target {
        SocketAddr::V4(_) => "0.0.0.0:0",
        SocketAddr::V6(_) => "[::]:0",
    })
}
