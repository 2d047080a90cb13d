//! The client, which measures. Each function is called on a thread in the client's namespace that does nothing else.

use std::{
    io::{self, Read as _, Write as _},
    net::{Shutdown, SocketAddr, TcpStream},
    time::{Duration, Instant},
};

use super::{BLOCK, MESSAGE, PATIENCE, TAKE_ALL, processor};

const REQUEST: [u8; MESSAGE] = [b'r'; MESSAGE];

/// What opening many connections came to.
pub(crate) struct Connections {
    /// Connect, request, answer, close: so many a second.
    pub(crate) per_second: f64,
    /// Microseconds of each connect.
    pub(crate) connects: Vec<f64>,
}

/// Opens a connection, sends a request, reads the answer and closes, again and again; to each of `targets` in turn, so that the
/// ports of those that wait for late packets do not run out.
pub(crate) fn connections(targets: &[SocketAddr], slice: Duration) -> io::Result<Connections> {
    processor::take()?;
    let mut connects = Vec::with_capacity(65_536);
    let mut answer = [0; MESSAGE];
    let begin = Instant::now();
    for target in targets.iter().cycle() {
        let connect = Instant::now();
        let mut stream = TcpStream::connect(target)?;
        connects.push(connect.elapsed().as_secs_f64() * 1e6);
        stream.set_read_timeout(Some(PATIENCE))?;
        stream.write_all(&REQUEST)?;
        stream.read_exact(&mut answer)?;
        drop(stream);
        if begin.elapsed() >= slice {
            break;
        }
    }
    Ok(Connections {
        per_second: per_second(connects.len(), begin),
        connects,
    })
}

/// Requests and answers on one connection: so many a second.
pub(crate) fn requests(target: SocketAddr, slice: Duration) -> io::Result<f64> {
    processor::take()?;
    let mut stream = open(target)?;
    let mut answer = [0; MESSAGE];
    let mut count = 0;
    let begin = Instant::now();
    while begin.elapsed() < slice {
        stream.write_all(&REQUEST)?;
        stream.read_exact(&mut answer)?;
        count += 1;
    }
    Ok(per_second(count, begin))
}

/// One stream: gigabits a second, until the server has all of it.
pub(crate) fn stream(target: SocketAddr, slice: Duration) -> io::Result<f64> {
    processor::take()?;
    let mut stream = open(target)?;
    let block = vec![TAKE_ALL; BLOCK];
    let begin = Instant::now();
    while begin.elapsed() < slice {
        stream.write_all(&block)?;
    }
    stream.shutdown(Shutdown::Write)?;
    let mut received = [0; size_of::<u64>()];
    stream.read_exact(&mut received)?;
    Ok(u64::from_be_bytes(received) as f64 * 8.0 / begin.elapsed().as_secs_f64() / 1e9)
}

fn open(target: SocketAddr) -> io::Result<TcpStream> {
    let stream = TcpStream::connect(target)?;
    stream.set_nodelay(true)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    Ok(stream)
}

fn per_second(count: usize, begin: Instant) -> f64 {
    count as f64 / begin.elapsed().as_secs_f64()
}
