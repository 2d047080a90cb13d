//! Most packets belong to no flow of ours, and most of those can be told by their ends alone.

use crate::{Address, Port};

/// Ends that are told apart: as many as the kernel keeps in its own huge pages for both hooks together. More would need pages that
/// the processor has to look up itself first, which takes longer than what they spare.
pub const HINTS: usize = 1 << HINT_BITS;
const HINT_BITS: u32 = 13;

/// Where among the hints of a hook an address and port stand. Others may stand there, too.
#[must_use]
#[inline(always)]
pub fn hint<A: Address>((address, port): (A, Port)) -> usize {
    /// 2³² over the golden ratio (Knuth, The Art of Computer Programming 3, 6.4): neighbours are spread furthest.
    const SPREAD: u32 = 0x9e37_79b1;
    let end = (address.folded() ^ u32::from(port.get()).rotate_left(16)).wrapping_mul(SPREAD);
    // The highest bits depend on all others.
    (end >> (u32::BITS - HINT_BITS)) as usize
}

#[cfg(test)]
mod tests {
    use core::net::{IpAddr, Ipv4Addr, Ipv6Addr};
    use std::collections::BTreeSet;

    use super::{HINTS, hint};
    use crate::{Addr4, Addr6, Address, Port};

    fn hints_of(addresses: impl Iterator<Item = IpAddr>) -> BTreeSet<usize> {
        let hint_of = |address: IpAddr| match address {
            IpAddr::V4(_) => hint((Addr4::from_ip(address).unwrap(), Port::new(80))),
            IpAddr::V6(_) => hint((Addr6::from_ip(address).unwrap(), Port::new(80))),
        };
        addresses.map(hint_of).collect()
    }

    #[test]
    fn the_addresses_of_a_network_are_told_apart() {
        let v4 = (0..1_000).map(|number| Ipv4Addr::from_bits(0x0a60_0000 + number).into());
        let v6 = (0..1_000).map(|number| Ipv6Addr::from_bits((0xfd00_0096 << 96) + number).into());
        for hints in [hints_of(v4), hints_of(v6)] {
            // By chance it would be 941.
            assert!(hints.len() > 930, "{}", hints.len());
            assert!(hints.iter().all(|hint| *hint < HINTS));
        }
    }

    #[test]
    fn the_ports_of_an_address_are_told_apart() {
        let address = Addr4::from_ip(Ipv4Addr::new(10, 96, 0, 1).into()).unwrap();
        let hints: BTreeSet<usize> = (0..1_000).map(|port| hint((address, Port::new(port)))).collect();
        assert!(hints.len() > 930, "{}", hints.len());
    }
}
