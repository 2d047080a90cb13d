//! The answer's bytes, built in a map: the stack has no room for them.

use core::{ffi::c_void, ptr};

use aya_ebpf::{
    helpers::generated::{bpf_csum_diff, bpf_skb_load_bytes},
    programs::TcContext,
};
use proxy_common::{TCP, csum};

use crate::{Family, parse::Packet};

/// Words of the longest answer: to IPv4 with ten words of options 5 + 2 + 15 + 2, to IPv6 10 + 2 + 10 + 2.
const WORDS: usize = 24;

const ICMP: u8 = 1;
const ICMPV6: u8 = 58;
/// What Linux begins with.
const HOP_LIMIT: u32 = 64;
/// Of the transport header, RFC 792: the ports and four bytes more.
const QUOTED_TRANSPORT: u32 = 8;

/// The answer that this CPU is building.
#[repr(C)]
pub struct Answer {
    /// Destination and source of the Ethernet header.
    pub(super) macs: [u8; 12],
    /// From the IP header on, as it goes into the packet.
    pub(super) words: [u32; WORDS],
}

impl Answer {
    /// Builds the answer to `packet` and returns its length in bytes, from the IP header on.
    #[inline(always)]
    pub(super) fn build<F: Family>(
        &mut self,
        ctx: &TcContext,
        packet: &Packet<'_, F::Address>,
    ) -> Result<u32, i64> {
        if packet.tuple.protocol() == TCP {
            self.reset::<F>(ctx, packet)
        } else {
            self.port_unreachable::<F>(ctx, packet)
        }
    }

    /// RFC 9293, 3.10.7.1: a segment without ACK to a closed port gets sequence number 0 and everything acknowledged.
    #[inline(always)]
    fn reset<F: Family>(&mut self, ctx: &TcContext, packet: &Packet<'_, F::Address>) -> Result<u32, i64> {
        const LEN: u32 = 20;
        const RST_ACK: u32 = 0x5014_0000;
        let at = transport::<F>();
        let acknowledged = acknowledged::<F>(ctx, packet)?;
        let (client, vip) = (packet.tuple.source().1, packet.tuple.destination().1);
        self.header::<F>(ctx, packet, TCP, LEN, 0)?;
        self.words[at] = (u32::from(vip.get()) << 16 | u32::from(client.get())).to_be();
        self.words[at + 1] = 0;
        self.words[at + 2] = acknowledged.to_be();
        self.words[at + 3] = RST_ACK.to_be();
        self.words[at + 4] = 0;
        let check = self.checksum(
            addresses::<F>(),
            pseudo_header_len::<F>() + LEN,
            pseudo_header(TCP, LEN),
        );
        self.words[at + 4] = (check << 16).to_be();
        Ok(header_len::<F>() + LEN)
    }

    /// RFC 792 and RFC 4443: the IP header and the first bytes behind it, as they came.
    #[inline(always)]
    fn port_unreachable<F: Family>(
        &mut self,
        ctx: &TcContext,
        packet: &Packet<'_, F::Address>,
    ) -> Result<u32, i64> {
        let (protocol, kind) = if F::IPV6 {
            (ICMPV6, 0x0104_0000_u32)
        } else {
            (ICMP, 0x0303_0000)
        };
        let at = transport::<F>();
        let len = self.quote::<F>(ctx, packet)? + 8;
        // Its identification is as good as one of our own: the client has given it to no other packet of late.
        let id = if F::IPV6 {
            0
        } else {
            u32::from_be(self.words[at + 3]) & 0xffff_0000
        };
        self.header::<F>(ctx, packet, protocol, len, id)?;
        self.words[at] = kind.to_be();
        self.words[at + 1] = 0;
        let check = if F::IPV6 {
            self.checksum(
                addresses::<F>(),
                pseudo_header_len::<F>() + len,
                pseudo_header(protocol, len),
            )
        } else {
            self.checksum(at, len, 0)
        };
        self.words[at] = (kind | check).to_be();
        Ok(header_len::<F>() + len)
    }

    /// Quotes the packet and returns the quote's length: a whole number of words.
    #[inline(always)]
    fn quote<F: Family>(&mut self, ctx: &TcContext, packet: &Packet<'_, F::Address>) -> Result<u32, i64> {
        let header = if F::IPV6 {
            40
        } else {
            // The verifier does not know how long the header is: at most 60 bytes.
            small(packet.l4() - packet.l3()) & 0x3c
        };
        let len = header + QUOTED_TRANSPORT;
        let to = self.words[transport::<F>() + 2..].as_mut_ptr().cast::<c_void>();
        load(ctx, packet.l3(), to, len)?;
        Ok(len)
    }

