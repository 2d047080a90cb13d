//! How the words are written.

use std::{fmt, str::FromStr};

use anyhow::{Result, bail};

use super::{Client, Destination, Door, Endpoint, Node, Part, Source};

impl fmt::Display for Node {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Here => "here",
            Self::There => "there",
        })
    }
}

impl fmt::Display for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::A => "a",
            Self::B => "b",
            Self::C => "c",
            Self::D => "d",
        })
    }
}

impl fmt::Display for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Pod(node) => write!(f, "pod {node}"),
            Self::Endpoint(endpoint) => write!(f, "pod {endpoint}"),
            Self::Node => f.write_str("node"),
            Self::Outside => f.write_str("outside"),
        }
    }
}

impl fmt::Display for Door {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::ClusterIp => f.write_str("ClusterIP"),
            Self::ExternalIp => f.write_str("ExternalIP"),
            Self::LoadBalancerIp => f.write_str("LoadBalancer IP"),
            Self::NodePort(node) => write!(f, "NodePort {node}"),
        }
    }
}

impl fmt::Display for Destination {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let part = match self.part {
            Part::Own => "",
            Part::OtherPort => " other port",
            Part::OtherProtocol => " other protocol",
        };
        write!(f, "{}{part}", self.door)
    }
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Kept => "kept",
            Self::Masqueraded => "masqueraded",
        })
    }
}

/// The one of `all` that is written like `text`.
pub(in crate::flows) fn find<T: Copy + fmt::Display>(
    what: &str,
    text: &str,
    all: impl AsRef<[T]>,
) -> Result<T> {
    let all = all.as_ref();
    if let Some(found) = all.iter().find(|one| one.to_string() == text) {
        return Ok(*found);
    }
    let known: Vec<String> = all.iter().map(|one| format!("`{one}`")).collect();
    bail!("`{text}` is no {what}; there are {}", known.join(", "))
}

impl FromStr for Destination {
    type Err = anyhow::Error;

    fn from_str(text: &str) -> Result<Self> {
        let all = Door::ALL.iter().flat_map(|door| {
            [Part::Own, Part::OtherPort, Part::OtherProtocol].map(|part| Self { door: *door, part })
        });
        find("destination", text, all.collect::<Vec<_>>())
    }
}
