//! `--metrics-bind-address`.

use std::{
    net::{IpAddr, Ipv4Addr, SocketAddr},
    str::FromStr,
};

/// kube-proxy's port.
const PORT: u16 = 10_249;

/// An address to listen at, if any.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct BindAddress(pub(super) Option<SocketAddr>);

impl Default for BindAddress {
    /// kube-proxy's: only for the node itself.
    fn default() -> Self {
        Self(Some(SocketAddr::new(Ipv4Addr::LOCALHOST.into(), PORT)))
    }
}

impl FromStr for BindAddress {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if text.is_empty() {
            return Ok(Self(None));
        }
        let without_port = || {
            text.parse::<IpAddr>()
                .map(|address| SocketAddr::new(address, PORT))
        };
        let address = text.parse::<SocketAddr>().or_else(|_| without_port());
        let wrong =
            |_| format!("{text:?} is no address; write one such as 0.0.0.0, 127.0.0.1:10249 or [::1]:10249");
        address.map(|address| Self(Some(address))).map_err(wrong)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_may_have_a_port_and_nothing_is_nowhere() {
        for (text, expected) in [
            ("127.0.0.1:9000", Some("127.0.0.1:9000")),
            ("0.0.0.0", Some("0.0.0.0:10249")),
            ("::", Some("[::]:10249")),
            ("[::1]:9000", Some("[::1]:9000")),
            ("", None),
        ] {
            let expected = expected.map(|text| text.parse().expect("an address"));
            assert_eq!(text.parse(), Ok(BindAddress(expected)), "{text}");
        }
        for text in ["localhost", ":10249", "127.0.0.1:", "127.0.0.1:70000"] {
            assert!(text.parse::<BindAddress>().is_err(), "{text}");
        }
    }
}
