//! Megabytes in both directions at once in 64 KiB writes, which leave the sender as GSO packets.

use std::{
    io::{self, Read as _, Write as _},
    net::TcpStream,
    thread,
};

use anyhow::{Context as _, Result, ensure};

/// Size of one write.
const BLOCK: usize = 64 * 1024;

/// Sends `blocks` blocks of 64 KiB to a [`Role::Echo`](super::Role::Echo) server while it reads them back, and
/// compares every byte.
///
/// # Errors
///
/// The connection broke or stalled, or a byte came back changed.
///
/// # Panics
///
/// When the writing thread does.
pub fn exchange(stream: TcpStream, blocks: u64) -> Result<()> {
    let mut reader = stream.try_clone().context("cannot clone the socket")?;
    let writer = thread::spawn(move || write_blocks(stream, blocks));
    let mut received = vec![0; BLOCK];
    for number in 0..blocks {
        reader
            .read_exact(&mut received)
            .with_context(|| format!("block {number} of {blocks} did not come back"))?;
        ensure!(
            received == block(number),
            "block {number} of {blocks} came back changed"
        );
    }
    writer
        .join()
        .expect("the writer does not panic")
        .context("cannot send")
}

fn write_blocks(mut stream: TcpStream, blocks: u64) -> io::Result<()> {
    (0..blocks).try_for_each(|number| stream.write_all(&block(number)))
}

/// Bytes that look random and differ from block to block (SplitMix64).
fn block(number: u64) -> Vec<u8> {
    let mut state = number.wrapping_mul(0x9e37_79b9_7f4a_7c15);
    let next = || {
        state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (state ^ (state >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (mixed ^ (mixed >> 31)).to_le_bytes()
    };
    std::iter::repeat_with(next).take(BLOCK / 8).flatten().collect()
}

/// Collects a whole block before it answers, so that the way back is 64 KiB writes too.
pub(super) fn echo(mut stream: TcpStream) -> io::Result<()> {
    let mut block = vec![0; BLOCK];
    let mut filled = 0;
    loop {
        let length = stream.read(&mut block[filled..])?;
        filled += length;
        if length == 0 || filled == BLOCK {
            stream.write_all(&block[..filled])?;
            filled = 0;
        }
        if length == 0 {
            return Ok(());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn blocks_are_repeatable_and_differ() {
        assert_eq!(block(1), block(1));
        assert_ne!(block(1), block(2));
        assert_eq!(block(1).len(), BLOCK);
    }
}
