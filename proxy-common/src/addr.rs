//! Addresses and ports as they stand in a packet.

use core::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

use crate::wire::wire_types;

/// IP protocol number of TCP.
pub const TCP: u8 = 6;
/// IP protocol number of UDP.
pub const UDP: u8 = 17;

/// An IPv4 address, big-endian.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[cfg_attr(feature = "user", derive(Debug))]
#[repr(C, align(4))]
pub struct Addr4([u8; 4]);

/// An IPv6 address, big-endian.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[cfg_attr(feature = "user", derive(Debug))]
#[repr(C, align(4))]
pub struct Addr6([u8; 16]);

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

    /// The address in the standard library's words.
    fn to_ip(self) -> IpAddr;

    /// `None` if the address is of the other family.
    fn from_ip(address: IpAddr) -> Option<Self>;
}

impl Address for Addr4 {
    const ANY: Self = Self([0; 4]);

    fn to_ip(self) -> IpAddr {
        IpAddr::V4(Ipv4Addr::from(self.0))
    }

    fn from_ip(address: IpAddr) -> Option<Self> {
        match address {
            IpAddr::V4(v4) => Some(Self(v4.octets())),
            IpAddr::V6(_) => None,
        }
    }
}

impl Address for Addr6 {
    const ANY: Self = Self([0; 16]);

    fn to_ip(self) -> IpAddr {
        IpAddr::V6(Ipv6Addr::from(self.0))
    }

    fn from_ip(address: IpAddr) -> Option<Self> {
        match address {
            IpAddr::V4(_) => None,
            IpAddr::V6(v6) => Some(Self(v6.octets())),
        }
    }
}

/// A transport port, big-endian.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[cfg_attr(feature = "user", derive(Debug))]
#[repr(C)]
pub struct Port([u8; 2]);

impl Port {
    /// From a number.
    #[must_use]
    #[inline(always)]
    pub const fn new(port: u16) -> Self {
        Self(port.to_be_bytes())
    }

    /// As a number.
    #[must_use]
    #[inline(always)]
    pub const fn get(self) -> u16 {
        u16::from_be_bytes(self.0)
    }
}
