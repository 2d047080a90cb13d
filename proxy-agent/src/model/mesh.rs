//! Where pods' TCP connections are translated: a service mesh must see the addresses of Services, so it keeps its pods from having
//! theirs translated at connect.
//!
//! A mesh is known by the API groups of its custom resources, which it has whatever it is called and wherever it runs.

use std::{collections::BTreeSet, fmt};

use clap::ValueEnum;

/// `--socket-lb`: whose connections are translated at connect. Those of the node's own processes always are.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum SocketLb {
    /// As `all`, unless a service mesh is installed (Istio, Linkerd, Kuma, Consul), which must see the Services' own addresses: then
    /// as `host`.
    #[default]
    Auto,
    /// Pods' TCP connections, too: their packets need no translation afterwards.
    All,
    /// Only those of the node's own processes; pods' connections are translated packet by packet.
    Host,
}

/// A service mesh whose proxies tell Services by their addresses.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Mesh {
    /// `networking.istio.io`, `security.istio.io` and others.
    Istio,
    /// `linkerd.io`, `policy.linkerd.io` and others.
    Linkerd,
    /// `kuma.io`, also that of products made of Kuma.
    Kuma,
    /// `consul.hashicorp.com`, and `auth.consul.hashicorp.com` and others of its second version.
    Consul,
}

/// Where pods' TCP connections are translated, and why.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum PodSockets {
    /// At connect: the flag says so.
    All,
    /// By their packets: the flag says so.
    Host,
    /// At connect: there is no mesh.
    NoMesh,
    /// By their packets: this mesh is there, by this API group.
    Mesh(Mesh, String),
    /// By their packets until it is known whether there is a mesh: what a mesh did not get to see cannot be made good.
    #[default]
    Unknown,
}

impl Mesh {
    const ALL: [Self; 4] = [Self::Istio, Self::Linkerd, Self::Kuma, Self::Consul];

    /// Whose API group it is.
    #[must_use]
    pub fn of_group(group: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|mesh| {
            let rest = group.strip_suffix(mesh.domain());
            rest.is_some_and(|rest| rest.is_empty() || rest.ends_with('.'))
        })
    }

    /// Its API groups are this and those below it.
    const fn domain(self) -> &'static str {
        match self {
            Self::Istio => "istio.io",
            Self::Linkerd => "linkerd.io",
            Self::Kuma => "kuma.io",
            Self::Consul => "consul.hashicorp.com",
        }
    }
}

impl fmt::Display for Mesh {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self, f)
    }
}

impl PodSockets {
    /// By the flag, and by the API groups that are served, `None` as long as nobody has said which.
    #[must_use]
    pub fn new(flag: SocketLb, api_groups: Option<&BTreeSet<String>>) -> Self {
        match (flag, api_groups) {
            (SocketLb::All, _) => Self::All,
            (SocketLb::Host, _) => Self::Host,
            (SocketLb::Auto, None) => Self::Unknown,
            (SocketLb::Auto, Some(groups)) => {
                let mesh = |group: &String| Some(Self::Mesh(Mesh::of_group(group)?, group.clone()));
                groups.iter().find_map(mesh).unwrap_or(Self::NoMesh)
            }
        }
    }

    /// Whether they are translated at connect.
    #[must_use]
    pub const fn at_connect(&self) -> bool {
        matches!(self, Self::All | Self::NoMesh)
    }
}

impl fmt::Display for PodSockets {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let how = if self.at_connect() {
            "pods' TCP connections are translated at connect"
        } else {
            "pods' connections are translated packet by packet"
        };
        match self {
            Self::All => write!(f, "--socket-lb all: {how}"),
            Self::Host => write!(f, "--socket-lb host: {how}"),
            Self::NoMesh => write!(f, "no service mesh is installed: {how}"),
            Self::Mesh(mesh, group) => {
                write!(f, "{mesh} is installed (its API group {group} is served): {how}")
            }
            Self::Unknown => write!(
                f,
                "it is not known yet whether a service mesh is installed: {how}"
            ),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn groups(names: &[&str]) -> BTreeSet<String> {
        names.iter().map(|&name| name.to_owned()).collect()
    }

    #[test]
    fn a_mesh_is_known_by_its_api_groups() {
        for (mesh, names) in [
            (
                Mesh::Istio,
                "networking.istio.io security.istio.io telemetry.istio.io extensions.istio.io install.istio.io",
            ),
            (
                Mesh::Linkerd,
                "linkerd.io policy.linkerd.io workload.linkerd.io multicluster.linkerd.io",
            ),
            (Mesh::Kuma, "kuma.io gateway.kuma.io"),
            (
                Mesh::Consul,
                "consul.hashicorp.com auth.consul.hashicorp.com mesh.consul.hashicorp.com",
            ),
        ] {
            for name in names.split(' ') {
                assert_eq!(Mesh::of_group(name), Some(mesh), "{name}");
            }
        }
    }

    #[test]
    fn groups_with_similar_names_are_no_mesh() {
        for name in [
            "",
            "apps",
            "io",
            "networking.k8s.io",
            "gateway.networking.k8s.io",
            "notistio.io",
            "networking.istio.io.example.com",
            "istio.operator.kyma-project.io",
            "mylinkerd.io",
            "linkerd.example.com",
            "kuma.io.example.com",
            "okuma.io",
            "hashicorp.com",
            "secrets.hashicorp.com",
            "myconsul.hashicorp.com",
        ] {
            assert_eq!(Mesh::of_group(name), None, "{name}");
        }
    }

    #[test]
    fn the_flag_decides_and_auto_asks_for_a_mesh() {
        let istio = groups(&["apps", "networking.istio.io"]);
        let none = groups(&["apps"]);
        let mesh = PodSockets::Mesh(Mesh::Istio, "networking.istio.io".to_owned());
        for (flag, groups, expected, at_connect) in [
            (SocketLb::All, None, PodSockets::All, true),
            (SocketLb::All, Some(&istio), PodSockets::All, true),
            (SocketLb::Host, None, PodSockets::Host, false),
            (SocketLb::Host, Some(&none), PodSockets::Host, false),
            (SocketLb::Auto, None, PodSockets::Unknown, false),
            (SocketLb::Auto, Some(&none), PodSockets::NoMesh, true),
            (SocketLb::Auto, Some(&istio), mesh, false),
        ] {
            let decision = PodSockets::new(flag, groups);
            assert_eq!(decision, expected, "{flag:?} {groups:?}");
            assert_eq!(decision.at_connect(), at_connect, "{flag:?} {groups:?}");
        }
    }

    #[test]
    fn the_log_says_what_is_done_and_why() {
        for (flag, expected) in [
            (
                SocketLb::All,
                "--socket-lb all: pods' TCP connections are translated at connect",
            ),
            (
                SocketLb::Host,
                "--socket-lb host: pods' connections are translated packet by packet",
            ),
            (
                SocketLb::Auto,
                "Linkerd is installed (its API group policy.linkerd.io is served): pods' connections are translated packet by packet",
            ),
        ] {
            let found = groups(&["policy.linkerd.io", "apps"]);
            assert_eq!(PodSockets::new(flag, Some(&found)).to_string(), expected);
        }
    }
}
