//! What tells that a proxy has seen everything that was written: a Service and two EndpointSlices are written last, with another
//! port each time. A watch tells of objects of one kind in the order in which they were written.

use anyhow::{Result, ensure};
use harness::apiserver::{
    Write,
    objects::{endpoints, service, slice},
};
use serde_json::json;

use crate::{FAMILIES, rules::Rules};

/// The port that it has at present.
#[derive(Debug)]
pub(crate) struct Marker(u16);

impl Default for Marker {
    fn default() -> Self {
        Self(10_000)
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
        [vec![Write::Apply(namespace), Write::Apply(by_slice)], self.writes()].concat()
    }

    /// Takes another port.
    pub(crate) fn advance(&mut self) -> Vec<Write> {
        self.0 += 1;
        self.writes()
    }

    /// Fails unless the present port is in `rules`.
    pub(crate) fn find(&self, rules: &Rules) -> Result<()> {
        for family in FAMILIES {
            let (service, slice) = (format!("--dport {} ", self.0), format!(":{}", self.0));
            ensure!(rules.has(family, &["marker/service", &service]), "no new Service for {family}");
            ensure!(rules.has(family, &["marker/slice", "DNAT", &slice]), "no new slice for {family}");
        }
        Ok(())
    }

    fn writes(&self) -> Vec<Write> {
        let service = service(
            "marker",
            "service",
            &json!({
                "clusterIP": "10.96.0.21", "clusterIPs": ["10.96.0.21", "fd00:10:96::21"], "ipFamilyPolicy": "RequireDualStack",
                "ports": [{"port": self.0}],
            }),
        );
        let ports = json!([{"port": self.0}]);
        let slice = |name, address| slice("marker", name, "slice", &ports, &endpoints(&[address]));
        [service, slice("slice-4", "10.244.9.1"), slice("slice-6", "fd00:10:244:9::1")].map(Write::Apply).to_vec()
    }
}
