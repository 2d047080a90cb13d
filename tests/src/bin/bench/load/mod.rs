//! Traffic that says what a path costs: one client and one server, in turn on one processor, so that every nanosecond of the path
//! is in the figure and none of waking another processor.

mod client;
mod datagrams;
mod processor;
mod server;

use std::time::Duration;

pub(crate) use client::{Connections, connections, requests, stream};
pub(crate) use datagrams::{Echo, connects, exchanges};
pub(crate) use server::Server;

/// Nobody is that slow: the path is broken.
const PATIENCE: Duration = Duration::from_secs(5);
/// Bytes of a request, and of its answer.
const MESSAGE: usize = 64;
/// The first byte of a connection that is asked for nothing but to take everything, and to say then how much it was.
const TAKE_ALL: u8 = b'T';
/// Bytes of one write of a stream.
const BLOCK: usize = 128 * 1024;
