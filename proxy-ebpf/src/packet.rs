//! Bounded loads from packets, and the helpers that write to them: the only pointer arithmetic.

use core::mem::MaybeUninit;

use aya_ebpf::{
    bindings::{BPF_F_MARK_MANGLED_0, BPF_F_PSEUDO_HDR},
    helpers::generated::bpf_skb_load_bytes,
    programs::TcContext,
};
use zerocopy::FromBytes;

/// What a device's packets begin with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Layer {
    /// An Ethernet header.
    Ethernet,
    /// The IP header.
    Ip,
}

impl Layer {
    /// Bytes before the IP header.
    #[must_use]
    #[inline(always)]
    pub const fn header_len(self) -> u32 {
        match self {
            Self::Ethernet => 14,
            Self::Ip => 0,
        }
    }
}

/// Whether the packet is IPv4 and has no VLAN tag: tagged ones are the business of the VLAN's own device.
#[inline(always)]
pub fn is_ipv4(ctx: &TcContext) -> bool {
    is_untagged(ctx, 0x0800)
}

/// Whether the packet is IPv6 and has no VLAN tag.
#[inline(always)]
pub fn is_ipv6(ctx: &TcContext) -> bool {
    is_untagged(ctx, 0x86dd)
}

#[inline(always)]
fn is_untagged(ctx: &TcContext, ethertype: u16) -> bool {
    // SAFETY: the context is the kernel's, valid while the program runs.
    let (protocol, tagged) = unsafe { ((*ctx.skb.skb).protocol, (*ctx.skb.skb).vlan_present) };
    protocol == u32::from(ethertype.to_be()) && tagged == 0
}

/// A packet that can be read.
pub trait Load {
    /// Bytes of the packet, readable or not.
    fn total(&self) -> usize;

    /// The `T` at `offset` bytes from the packet's start; `None` beyond its end.
    fn load<T: FromBytes>(&self, offset: usize) -> Option<T>;

    /// Puts the `T` at `offset` into `to`; whether it is within the packet.
    fn load_to<T: FromBytes>(&self, offset: usize, to: &mut MaybeUninit<T>) -> bool;
}

impl Load for TcContext {
    #[inline(always)]
    fn total(&self) -> usize {
        self.len() as usize
    }

    #[inline(always)]
    fn load<T: FromBytes>(&self, offset: usize) -> Option<T> {
        // SAFETY: `at` has checked the bounds, any bytes are a `T`, and BPF has no aligned loads.
        at::<T>(self, offset).map(|bytes| unsafe { bytes.read() })
    }

    #[inline(always)]
    fn load_to<T: FromBytes>(&self, offset: usize, to: &mut MaybeUninit<T>) -> bool {
        let Some(bytes) = at::<T>(self, offset) else {
            return false;
        };
        // SAFETY: as in `load`; the packet is not on the stack. Told so, the compiler does not call `memmove`.
        unsafe { bytes.copy_to_nonoverlapping(to.as_mut_ptr(), 1) };
        true
    }
}

/// Where the `T` at `offset` lies, if it is within the packet.
///
/// To be read as if it were aligned: an unaligned read is compiled to a load and a shift for each byte. Headers do lie at
/// addresses that are no multiple of four; a kernel for machines that cannot load from there refuses the program.
#[inline(always)]
fn at<T>(ctx: &TcContext, offset: usize) -> Option<*const T> {
    let start = ctx.data() + offset;
    (start + size_of::<T>() <= ctx.data_end()).then_some(start as *const T)
}

/// A packet that is read piece by piece into places of the reader's: slower, but wherever the bytes lie, and however far from the
/// packet's start, which direct access has to know at most.
pub(crate) struct Copied<'a>(pub(crate) &'a TcContext);

impl Load for Copied<'_> {
    #[inline(always)]
    fn total(&self) -> usize {
        self.0.total()
    }

    #[inline(always)]
    fn load<T: FromBytes>(&self, offset: usize) -> Option<T> {
        let mut to = MaybeUninit::uninit();
        // SAFETY: it has been loaded, and any bytes are a `T`.
        self.load_to(offset, &mut to).then(|| unsafe { to.assume_init() })
    }

    #[inline(always)]
    fn load_to<T: FromBytes>(&self, offset: usize, to: &mut MaybeUninit<T>) -> bool {
        #[expect(clippy::cast_possible_truncation, reason = "headers are short, and near")]
        let (offset, len) = (offset as u32, size_of::<T>() as u32);
        // SAFETY: `to` has room for as many bytes; the helper checks the offset.
        unsafe {
            bpf_skb_load_bytes(
                self.0.skb.skb.cast_const().cast(),
                offset,
                to.as_mut_ptr().cast(),
                len,
            ) == 0
        }
    }
}

#[cfg(test)]
impl Load for [u8] {
    fn total(&self) -> usize {
        self.len()
    }

    fn load<T: FromBytes>(&self, offset: usize) -> Option<T> {
        T::read_from_prefix(self.get(offset..)?)
            .ok()
            .map(|(value, _)| value)
    }

    fn load_to<T: FromBytes>(&self, offset: usize, to: &mut MaybeUninit<T>) -> bool {
        self.load(offset).map(|value| to.write(value)).is_some()
    }
}

/// What a helper of the kernel returns.
#[inline(always)]
pub(crate) const fn done(result: i64) -> Result<(), i64> {
    match result {
        0 => Ok(()),
        error => Err(error),
    }
}

/// Makes the first `len` bytes readable, if the packet has as many and they lie in pages of their own.
#[inline(always)]
pub fn pull(ctx: &TcContext, len: u32) {
    if ctx.data() + len as usize > ctx.data_end() && ctx.len() >= len {
        // A failure leaves them unreadable: the packet then passes as one that is too short.
        let _ = ctx.skb.pull_data(len);
    }
}

/// `BPF_F_IPV6`: an IPv6 address and the transport checksum cancel out in `skb->csum` (Linux 6.16, and stable kernels).
const BPF_F_IPV6: u64 = 1 << 7;

/// Adds `diff` of an address to the transport checksum at `offset`.
///
/// Kernels without `BPF_F_IPV6` refuse it; without the flag their receive checksum offload falls back to software.
#[inline(always)]
pub fn add_to_pseudo_header(ctx: &TcContext, offset: usize, diff: u32, family: Checksum) -> Result<(), i64> {
    let flags = family.flags() | u64::from(BPF_F_PSEUDO_HDR);
    if family.ipv6
        && ctx
            .skb
            .l4_csum_replace(offset, 0, diff.into(), flags | BPF_F_IPV6)
            .is_ok()
    {
        return Ok(());
    }
    ctx.skb.l4_csum_replace(offset, 0, diff.into(), flags)
}

/// Adds `diff` of the transport header to its checksum at `offset`.
#[inline(always)]
pub fn add_to_checksum(ctx: &TcContext, offset: usize, diff: u32, family: Checksum) -> Result<(), i64> {
    ctx.skb.l4_csum_replace(offset, 0, diff.into(), family.flags())
}

/// Which rules a transport checksum follows.
#[derive(Clone, Copy)]
pub struct Checksum {
    /// UDP: zero means "none" and is left alone (RFC 768).
    pub udp: bool,
    /// Under an IPv6 header.
    pub ipv6: bool,
}

impl Checksum {
    #[inline(always)]
    fn flags(self) -> u64 {
        if self.udp { BPF_F_MARK_MANGLED_0.into() } else { 0 }
    }
}
