//! Traffic that each program of sockets is measured by: a Service of both families and of TCP and UDP, and the pod behind it by
//! itself. Its servers' sockets have no programs: what the kernel counts is the client's.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};

use anyhow::{Context as _, Result};
use harness::{
    cgroup::Cgroup,
    manifests::{Endpoint, Manifests, Service},
    topology::Host,
};
use proxy_agent::model::{Family, Protocol};

use super::stage::listen_in;
use crate::load::{Echo, Server};

const PORT: u16 = 80;
const SERVICE_PORT: u16 = 7001;
/// Without a Service.
const OTHER_PORT: u16 = 7002;

/// Runs until it is dropped.
pub(super) struct Probes {
    _server: Server,
    _echoes: Vec<Echo>,
    /// An address of each family.
    pod: [IpAddr; 2],
}

/// Whether a Service is asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Asked {
    Hit,
    Miss,
}

impl Probes {
    /// So many its Services have.
    pub(super) const CLUSTER_IPS: usize = 4;

    /// Serves on `pod`, and writes the Services.
    pub(super) fn publish(pod: &Host, unseen: &Cgroup, manifests: &Manifests) -> Result<Self> {
        for protocol in [Protocol::Tcp, Protocol::Udp] {
            manifests.write(&service(protocol, pod))?;
        }
        let addresses = || {
            let ports = [SERVICE_PORT, OTHER_PORT];
            Family::ALL
                .into_iter()
                .flat_map(move |family| ports.map(|port| pod.at(family, port)))
        };
        let echo = |address: SocketAddr| {
            let socket = pod.ns.run_in(unseen, || UdpSocket::bind(address))?;
            let started = socket.and_then(Echo::start);
            started.with_context(|| format!("cannot serve on {address}"))
        };
        Ok(Self {
            _server: Server::start_by(|address| listen_in(unseen, pod, address), addresses())?,
            _echoes: addresses().map(echo).collect::<Result<_>>()?,
            pod: Family::ALL.map(|family| pod.ip(family)),
        })
    }

    /// Whom to ask.
    pub(super) fn target(&self, family: Family, asked: Asked) -> Option<SocketAddr> {
        let of_family = |all: [IpAddr; 2]| all.into_iter().find(|ip| Family::of(*ip) == family);
        Some(match asked {
            Asked::Hit => SocketAddr::new(of_family(cluster_ips())?, PORT),
            Asked::Miss => SocketAddr::new(of_family(self.pod)?, OTHER_PORT),
        })
    }
}

fn cluster_ips() -> [IpAddr; 2] {
    [
        Ipv4Addr::new(10, 95, 0, 1).into(),
        Ipv6Addr::new(0xfd00, 0x95, 0, 0, 0, 0, 0, 1).into(),
    ]
}

fn service(protocol: Protocol, pod: &Host) -> Service {
    Service {
        name: format!("probe-{protocol}").to_lowercase(),
        port_name: "main".to_owned(),
        protocol,
        cluster_ips: cluster_ips().to_vec(),
        external_ips: Vec::new(),
        port: PORT,
        node_port: None,
        target_port: SERVICE_PORT,
        weights: None,
        load_balancer: None,
        spec: Vec::new(),
        other_protocol: false,
        endpoints: Endpoint::of(&[pod], &Family::ALL),
    }
}
