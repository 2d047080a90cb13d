//! Rules that kube-proxy has written in clusters of others, at different times, as they were published: what they do to a packet, we do.
//!
//! ```text
//! documents/NAME.txt, what was published ┐
//! documents/NAME.rest.txt, what is not   ┴─▶ Rules ──────────────────────────┐
//! documents/NAME.yaml ─▶ Cluster ─▶ Desired ┬─▶ tracer ──────────────────────┼─▶ shares of endpoints ══ what the test says
//!                                           ├─▶ rendered rules ──────────────┤
//!                                           └─▶ maps ─▶ programs, many tries ┘
//! ```
//! What differed in the versions of kube-proxy that wrote them is a setting of the node or has a test of its own.

mod cluster_with_affinity;
mod four_endpoints;
mod names_for_addresses;
mod node_port_of_three_endpoints;
mod one_mark_for_every_endpoint;
mod reader;
mod row;
mod ways;

use std::net::{IpAddr, SocketAddr};

use crate::tracer::Shares;
use harness::{
    bpf::in_own_netns,
    rules::{Node, Packet, Rules},
};
use ipnet::IpNet;
use proxy_agent::model::{Desired, Family};

use self::{
    row::Row,
    ways::{Programs, by_document, by_model, by_rendered},
};

/// Old versions wrote probabilities with five digits.
const FIVE_DIGITS: f64 = 1e-5;
/// New ones, and so do we, with ten.
const TEN_DIGITS: f64 = 1e-9;
/// What adding and dividing numbers may lose.
const ARITHMETIC: f64 = 1e-12;

/// A published set of rules and the cluster that it is of.
struct Document {
    rules: Rules,
    /// The chain that masquerades on kube-proxy's behalf.
    masquerades: &'static str,
    desired: Desired,
    /// The node whose rules they are.
    node: Node,
    /// The pods of the cluster, if the node knows them.
    pods: Vec<IpNet>,
    /// A pod on the node.
    pod: IpAddr,
}

impl Document {
    /// Holds each row, `CLIENT  DESTINATION  SHARES`, against the document's rules, the model, the rules that we write and the programs.
    fn check(&self, table: &str) {
        let rows: Vec<Row> = table.lines().filter_map(|line| Row::parse(line, self)).collect();
        assert!(!rows.is_empty(), "a table without rows proves nothing");
        let rendered = Rules::rendered(&self.desired, Family::V4, &self.node.addresses);
        let rendered = rendered.unwrap_or_else(|error| panic!("{error:#}"));
        let mut wrong = Vec::new();
        let mut hold = |row: &Row, found: &Shares, tolerance: f64, who: &str| {
            if !row.is_met_by(found, tolerance) {
                wrong.push(format!("{row}: {who} says {}", row::words(found)));
            }
        };
        for row in &rows {
            hold(row, &by_document(self, &row.packet), FIVE_DIGITS, "the document");
            hold(row, &by_model(self, &row.packet), ARITHMETIC, "the model");
            let found = by_rendered(self, &rendered, &row.packet);
            hold(row, &found, TEN_DIGITS, "the rendered text");
        }
        in_own_netns(|| {
            let mut programs = Programs::of(self);
            // What a node itself sends meets no program on a device.
            for row in rows.iter().filter(|row| row.packet.interface.is_some()) {
                let tries = row.tries();
                let found = programs.shares(&row.packet, tries);
                hold(row, &found, ways::doubt(tries), "the kernel's programs");
            }
        });
        assert!(wrong.is_empty(), "\n{}\n", wrong.join("\n"));
    }

    fn client(&self, word: &str) -> IpAddr {
        match word {
            "pod" => self.pod,
            "node" => self.node.addresses[0],
            "outside" => "203.0.113.9".parse().expect("an address"),
            address => address
                .parse()
                .unwrap_or_else(|_| panic!("nobody is called {address}")),
        }
    }

    /// A packet as it meets the node.
    fn packet(&self, client: &str, destination: SocketAddr) -> Packet {
        let source = SocketAddr::new(self.client(client), 40_000);
        let packet = Packet::tcp(source, destination);
        match client {
            "node" => packet,
            _ => packet.from_interface(self.node_interface(source.ip())),
        }
    }

    fn node_interface(&self, client: IpAddr) -> &str {
        let fitting = self.node.routes.iter().filter(|(net, _)| net.contains(&client));
        let longest = fitting.max_by_key(|(net, _)| net.prefix_len());
        &longest.expect("there is a default route").1
    }
}
