//! Clients for both protocols behind one type.

use std::{
    io::{self, BufRead as _, BufReader, Write as _},
    net::{Ipv4Addr, Ipv6Addr, SocketAddr, TcpStream, UdpSocket},
    os::fd::{AsRawFd as _, OwnedFd},
    time::Duration,
};

use nix::sys::{
    socket::{
        AddressFamily, SockFlag, SockType, SockaddrStorage, bind, connect, setsockopt, socket,
        sockopt::{ReuseAddr, SendTimeout},
    },
    time::{TimeVal, TimeValLike as _},
};
use proxy_agent::model::Protocol;

use super::PATIENCE;
use crate::netns::NetNs;

/// What a server said.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer {
    /// The server's name.
    pub server: String,
    /// Whom the server saw.
    pub client: SocketAddr,
}

/// Where a conversation starts.
#[derive(Clone, Copy, Debug)]
pub struct Client<'n> {
    ns: &'n NetNs,
    source_port: Option<u16>,
    patience: Duration,
}

/// A TCP connection, or a connected UDP socket, that questions go through.
#[derive(Debug)]
pub struct Conversation {
    socket: Socket,
}

#[derive(Debug)]
enum Socket {
    Tcp(BufReader<TcpStream>),
    Udp(UdpSocket),
}

impl<'n> Client<'n> {
    /// A client in `ns` with a source port that the kernel picks.
    #[must_use]
    pub const fn new(ns: &'n NetNs) -> Self {
        Self {
            ns,
            source_port: None,
            patience: PATIENCE,
        }
    }

    /// Always takes this source port; several sockets may at once, to different destinations.
    #[must_use]
    pub const fn from_port(self, port: u16) -> Self {
        Self {
            source_port: Some(port),
            ..self
        }
    }

    /// Waits this long instead of [`PATIENCE`] for a connection or an answer. Full milliseconds, more than none.
    #[must_use]
    pub const fn patience(self, patience: Duration) -> Self {
        Self { patience, ..self }
    }

    /// Opens a TCP connection.
    ///
    /// # Errors
    ///
    /// As `connect(2)`; `TimedOut` when its patience is over.
    pub fn connect(&self, target: SocketAddr) -> io::Result<TcpStream> {
        let stream = TcpStream::from(self.ns.run(|| self.open(SockType::Stream, target))?);
        stream.set_read_timeout(Some(self.patience))?;
        stream.set_nodelay(true)?;
        Ok(stream)
    }

    /// Opens a conversation.
    ///
    /// # Errors
    ///
    /// As `connect(2)`. With UDP nothing is sent yet.
    ///
    /// # Panics
    ///
    /// With SCTP.
    pub fn talk(&self, protocol: Protocol, target: SocketAddr) -> io::Result<Conversation> {
        let socket = match protocol {
            Protocol::Tcp => Socket::Tcp(BufReader::new(self.connect(target)?)),
            Protocol::Udp => Socket::Udp(self.datagrams(target)?),
            Protocol::Sctp => panic!("no SCTP client"),
        };
        Ok(Conversation { socket })
    }

    /// One question on a conversation of its own: a connection, or a single datagram without a retry.
    ///
    /// # Errors
    ///
    /// No connection or no answer in time.
    pub fn ask(&self, protocol: Protocol, target: SocketAddr) -> io::Result<Answer> {
        self.talk(protocol, target)?.ask("hello")
    }

    fn datagrams(&self, target: SocketAddr) -> io::Result<UdpSocket> {
        let socket = UdpSocket::from(self.ns.run(|| self.open(SockType::Datagram, target))?);
        socket.set_read_timeout(Some(self.patience))?;
        Ok(socket)
    }

    /// A connected socket; std can neither bind before it connects nor share a source port.
    fn open(&self, kind: SockType, target: SocketAddr) -> io::Result<OwnedFd> {
        let family = if target.is_ipv4() {
            AddressFamily::Inet
        } else {
            AddressFamily::Inet6
        };
        let socket = socket(family, kind, SockFlag::SOCK_CLOEXEC, None)?;
        if let Some(port) = self.source_port {
            setsockopt(&socket, ReuseAddr, &true)?;
            bind(
                socket.as_raw_fd(),
                &SockaddrStorage::from(unspecified(target, port)),
            )?;
        }
        let milliseconds = i64::try_from(self.patience.as_millis()).expect("a few seconds");
        let patience = TimeVal::milliseconds(milliseconds);
        setsockopt(&socket, SendTimeout, &patience)?;
        match connect(socket.as_raw_fd(), &SockaddrStorage::from(target)) {
            // What Linux answers when SO_SNDTIMEO ends a blocking connect.
            Err(nix::Error::EINPROGRESS) => Err(io::ErrorKind::TimedOut.into()),
            result => result.map(|()| socket).map_err(io::Error::from),
        }
    }
}

const fn unspecified(target: SocketAddr, port: u16) -> SocketAddr {
    if target.is_ipv4() {
        SocketAddr::new(std::net::IpAddr::V4(Ipv4Addr::UNSPECIFIED), port)
    } else {
        SocketAddr::new(std::net::IpAddr::V6(Ipv6Addr::UNSPECIFIED), port)
    }
}

impl Conversation {
    /// Sends a line and takes the answer.
    ///
    /// # Errors
    ///
    /// The connection is gone, no answer came in time, or the answer is to something else.
    pub fn ask(&mut self, line: &str) -> io::Result<Answer> {
        let reply = match &mut self.socket {
            Socket::Tcp(stream) => {
                writeln!(stream.get_mut(), "{line}")?;
                let mut reply = String::new();
                stream.read_line(&mut reply)?;
                reply
            }
            Socket::Udp(socket) => {
                socket.send(line.as_bytes())?;
                let mut buffer = [0; 2048];
                let length = socket.recv(&mut buffer)?;
                String::from_utf8_lossy(&buffer[..length]).into_owned()
            }
        };
        parse(&reply, line)
    }
}

/// Reads `<server> <client> <line>`.
fn parse(reply: &str, line: &str) -> io::Result<Answer> {
    let mut words = reply.trim_end().splitn(3, ' ');
    let answer = words
        .next()
        .zip(words.next().and_then(|client| client.parse().ok()));
    match answer {
        Some((server, client)) if words.next() == Some(line) => Ok(Answer {
            server: server.to_owned(),
            client,
        }),
        _ if reply.is_empty() => Err(io::ErrorKind::UnexpectedEof.into()),
        _ => Err(io::Error::other(format!(
            "asked {line:?}, the answer is {reply:?}"
        ))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_to_another_question_is_an_error() {
        assert!(parse("pod 10.0.0.1:5 one\n", "two").is_err());
        assert_eq!(
            parse("pod 10.0.0.1:5 one\n", "one").expect("the answer").server,
            "pod"
        );
    }

    #[test]
    fn a_closed_connection_is_an_end_of_file() {
        let error = parse("", "one").expect_err("nothing came");
        assert_eq!(error.kind(), io::ErrorKind::UnexpectedEof);
    }
}