    /// The IP header before `len` bytes of `protocol`, from whom the packet was for to whom it was from.
    #[inline(always)]
    fn header<F: Family>(
        &mut self,
        ctx: &TcContext,
        packet: &Packet<'_, F::Address>,
        protocol: u8,
        len: u32,
        id: u32,
    ) -> Result<(), i64> {
        let size = size_of::<F::Address>();
        let (source, destination) = (packet.l3() + F::ADDRESSES, packet.l3() + F::ADDRESSES + size);
        let to = self.words[addresses::<F>()..].as_mut_ptr().cast::<c_void>();
        load(ctx, destination, to, small(size))?;
        // SAFETY: the words have room for both addresses.
        load(ctx, source, unsafe { to.add(size) }, small(size))?;
        let protocol = u32::from(protocol);
        if F::IPV6 {
            self.words[0] = 0x6000_0000_u32.to_be();
            self.words[1] = (len << 16 | protocol << 8 | HOP_LIMIT).to_be();
            return Ok(());
        }
        // As Linux does: resets must not be fragmented, ICMP errors have the precedence of internetwork control.
        let (tos, fragment) = if protocol == u32::from(TCP) {
            (0, 0x4000)
        } else {
            (0xc0, 0)
        };
        self.words[0] = (0x4500_0000 | tos << 16 | (len + 20)).to_be();
        self.words[1] = (id | fragment).to_be();
        let life = HOP_LIMIT << 24 | protocol << 16;
        self.words[2] = life.to_be();
        self.words[2] = (life | self.checksum(0, 20, 0)).to_be();
        Ok(())
    }

    /// The checksum of `len` bytes from word `at` on, on top of `seed`.
    #[inline(always)]
    fn checksum(&mut self, at: usize, len: u32, seed: u32) -> u32 {
        let words = self.words[at..].as_mut_ptr();
        // SAFETY: `len` bytes are within the words: the verifier proves it.
        let sum = unsafe { bpf_csum_diff(ptr::null_mut(), 0, words, len, seed) };
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "a sum of 32 bits; the helper fails only for lengths that are no multiple of four or beyond 512"
        )]
        let sum = sum as u32;
        u16::from_be_bytes(csum::of_sum(sum)).into()
    }
}

/// The next sequence number that the sender of a SYN has not used: SYN counts, and so does what the segment carries.
#[inline(always)]
fn acknowledged<F: Family>(ctx: &TcContext, packet: &Packet<'_, F::Address>) -> Result<u32, i64> {
    let sequence = u32::from_be(ctx.skb.load(packet.l4() + 4)?);
    let header = u32::from(ctx.skb.load::<u8>(packet.l4() + 12)? >> 4) * 4;
    // Not what arrived: Ethernet pads.
    let segment = if F::IPV6 {
        u32::from(u16::from_be(ctx.skb.load(packet.l3() + 4)?))
    } else {
        let total = u32::from(u16::from_be(ctx.skb.load(packet.l3() + 2)?));
        total.saturating_sub(small(packet.l4() - packet.l3()))
    };
    Ok(sequence
        .wrapping_add(1)
        .wrapping_add(segment.saturating_sub(header)))
}

#[inline(always)]
fn load(ctx: &TcContext, offset: usize, to: *mut c_void, len: u32) -> Result<(), i64> {
    // SAFETY: `len` bytes from `to` on are writable: the verifier proves it.
    match unsafe { bpf_skb_load_bytes(ctx.skb.skb.cast(), small(offset), to, len) } {
        0 => Ok(()),
        error => Err(error),
    }
}

/// What the checksum of a transport header sums up beside header, payload and addresses.
#[inline(always)]
fn pseudo_header(protocol: u8, len: u32) -> u32 {
    (len + u32::from(protocol)).to_be()
}

/// Bytes of both addresses, which stand right before the transport header.
#[inline(always)]
const fn pseudo_header_len<F: Family>() -> u32 {
    small(2 * size_of::<F::Address>())
}

#[inline(always)]
const fn header_len<F: Family>() -> u32 {
    if F::IPV6 { 40 } else { 20 }
}

/// Word of the addresses.
#[inline(always)]
const fn addresses<F: Family>() -> usize {
    F::ADDRESSES / 4
}

/// Word of the transport header.
#[inline(always)]
const fn transport<F: Family>() -> usize {
    header_len::<F>() as usize / 4
}

#[expect(
    clippy::cast_possible_truncation,
    reason = "a place in the headers of a packet"
)]
#[inline(always)]
const fn small(number: usize) -> u32 {
    number as u32
}
