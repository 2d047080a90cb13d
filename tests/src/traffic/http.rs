//! As much HTTP/1.1 as `curl` and browsers need to read one page.

use std::{
    io::{self, Read as _, Write as _},
    net::{SocketAddr, TcpStream},
    sync::atomic::Ordering,
};

use super::{Answer, Client, server::Shared};

/// A page that was fetched.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Page {
    /// Who served it to whom.
    pub answer: Answer,
    /// The status code.
    pub status: u16,
}

/// Fetches `/` on a connection of its own.
///
/// # Errors
///
/// No connection, no answer in time, or not the page of a [`Role::Http`](super::Role::Http) server.
pub fn get(client: Client<'_>, target: SocketAddr) -> io::Result<Page> {
    let mut stream = client.connect(target)?;
    write!(
        stream,
        "GET / HTTP/1.1\r\nHost: {target}\r\nConnection: close\r\n\r\n"
    )?;
    let mut response = String::new();
    stream.read_to_string(&mut response)?;
    parse(&response).ok_or_else(|| io::Error::other(format!("not the expected page: {response:?}")))
}

fn parse(response: &str) -> Option<Page> {
    let status = response
        .strip_prefix("HTTP/1.1 ")?
        .split(' ')
        .next()?
        .parse()
        .ok()?;
    let header = |name: &str| {
        response
            .lines()
            .find_map(|line| line.strip_prefix(name)?.strip_prefix(": "))
    };
    let server = header("Server")?.to_owned();
    let client = header("X-Client")?.parse().ok()?;
    Some(Page {
        answer: Answer { server, client },
        status,
    })
}

/// Answers one request and closes.
pub(super) fn serve(shared: &Shared, mut stream: TcpStream, client: SocketAddr) -> io::Result<()> {
    let mut request = Vec::new();
    let mut buffer = [0; 4096];
    while !request.windows(4).any(|bytes| bytes == b"\r\n\r\n") {
        let length = stream.read(&mut buffer)?;
        if length == 0 {
            return Ok(());
        }
        request.extend_from_slice(&buffer[..length]);
    }
    stream.write_all(page(shared, client).as_bytes())
}

fn page(shared: &Shared, client: SocketAddr) -> String {
    let (name, number) = (&shared.name, shared.served.load(Ordering::Relaxed));
    let body = format!("Hello from {name}, connection {number}. I see you as {client}.\n");
    format!(
        "HTTP/1.1 200 OK\r\nServer: {name}\r\nX-Client: {client}\r\nContent-Type: text/plain\r\n\
         Content-Length: {}\r\nConnection: close\r\n\r\n{body}",
        body.len()
    )
}
