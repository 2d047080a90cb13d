//! Addresses and ports as they stand in a packet.

use core::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

use crate::{csum, wire::wire_types};

/// IP protocol number of TCP.
pub const TCP: u8 = 6;
/// IP protocol number of UDP.
pub const UDP: u8 = 17;

/// The third word of an IPv4 address in an IPv6 one (RFC 4291, 2.5.5.2), as it stands there.
const MAPPED: u32 = 0xffff_u32.to_be();

/// An IPv4 address, big-endian.
#[derive(Clone, Copy, Eq, PartialOrd, Ord, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[cfg_attr(feature = "user", derive(Debug))]
#[repr(C, align(4))]
pub struct Addr4 {
    octets: [u8; 4],
}

/// An IPv6 address, big-endian.
#[derive(Clone, Copy, Eq, PartialOrd, Ord, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[cfg_attr(feature = "user", derive(Debug))]
#[repr(C, align(4))]
pub struct Addr6 {
    octets: [u8; 16],
}

impl Addr4 {
    pub(crate) const FIELD_BYTES: usize = 4;
}

impl Addr6 {
    pub(crate) const FIELD_BYTES: usize = 16;
}

wire_types! { Addr4 = 4, Addr6 = 16 }

/// An address of one family; implemented by [`Addr4`] and [`Addr6`] only.
pub trait Address: Copy + Eq + Ord + FromBytes + IntoBytes + Immutable + KnownLayout + 'static {
    /// The any-address, which stands for "any address of the node" in a NodePort's frontend.
    const ANY: Self;

    /// The mask under which an address is itself alone.
    const ALL_ONES: Self;

    /// [`Self::ANY`], not as a constant: that would be a call of `memset` on BPF, which the verifier refuses.
    fn any() -> Self;

    /// The address in the standard library's words.
    fn to_ip(self) -> IpAddr;

    /// `None` if the address is of the other family.
    fn from_ip(address: IpAddr) -> Option<Self>;

    /// As an IPv6 one: IPv4 addresses are mapped (RFC 4291, 2.5.5.2).
    fn to_v6(self) -> Addr6;

    /// Back from there, if it is of this family.
    fn of_v6(address: Addr6) -> Self;

    /// What a checksum over this address changes by when it becomes `new`; see [`csum::diff`].
    fn csum_diff(self, new: Self) -> u32;

    /// All of its words, one exclusive-or'ed into the other.
    fn folded(self) -> u32;

    /// Whether a host can have it: neither the any-address nor multicast, broadcast or reserved (class E).
    fn is_unicast(self) -> bool;

    /// Whether both have the same bits where `mask` has one.
    fn is_equal_under(self, mask: Self, other: Self) -> bool;
}

// Comparisons and sums take whole words: bytes would be taken apart one by one on BPF.

impl Addr4 {
    /// From its words, whose bytes are big-endian, as the kernel's contexts have them.
    #[must_use]
    #[inline(always)]
    pub const fn of_words(words: [u32; 1]) -> Self {
        Self {
            octets: zerocopy::transmute!(words),
        }
    }

    /// Its words, whose bytes are big-endian.
    #[must_use]
    #[inline(always)]
    pub const fn words(self) -> [u32; 1] {
        [u32::from_ne_bytes(self.octets)]
    }
}

impl Addr6 {
    /// From its words, whose bytes are big-endian, as the kernel's contexts have them.
    #[must_use]
    #[inline(always)]
    pub const fn of_words(words: [u32; 4]) -> Self {
        Self {
            octets: zerocopy::transmute!(words),
        }
    }

    /// Its words, whose bytes are big-endian.
    #[must_use]
    #[inline(always)]
    pub const fn words(self) -> [u32; 4] {
        zerocopy::transmute!(self.octets)
    }

    /// Whether an IPv4 address is in it.
    #[must_use]
    #[inline(always)]
    pub const fn is_mapped(self) -> bool {
        let [a, b, c, _] = self.words();
        a | b == 0 && c == MAPPED
    }
}

impl PartialEq for Addr4 {
    #[inline(always)]
    fn eq(&self, other: &Self) -> bool {
        self.words()[0] == other.words()[0]
    }
}

impl PartialEq for Addr6 {
    #[inline(always)]
    fn eq(&self, other: &Self) -> bool {
        let ([a, b, c, d], [e, f, g, h]) = (self.words(), other.words());
        (a ^ e) | (b ^ f) | (c ^ g) | (d ^ h) == 0
    }
}

impl PartialEq for Port {
    #[inline(always)]
    fn eq(&self, other: &Self) -> bool {
        self.word() == other.word()
    }
}

impl Address for Addr4 {
    const ANY: Self = Self { octets: [0; 4] };
    const ALL_ONES: Self = Self { octets: [0xff; 4] };

    #[inline(always)]
    fn any() -> Self {
        Self::ANY
    }

    fn to_ip(self) -> IpAddr {
        IpAddr::V4(Ipv4Addr::from(self.octets))
    }

    fn from_ip(address: IpAddr) -> Option<Self> {
        match address {
            IpAddr::V4(v4) => Some(Self { octets: v4.octets() }),
            IpAddr::V6(_) => None,
        }
    }

    #[inline(always)]
    fn to_v6(self) -> Addr6 {
        let [word] = self.words();
        Addr6::of_words([0, 0, MAPPED, word])
    }

    #[inline(always)]
    fn of_v6(address: Addr6) -> Self {
        let [.., word] = address.words();
        Self::of_words([word])
    }

