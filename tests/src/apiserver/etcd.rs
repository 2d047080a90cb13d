//! etcd, on the loopback device of its namespace.

use std::{
    fs,
    io::{Read as _, Write as _},
    net::TcpStream,
    path::Path,
    sync::Arc,
    time::Duration,
};

use anyhow::{Context as _, Result, ensure};

use crate::{netns::NetNs, process::Process};

/// Where clients reach it.
pub(super) const URL: &str = "http://127.0.0.1:2379";

const CLIENTS: &str = "127.0.0.1:2379";
const PEERS: &str = "http://127.0.0.1:2380";

/// A cluster of one member.
#[derive(Debug)]
pub(super) struct Etcd {
    ns: Arc<NetNs>,
    _process: Process,
}

impl Etcd {
    /// Starts it in `ns` with its data below `directory`; ready on return.
    pub(super) fn start(binary: &Path, ns: &Arc<NetNs>, directory: &Path) -> Result<Self> {
        let data = directory.join("etcd");
        fs::create_dir_all(&data)?;
        let mut command = ns.command(binary);
        command.arg("--data-dir").arg(&data);
        command.args(["--name", "one", "--log-level", "warn", "--unsafe-no-fsync"]);
        command.args(["--listen-client-urls", URL, "--advertise-client-urls", URL]);
        command.args([
            "--listen-peer-urls",
            PEERS,
            "--initial-advertise-peer-urls",
            PEERS,
        ]);
        command.arg("--initial-cluster").arg(format!("one={PEERS}"));
        let mut process = Process::start("etcd", &mut command, directory)?;
        process.wait_until(Duration::from_secs(15), || {
            ns.run(|| TcpStream::connect(CLIENTS)).map_err(Into::into)
        })?;
        Ok(Self {
            ns: Arc::clone(ns),
            _process: process,
        })
    }

    /// Forgets all that was before `revision`: watches cannot begin there any more.
    pub(super) fn compact(&self, revision: &str) -> Result<()> {
        let body = format!(r#"{{"revision":"{revision}","physical":true}}"#);
        let request = format!(
            "POST /v3/kv/compaction HTTP/1.0\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}",
            body.len()
        );
        let mut stream = self.ns.run(|| TcpStream::connect(CLIENTS))?;
        stream.set_read_timeout(Some(Duration::from_secs(10)))?;
        stream.write_all(request.as_bytes())?;
        let mut answer = String::new();
        stream
            .read_to_string(&mut answer)
            .context("etcd does not answer")?;
        let is_ok = answer
            .lines()
            .next()
            .is_some_and(|line| line.split(' ').nth(1) == Some("200"));
        ensure!(is_ok, "etcd refuses to compact to revision {revision}: {answer}");
        Ok(())
    }
}
