//! What tells that a proxy has seen everything that was written: a Service and two EndpointSlices are written last, with another
//! port each time. A watch tells of objects of one kind in the order in which they were written.

use anyhow::{Result, ensure};
use harness::apiserver::{
    Write,
    objects::{endpoints, service, slice},
};
use serde_json::json;

use crate::{FAMILIES, rules::Rules};

const FIRST: u16 = 10_000;
const ENDPOINTS: [&str; 2] = ["10.244.9.1", "fd00:10:244:9::1"];

/// The ports that it has at present.
#[derive(Debug)]
pub(crate) struct Marker {
    service: u16,
    slices: [u16; 2],
}

impl Default for Marker {
    fn default() -> Self {
        Self {
            service: FIRST,
            slices: [FIRST; 2],
        }
    }
}

impl Marker {
    pub(crate) fn creation(&self) -> Vec<Write> {
        let namespace = json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "marker"}});
        let by_slice = service(
            "marker",
            "slice",
            &json!({
                "clusterIP": "10.96.0.20", "clusterIPs": ["10.96.0.20", "fd00:10:96::20"], "ipFamilyPolicy": "RequireDualStack",
                "ports": [{"port": 1}],
            }),
        );
        [
            vec![Write::Apply(namespace), Write::Apply(by_slice)],
            self.writes(),
        ]
        .concat()
    }

    /// Takes other ports.
    pub(crate) fn advance(&mut self) -> Vec<Write> {
        self.service += 1;
        self.slices = self.slices.map(|port| port + 1);
        self.writes()
    }

    /// Only the slice for IPv4 takes another port.
    pub(crate) fn advance_slice(&mut self) -> Vec<Write> {
        self.slices[0] += 1;
        self.writes().split_off(1)[..1].to_vec()
    }

    /// Fails unless the present ports are in `rules`.
    pub(crate) fn find(&self, rules: &Rules) -> Result<()> {
        let slices = ENDPOINTS.into_iter().zip(self.slices);
        for (family, (address, port)) in FAMILIES.into_iter().zip(slices) {
            let (service, port) = (format!("--dport {} ", self.service), format!(":{port}"));
            ensure!(
                rules.has(family, &["marker/service", &service]),
                "no new Service for {family}"
            );
            ensure!(
                rules.has(family, &["DNAT", address, &port]),
                "no new slice for {family}"
            );
        }
        Ok(())
    }

    fn writes(&self) -> Vec<Write> {
        let service = service(
            "marker",
            "service",
            &json!({
                "clusterIP": "10.96.0.21", "clusterIPs": ["10.96.0.21", "fd00:10:96::21"], "ipFamilyPolicy": "RequireDualStack",
                "ports": [{"port": self.service}],
            }),
        );
        let slice = |name, address, port| {
            slice(
                "marker",
                name,
                "slice",
                &json!([{"port": port}]),
                &endpoints(&[address]),
            )
        };
        let [four, six] = self.slices;
        let slices = [
            slice("slice-4", ENDPOINTS[0], four),
            slice("slice-6", ENDPOINTS[1], six),
        ];
        [service].into_iter().chain(slices).map(Write::Apply).collect()
    }
}
