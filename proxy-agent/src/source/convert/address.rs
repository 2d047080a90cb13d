//! Addresses as Kubernetes reads them: leading zeros of an IPv4 octet are decimal, `010.0.0.011` is `10.0.0.11`.
//!
//! The standard parser refuses such addresses, but API servers store them: refusing or reading them as octal would send traffic
//! elsewhere than kube-proxy does.

use std::{borrow::Cow, net::IpAddr};

use ipnet::IpNet;

/// Parses an IP address. An IPv4-mapped IPv6 address is the IPv4 address.
#[must_use]
pub fn parse_ip(text: &str) -> Option<IpAddr> {
    let address: IpAddr = without_leading_zeros(text).parse().ok()?;
    Some(address.to_canonical())
}

/// Parses `address/length` and clears the bits beyond the prefix. Spaces around it are ignored.
#[must_use]
pub fn parse_cidr(text: &str) -> Option<IpNet> {
    let (address, length) = text.trim().split_once('/')?;
    let address: IpAddr = without_leading_zeros(address).parse().ok()?;
    let is_number = !length.is_empty() && length.bytes().all(|byte| byte.is_ascii_digit());
    let length = is_number.then(|| length.parse().ok())??;
    Some(IpNet::new(address, length).ok()?.trunc())
}

fn without_leading_zeros(text: &str) -> Cow<'_, str> {
    let start = text.rfind(':').map_or(0, |colon| colon + 1);
    let (head, dotted) = text.split_at(start);
    if !dotted.contains('.') {
        return Cow::Borrowed(text);
    }
    let octets: Vec<&str> = dotted.split('.').map(shorten).collect();
    Cow::Owned(format!("{head}{}", octets.join(".")))
}

fn shorten(octet: &str) -> &str {
    match octet.trim_start_matches('0') {
        "" if !octet.is_empty() => "0",
        shortened => shortened,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn leading_zeros_are_decimal() {
        for (text, expected) in [
            ("10.0.0.011", Some("10.0.0.11")),
            ("010.000.0.08", Some("10.0.0.8")),
            ("10.0.0.1", Some("10.0.0.1")),
            ("fd00::1", Some("fd00::1")),
            ("::ffff:10.0.0.011", Some("10.0.0.11")),
            ("10.0.0", None),
            ("10.0.0.256", None),
            ("10..0.1", None),
            ("10.0.0.0x1", None),
            ("None", None),
            ("", None),
        ] {
            let expected = expected.map(|text| text.parse().unwrap());
            assert_eq!(parse_ip(text), expected, "{text}");
        }
    }

    #[test]
    fn a_cidr_loses_its_host_bits_and_surrounding_spaces() {
        for (text, expected) in [
            (" 203.0.113.77/25 ", Some("203.0.113.0/25")),
            ("010.0.0.0/08", Some("10.0.0.0/8")),
            ("2001:db8::1/32", Some("2001:db8::/32")),
            ("10.0.0.0/33", None),
            ("10.0.0.0/+8", None),
            ("10.0.0.0/", None),
            ("10.0.0.0", None),
        ] {
            let expected: Option<IpNet> = expected.map(|text| text.parse().unwrap());
            assert_eq!(parse_cidr(text), expected, "{text}");
        }
    }
}