    #[inline(always)]
    fn csum_diff(self, new: Self) -> u32 {
        csum::diff(self.words(), new.words())
    }

    #[inline(always)]
    fn folded(self) -> u32 {
        self.words()[0]
    }

    #[inline(always)]
    fn is_unicast(self) -> bool {
        self.words()[0] != 0 && self.octets[0] < 224
    }

    #[inline(always)]
    fn is_equal_under(self, mask: Self, other: Self) -> bool {
        (self.words()[0] ^ other.words()[0]) & mask.words()[0] == 0
    }
}

impl Address for Addr6 {
    const ANY: Self = Self { octets: [0; 16] };
    const ALL_ONES: Self = Self { octets: [0xff; 16] };

    #[inline(always)]
    fn any() -> Self {
        // SAFETY: a local variable, read back so that the compiler does not know what is in it.
        let zero = unsafe { core::ptr::read_volatile(&0_u32) };
        Self {
            octets: zerocopy::transmute!([zero; 4]),
        }
    }

    fn to_ip(self) -> IpAddr {
        IpAddr::V6(Ipv6Addr::from(self.octets))
    }

    fn from_ip(address: IpAddr) -> Option<Self> {
        match address {
            IpAddr::V4(_) => None,
            IpAddr::V6(v6) => Some(Self { octets: v6.octets() }),
        }
    }

    #[inline(always)]
    fn to_v6(self) -> Addr6 {
        self
    }

    #[inline(always)]
    fn of_v6(address: Addr6) -> Self {
        address
    }

    #[inline(always)]
    fn csum_diff(self, new: Self) -> u32 {
        csum::diff(self.words(), new.words())
    }

    #[inline(always)]
    fn folded(self) -> u32 {
        let [a, b, c, d] = self.words();
        a ^ b ^ c ^ d
    }

    #[inline(always)]
    fn is_unicast(self) -> bool {
        let [a, b, c, d] = self.words();
        a | b | c | d != 0 && self.octets[0] != 0xff
    }

    #[inline(always)]
    fn is_equal_under(self, mask: Self, other: Self) -> bool {
        let ([a, b, c, d], [e, f, g, h], [m, n, o, p]) = (self.words(), other.words(), mask.words());
        ((a ^ e) & m) | ((b ^ f) & n) | ((c ^ g) & o) | ((d ^ h) & p) == 0
    }
}

/// A transport port, big-endian.
#[derive(Clone, Copy, Eq, PartialOrd, Ord, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[cfg_attr(feature = "user", derive(Debug))]
#[repr(C, align(2))]
pub struct Port {
    be: [u8; 2],
}

impl Port {
    /// From a number.
    #[must_use]
    #[inline(always)]
    pub const fn new(port: u16) -> Self {
        Self {
            be: port.to_be_bytes(),
        }
    }

    /// As a number.
    #[must_use]
    #[inline(always)]
    pub const fn get(self) -> u16 {
        u16::from_be_bytes(self.be)
    }

    /// What a checksum over two ports changes by when they become `new`; see [`csum::diff`].
    #[must_use]
    #[inline(always)]
    pub fn csum_diff(old: [Self; 2], new: [Self; 2]) -> u32 {
        csum::diff(
            old.map(|port| u32::from(port.word())),
            new.map(|port| u32::from(port.word())),
        )
    }

    /// From a word whose bytes are big-endian, as the kernel's contexts have it.
    #[must_use]
    #[inline(always)]
    pub const fn of_word(word: u16) -> Self {
        Self {
            be: word.to_ne_bytes(),
        }
    }

    /// The word whose bytes are big-endian.
    #[must_use]
    #[inline(always)]
    pub const fn word(self) -> u16 {
        u16::from_ne_bytes(self.be)
    }
}

#[cfg(test)]
mod tests {
    use super::{Addr4, Addr6, Address};
    use core::net::IpAddr;

    fn is_unicast(text: &str) -> bool {
        let ip: IpAddr = text.parse().expect("an address");
        Addr4::from_ip(ip).map_or_else(
            || Addr6::from_ip(ip).expect("of either family").is_unicast(),
            Address::is_unicast,
        )
    }

    #[test]
    fn an_ipv4_address_is_mapped_into_an_ipv6_one_and_comes_back() {
        let v4 = Addr4::from_ip([10, 96, 0, 10].into()).expect("an IPv4 address");
        let v6 = v4.to_v6();
        assert_eq!(Ok(v6.to_ip()), "::ffff:10.96.0.10".parse());
        assert!(v6.is_mapped() && Addr4::of_v6(v6) == v4 && Addr6::of_v6(v6.to_v6()) == v6);
        for other in [
            "::10.96.0.10",
            "::fffe:10.96.0.10",
            "fd00::ffff:a60:a",
            "::1:ffff:a60:a",
        ] {
            let other = Addr6::from_ip(other.parse().expect("an address")).expect("of IPv6");
            assert!(!other.is_mapped(), "{}", other.to_ip());
        }
    }

    #[test]
    fn any_multicast_and_broadcast_are_no_addresses_of_a_host() {
        for address in [
            "10.0.0.1",
            "223.255.255.255",
            "0.0.0.1",
            "::1",
            "fe80::1",
            "fd00::1",
        ] {
            assert!(is_unicast(address), "{address}");
        }
        for address in ["0.0.0.0", "224.0.0.1", "255.255.255.255", "::", "ff02::1"] {
            assert!(!is_unicast(address), "{address}");
        }
    }
}
