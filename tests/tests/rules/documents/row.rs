//! One packet of a table and where it ends.

use std::fmt;

use harness::{
    flows::columns,
    rules::{Fate, Packet},
};
use proxy_agent::model::Protocol;

use super::{Document, Shares};

pub(super) struct Row {
    text: String,
    pub(super) packet: Packet,
    shares: Shares,
}

impl Row {
    /// `pod  10.96.0.10:53/udp  1/2 10.0.0.1:53, 1/2 10.0.0.2:53 masqueraded`, or `rejected`, `dropped`, `untouched` in the last
    /// column. Empty lines and those that start with `#` are none.
    pub(super) fn parse(line: &str, document: &Document) -> Option<Self> {
        let columns = columns(line);
        if columns.is_empty() {
            return None;
        }
        let [client, destination, ends] = columns[..] else {
            panic!("{line}: a row is CLIENT  DESTINATION  SHARES");
        };
        let (to, protocol) = match destination.strip_suffix("/udp") {
            Some(to) => (to, Protocol::Udp),
            None => (destination, Protocol::Tcp),
        };
        let to = to
            .parse()
            .unwrap_or_else(|_| panic!("{to} is no address and port"));
        let packet = Packet {
            protocol,
            ..document.packet(client, to)
        };
        Some(Self {
            text: line.to_owned(),
            packet,
            shares: ends.split(", ").map(share).collect(),
        })
    }

    /// The same outcomes, with shares that differ by no more than `tolerance`.
    pub(super) fn is_met_by(&self, found: &Shares, tolerance: f64) -> bool {
        let mut pairs = self.shares.values().zip(found.values());
        self.shares.keys().eq(found.keys()) && pairs.all(|(one, other)| (one - other).abs() <= tolerance)
    }

    /// How many tries tell the shares: where there is but one outcome, enough to find a second.
    pub(super) fn tries(&self) -> u16 {
        if self.shares.len() > 1 { 1_000 } else { 20 }
    }
}

/// `SHARE ENDPOINT [masqueraded]`, without a share if it is all, or another end.
fn share(text: &str) -> ((Fate, bool), f64) {
    let words: Vec<&str> = text.split_whitespace().collect();
    let (share, rest) = match words[0].split_once('/') {
        Some((part, whole)) => (number(part) / number(whole), &words[1..]),
        None => (1.0, &words[..]),
    };
    let fate = match rest[0] {
        "rejected" => Fate::Rejected,
        "dropped" => Fate::Dropped,
        "untouched" => Fate::Untouched,
        endpoint => Fate::Endpoint(
            endpoint
                .parse()
                .unwrap_or_else(|_| panic!("{endpoint} is no end")),
        ),
    };
    let masqueraded = match rest[1..] {
        [] => false,
        ["masqueraded"] => true,
        _ => panic!("{text} is not understood"),
    };
    ((fate, masqueraded), share)
}

fn number(text: &str) -> f64 {
    text.parse().unwrap_or_else(|_| panic!("{text} is no number"))
}

impl fmt::Display for Row {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

/// For people.
pub(super) fn words(shares: &Shares) -> String {
    let words = shares.iter().map(|((fate, masqueraded), share)| {
        let masqueraded = if *masqueraded { " masqueraded" } else { "" };
        format!("{share:.5} {fate:?}{masqueraded}")
    });
    words.collect::<Vec<_>>().join(", ")
}
