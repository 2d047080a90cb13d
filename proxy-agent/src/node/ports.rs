//! Which source ports masquerading may take without ever meeting a socket of the node.

use std::{fs, num::ParseIntError, ops::RangeInclusive};

use super::NodeError;

const LOCAL_PORT_RANGE: &str = "/proc/sys/net/ipv4/ip_local_port_range";
const RESERVED_PORTS: &str = "/proc/sys/net/ipv4/ip_local_reserved_ports";
/// Below are the privileged ports, which servers bind to.
const FIRST: u16 = 1024;

/// kube-apiserver's default of `--service-node-port-range`.
pub const DEFAULT_NODE_PORTS: RangeInclusive<u16> = 30000..=32767;

/// The ports from 1024 up that are not in `ip_local_port_range`, `ip_local_reserved_ports` or the NodePort range, as ascending
/// ranges. IPv6 has the same ones.
///
/// # Errors
///
/// If one of the two files cannot be read or understood.
pub fn free_ports(node_ports: RangeInclusive<u16>) -> Result<Vec<RangeInclusive<u16>>, NodeError> {
    let local = parse_local_port_range(&read(LOCAL_PORT_RANGE)?)?;
    let mut taken = parse_reserved_ports(&read(RESERVED_PORTS)?)?;
    taken.extend([local, node_ports]);
    Ok(complement(taken))
}

fn read(path: &'static str) -> Result<String, NodeError> {
    fs::read_to_string(path).map_err(|source| NodeError::Read { path, source })
}

/// Reads `32768\t60999\n`.
fn parse_local_port_range(text: &str) -> Result<RangeInclusive<u16>, NodeError> {
    let malformed = || NodeError::Ports {
        path: LOCAL_PORT_RANGE,
        text: text.to_owned(),
    };
    let numbers: Result<Vec<u16>, _> = text.split_whitespace().map(str::parse).collect();
    match numbers.as_deref() {
        Ok([first, last]) if first <= last => Ok(*first..=*last),
        _ => Err(malformed()),
    }
}

/// Reads `8080,9000-9010\n`, also when it is empty.
fn parse_reserved_ports(text: &str) -> Result<Vec<RangeInclusive<u16>>, NodeError> {
    let items = text
        .trim()
        .split(',')
        .map(str::trim)
        .filter(|item| !item.is_empty());
    let ranges: Result<Vec<_>, _> = items.map(parse_range).collect();
    ranges
        .ok()
        .filter(|ranges| ranges.iter().all(|range| range.start() <= range.end()))
        .ok_or_else(|| NodeError::Ports {
            path: RESERVED_PORTS,
            text: text.to_owned(),
        })
}

fn parse_range(item: &str) -> Result<RangeInclusive<u16>, ParseIntError> {
    let (first, last) = item.split_once('-').unwrap_or((item, item));
    Ok(first.trim().parse()?..=last.trim().parse()?)
}

/// What is left of 1024..=65535.
fn complement(mut taken: Vec<RangeInclusive<u16>>) -> Vec<RangeInclusive<u16>> {
    taken.sort_by_key(|range| *range.start());
    let mut free = Vec::new();
    let mut next = u32::from(FIRST);
    let end_of_ports = u32::from(u16::MAX) + 1;
    let taken = taken.into_iter().filter(|range| !range.is_empty());
    let bounds = taken.map(|range| (u32::from(*range.start()), u32::from(*range.end()) + 1));
    for (first, after) in bounds.chain([(end_of_ports, end_of_ports)]) {
        free.extend(range(next, first));
        next = next.max(after);
    }
    free
}

/// `first..after`, if it is not empty and within the numbers of ports.
fn range(first: u32, after: u32) -> Option<RangeInclusive<u16>> {
    let range = u16::try_from(first).ok()?..=u16::try_from(after.checked_sub(1)?).ok()?;
    (!range.is_empty()).then_some(range)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_defaults_leave_the_ports_between_and_above_the_taken_ranges() {
        let local = parse_local_port_range("32768\t60999\n").unwrap();
        assert_eq!(
            complement(vec![local, DEFAULT_NODE_PORTS]),
            [1024..=29999, 61000..=65535]
        );
    }

    #[test]
    fn reserved_ports_are_left_out() {
        let mut taken = parse_reserved_ports("8080,9000-9010,65535\n").unwrap();
        taken.push(32768..=60999);
        assert_eq!(
            complement(taken),
            [1024..=8079, 8081..=8999, 9011..=32767, 61000..=65534]
        );
    }

    #[test]
    fn overlapping_and_nested_ranges_are_taken_once() {
        let taken = vec![2000..=3000, 2500..=2600, 2900..=4000, 1..=1100];
        assert_eq!(complement(taken), [1101..=1999, 4001..=65535]);
    }

    #[test]
    fn nothing_is_free_if_everything_is_taken() {
        assert_eq!(complement(vec![0..=65535]), []);
    }

    #[test]
    fn everything_from_1024_is_free_if_nothing_is_taken() {
        assert_eq!(complement(Vec::new()), [1024..=65535]);
    }

    #[test]
    fn no_reserved_ports_are_an_empty_line() {
        assert_eq!(parse_reserved_ports("\n").unwrap(), []);
    }

    #[test]
    fn a_malformed_local_port_range_is_refused_with_the_files_name() {
        for text in ["", "1", "1 2 3", "a b", "60999 32768", "1 65536", "-1 5"] {
            let error = parse_local_port_range(text).unwrap_err().to_string();
            assert!(error.contains(LOCAL_PORT_RANGE), "{text:?}: {error}");
        }
    }

    #[test]
    fn malformed_reserved_ports_are_refused_with_the_files_name() {
        for text in ["x", "1-", "-5", "9-8", "70000", "1-2-3", "1;2"] {
            let error = parse_reserved_ports(text).unwrap_err().to_string();
            assert!(error.contains(RESERVED_PORTS), "{text:?}: {error}");
        }
    }

    #[test]
    fn the_running_kernels_files_are_understood() {
        let free = free_ports(DEFAULT_NODE_PORTS).unwrap();
        assert!(
            free.iter()
                .all(|range| *range.start() >= FIRST && !range.is_empty())
        );
        assert!(
            free.iter()
                .all(|range| !range.contains(&30000) && !range.contains(&32767))
        );
        assert!(free.windows(2).all(|pair| pair[0].end() < pair[1].start()));
    }
}
