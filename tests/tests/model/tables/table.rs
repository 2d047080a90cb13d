//! A table of packets: who sends what to where, and where it ends up.

use harness::flows::columns;
use proxy_agent::model::{Desired, DetectLocal, NodeContext, compute};

use super::cluster;
use crate::{packet::Packet, tracer};

/// The node that the tables are for.
pub(crate) const HERE: &str = "here";

/// The node's settings: pods are `10.0.0.0/8` and `fd00:10::/32`.
pub(crate) fn node() -> NodeContext {
    let pods = ["10.0.0.0/8", "fd00:10::/32"].map(|text| text.parse().expect("a network"));
    NodeContext {
        name: HERE.to_owned(),
        detect_local: DetectLocal::ClusterCidr(pods.into()),
        ..NodeContext::default()
    }
}

/// What the node shall do about these objects.
pub(crate) fn desired(yaml: &str, node: &NodeContext) -> Desired {
    compute(&cluster::read(yaml), node)
}

/// Checks every row of `FROM TO OUTCOME`; all that are wrong are shown at once.
pub(crate) fn check(yaml: &str, table: &str) {
    check_on(&node(), yaml, table);
}

/// The same on a node with other settings.
pub(crate) fn check_on(node: &NodeContext, yaml: &str, table: &str) {
    let desired = desired(yaml, node);
    let rows: Vec<Row<'_>> = table.lines().filter_map(Row::parse).collect();
    assert!(!rows.is_empty(), "a table without rows proves nothing");
    let wrong: Vec<String> = rows.iter().filter_map(|row| row.fault(&desired)).collect();
    assert!(wrong.is_empty(), "\n{}\n", wrong.join("\n"));
}

/// One packet and where it ends up.
struct Row<'a> {
    from: &'a str,
    to: &'a str,
    outcome: &'a str,
}

impl<'a> Row<'a> {
    /// Columns are two spaces or more apart; lines that are empty or start with `#` are none.
    fn parse(line: &'a str) -> Option<Self> {
        let columns = columns(line);
        if columns.is_empty() {
            return None;
        }
        let [from, to, outcome] = columns[..] else {
            panic!("{line}: a row is FROM  TO  OUTCOME");
        };
        Some(Self { from, to, outcome })
    }

    fn fault(&self, desired: &Desired) -> Option<String> {
        let Self { from, to, outcome } = self;
        let found = tracer::trace(desired, &Packet::parse(from, to)).to_string();
        (found != *outcome).then(|| format!("{from}  {to}  goes to {found}, should go to {outcome}"))
    }
}
