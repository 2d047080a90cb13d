//! What the chains are called. A kube-proxy that comes after us, and whatever reads its rules, must find its own names.

use std::fmt;

use data_encoding::BASE32;
use ring::digest::{SHA256, digest};

/// In table filter: Services whose clients are refused. In table nat: all Services.
pub const SERVICES: &str = "KUBE-SERVICES";
/// Clients from outside that are refused.
pub const EXTERNAL_SERVICES: &str = "KUBE-EXTERNAL-SERVICES";
/// In table filter: health check node ports. In table nat: node ports.
pub const NODE_PORTS: &str = "KUBE-NODEPORTS";
/// Masquerades what is marked.
pub const POSTROUTING: &str = "KUBE-POSTROUTING";
/// Marks what is to be masqueraded.
pub const MARK_MASQ: &str = "KUBE-MARK-MASQ";
/// Lets Service traffic be forwarded.
pub const FORWARD: &str = "KUBE-FORWARD";
/// Drops what a load balancer's source ranges keep out.
pub const PROXY_FIREWALL: &str = "KUBE-PROXY-FIREWALL";
/// kubelet's: keeps others from the node's loopback addresses.
pub const KUBELET_FIREWALL: &str = "KUBE-FIREWALL";
/// Empty; in tables mangle, nat and filter. Where it is gone somebody has flushed the rules.
pub const CANARY: &str = "KUBE-PROXY-CANARY";

/// The first characters of every chain of a Service port, by what it does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum ChainKind {
    /// Chooses an endpoint under policy Cluster.
    Service,
    /// Chooses an endpoint under policy Local.
    ServiceLocal,
    /// What comes by a node port, an external IP or a load balancer IP.
    External,
    /// Lets in what a load balancer's source ranges allow.
    Firewall,
    /// Sends to one endpoint.
    Endpoint,
}

impl ChainKind {
    const ALL: [Self; 5] = [
        Self::Service,
        Self::ServiceLocal,
        Self::External,
        Self::Firewall,
        Self::Endpoint,
    ];

    const fn prefix(self) -> &'static str {
        match self {
            Self::Service => "KUBE-SVC-",
            Self::ServiceLocal => "KUBE-SVL-",
            Self::External => "KUBE-EXT-",
            Self::Firewall => "KUBE-FW-",
            Self::Endpoint => "KUBE-SEP-",
        }
    }
}

/// Whether a chain of table nat is one of a Service, of ours or of a kube-proxy before us.
#[must_use]
pub fn is_service_chain(name: &str) -> bool {
    ChainKind::ALL.iter().any(|kind| name.starts_with(kind.prefix()))
}

/// The first bits of the SHA-256 of what a chain is for: the 16 characters of base32 that a name has room for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Hash([u8; 10]);

impl Hash {
    /// Of a Service port's `namespace/name:port` and its protocol in lower case, with `address:port` if it is an endpoint's.
    pub(super) fn of(text: &str) -> Self {
        let mut hash = Self::default();
        let digest = digest(&SHA256, text.as_bytes());
        hash.0
            .iter_mut()
            .zip(digest.as_ref())
            .for_each(|(to, from)| *to = *from);
        hash
    }
}

impl fmt::Display for Hash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut text = [0; 16];
        BASE32.encode_mut(&self.0, &mut text);
        f.write_str(str::from_utf8(&text).map_err(|_| fmt::Error)?)
    }
}

/// The name of a Service's chain: of 28 characters at most, in fewer bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct ChainName {
    pub(super) kind: ChainKind,
    pub(super) hash: Hash,
}

impl ChainName {
    /// None if it is not a name that a Service's chain could have.
    pub(super) fn parse(name: &str) -> Option<Self> {
        let of_kind = |kind: &ChainKind| Some((*kind, name.strip_prefix(kind.prefix())?));
        let (kind, encoded) = ChainKind::ALL.iter().find_map(of_kind)?;
        let mut hash = Hash::default();
        if encoded.len() != 16 {
            return None;
        }
        BASE32.decode_mut(encoded.as_bytes(), &mut hash.0).ok()?;
        Some(Self { kind, hash })
    }
}

impl fmt::Display for ChainName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.kind.prefix())?;
        self.hash.fmt(f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn service_chains_have_the_names_that_kube_proxy_gives_them() {
        for (service_port, hash) in [
            ("ns1/svc1:p80tcp", "XPGD46QRK7WJZT7O"),
            ("ns2/svc2:p80tcp", "GNZBNJ2PO5MGZ6GT"),
            ("ns3/svc3:p80tcp", "X27LE4BHSL4DOUIK"),
            ("ns4/svc4:p80tcp", "4SW47YFZTEDKD3PK"),
            ("ns5/svc5:p80tcp", "NUKIZ6OKUXPJNT4C"),
            ("ns2/svc2:p8080tcp", "2VJB64SDSIJUP5T6"),
            ("default/kubernetes:httpstcp", "NPX46M4PTMTKRN6Y"),
            ("kube-system/kube-dns:dnsudp", "TCOU7JCQXEZGVUNU"),
            ("kube-system/kube-dns:dns-tcptcp", "ERIFXISQEP7F7OF4"),
            ("ns1/svc1:p80tcp10.180.0.1:80", "SXIVWICOYRO3J4NJ"),
            ("ns2/svc2:p80tcp10.180.0.2:80", "RS4RBKLTHTF2IUXJ"),
            ("ns3/svc3:p80tcp10.180.0.3:80", "OYPFS5VJICHGATKP"),
            ("ns4/svc4:p80tcp10.180.0.4:80", "UKSFD7AGPMPPLUHC"),
            ("ns4/svc4:p80tcp10.180.0.5:80", "C6EBXVWJJZMIWKLZ"),
            ("ns5/svc5:p80tcp10.180.0.3:80", "I77PXRDZVX7PMWMN"),
            ("ns1/svc1:p80tcp10.0.1.1:80", "SNQ3ZNILQDEJNDQO"),
        ] {
            assert_eq!(Hash::of(service_port).to_string(), hash, "{service_port}");
        }
    }

    #[test]
    fn a_name_that_is_read_is_the_one_that_was_written() {
        for kind in ChainKind::ALL {
            let hash = Hash::of("ns1/svc1:p80tcp");
            let name = ChainName { kind, hash };
            assert!(name.to_string().len() <= 28, "{name} is too long for iptables");
            assert_eq!(ChainName::parse(&name.to_string()), Some(name));
            assert!(is_service_chain(&name.to_string()));
        }
    }

    #[test]
    fn chains_of_others_are_not_taken_for_ours() {
        for name in [
            SERVICES,
            "KUBE-SVC-",
            "KUBE-SVC-XPGD46QRK7WJZT7",
            "KUBE-SVC-XPGD46QRK7WJZT7OO",
            "KUBE-SVC-xpgd46qrk7wjzt7o",
            "KUBE-HP-XPGD46QRK7WJZT7O",
            "",
        ] {
            assert_eq!(ChainName::parse(name), None, "{name}");
        }
        assert!(is_service_chain("KUBE-SVC-of-an-older-kind"));
        assert!(!is_service_chain("KUBE-HP-XPGD46QRK7WJZT7O"));
        assert!(!is_service_chain("KUBE-SERVICES"));
    }
}
