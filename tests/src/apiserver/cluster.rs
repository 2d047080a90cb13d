//! A topology with an API server on `node2` and an agent on `node1` that follows it.

use std::{fs, net::SocketAddr, path::PathBuf, time::Duration};

use anyhow::{Result, ensure};
use serde_json::json;

use super::{ApiServer, Binaries};
use crate::{
    agent::{Agent, Row, Source, TcAttach},
    scratch::Scratch,
    topology::{Host, Topology},
    wait,
};

/// How long an agent may take to serve what the API server says. After an outage most of it is the pause before its
/// watches are tried again, which grows to half a minute.
const PATIENCE: Duration = Duration::from_secs(60);

/// The machines, the API server and an agent.
#[derive(Debug)]
pub struct Cluster {
    // Fields are dropped from top to bottom: nothing may outlive its namespace or its directory.
    /// The agent of `node1`.
    pub agent: Agent,
    /// The API server, on `node2`.
    pub server: ApiServer,
    /// The machines.
    pub topology: Topology,
    scratch: Scratch,
}

impl Cluster {
    /// Builds all of it; the API server is ready on return, the agent may still be loading its programs.
    ///
    /// # Errors
    ///
    /// As [`Topology::build`], [`Scratch::create`], [`ApiServer::start`] and [`Agent::start`].
    pub fn start(binaries: &Binaries) -> Result<Self> {
        Self::on(Topology::build()?, binaries)
    }

    /// As [`start`](Self::start), with programs that see the sockets of `node1` and its pods, too.
    ///
    /// # Errors
    ///
    /// As [`start`](Self::start) and [`Node::join_cgroup`](crate::topology::Node::join_cgroup).
    pub fn start_with_sockets(binaries: &Binaries) -> Result<Self> {
        let topology = Topology::build()?;
        topology.nodes[0].join_cgroup()?;
        Self::on(topology, binaries)
    }

    fn on(topology: Topology, binaries: &Binaries) -> Result<Self> {
        let scratch = Scratch::create()?;
        let [one, two] = &topology.nodes;
        let server = ApiServer::start(binaries, &two.host, scratch.path())?;
        for node in [one, two] {
            server.admin().apply(&json!({
                "apiVersion": "v1", "kind": "Node", "metadata": {"name": node.host.name},
            }))?;
        }
        let agent = start_agent(&server, &one.host, &scratch)?;
        Ok(Self {
            agent,
            server,
            topology,
            scratch,
        })
    }

    /// Starts an agent on another node.
    ///
    /// # Errors
    ///
    /// As [`Agent::start`].
    pub fn start_agent(&self, node: &Host) -> Result<Agent> {
        start_agent(&self.server, node, &self.scratch)
    }

    /// As [`start_agent`](Self::start_agent), with kube-proxy's configuration file, and gives the file.
    ///
    /// # Errors
    ///
    /// As [`Agent::start`].
    pub fn start_configured_agent(&self, node: &Host, config: &str) -> Result<(Agent, PathBuf)> {
        let file = self.scratch.path().join(format!("{}.config.yaml", node.name));
        fs::write(&file, config)?;
        let agent = Agent::start_from(Source::Config(file.clone()), node, &self.scratch, TcAttach::Auto)?;
        Ok((agent, file))
    }

    /// Creates a namespace of Kubernetes, so that a test has its Services for itself.
    ///
    /// # Errors
    ///
    /// The API server refuses.
    pub fn create_namespace(&self, name: &str) -> Result<()> {
        let object = json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}});
        self.server.admin().create(&object)
    }

    /// Waits until the agent serves exactly these frontends in `namespace`, written and ordered as [`lines`] does.
    ///
    /// # Errors
    ///
    /// Not in time.
    pub fn expect(&self, namespace: &str, expected: &[&str]) -> Result<()> {
        expect(&self.agent, namespace, expected)
    }

    /// Waits until the agent has logged `text`.
    ///
    /// # Errors
    ///
    /// Not in time.
    pub fn wait_for_log(&self, what: &str, text: &str) -> Result<()> {
        wait::until(what, PATIENCE, || {
            ensure!(self.agent.log().contains(text), "its log says nothing of it");
            Ok(())
        })
    }
}

fn start_agent(server: &ApiServer, node: &Host, scratch: &Scratch) -> Result<Agent> {
    let source = Source::Kubeconfig(server.agent_kubeconfig().to_owned());
    Agent::start_from(source, node, scratch, TcAttach::Auto)
}

/// Waits until `agent` serves exactly these frontends in `namespace`.
///
/// # Errors
///
/// Not in time.
pub fn expect(agent: &Agent, namespace: &str, expected: &[&str]) -> Result<()> {
    agent.wait_within(PATIENCE, &format!("the Services of {namespace}"), |rows| {
        let found = lines(rows, namespace);
        let (found_text, expected_text) = (found.join("\n  "), expected.join("\n  "));
        ensure!(
            found == expected,
            "expected\n  {expected_text}\nbut it serves\n  {found_text}\n"
        );
        Ok(())
    })
}

/// The frontends of a namespace in order, as in `web:http ClusterIP 10.96.0.9:80/TCP > 10.0.0.1:8080 10.0.0.2:8080`.
#[must_use]
pub fn lines(rows: &[Row], namespace: &str) -> Vec<String> {
    let mut lines: Vec<_> = rows.iter().filter_map(|row| line(row, namespace)).collect();
    lines.sort();
    lines
}

fn line(row: &Row, namespace: &str) -> Option<String> {
    let service = row.service.strip_prefix(namespace)?.strip_prefix('/')?;
    let address = match row.address.parse() {
        Ok(address) => SocketAddr::new(address, row.port).to_string(),
        // `*`, any address of the node.
        Err(_) => format!("{}:{}", row.address, row.port),
    };
    let Row { kind, protocol, .. } = row;
    let endpoints: Vec<_> = row.endpoints.iter().map(ToString::to_string).collect();
    let line = format!("{service} {kind} {address}/{protocol} > {}", endpoints.join(" "));
    Some(line.trim_end().to_owned())
}
