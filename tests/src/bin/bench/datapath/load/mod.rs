//! Traffic that says what a path costs: one client and one server, in turn on one processor, so that every nanosecond of the path
//! is in the figure and none of waking another processor.

mod client;
mod processor;
mod server;

pub(super) use client::{Connections, connections, requests, stream};
pub(super) use server::Server;

/// Bytes of a request, and of its answer.
const MESSAGE: usize = 64;
/// The first byte of a connection that is asked for nothing but to take everything, and to say then how much it was.
const TAKE_ALL: u8 = b'T';
/// Bytes of one write of a stream.
const BLOCK: usize = 128 * 1024;
