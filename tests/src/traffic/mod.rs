//! Servers that say who they are and whom they see, and clients with time limits.
//!
//! Each is a plain thread; only its sockets are opened inside a namespace, which is where they stay.

mod bulk;
mod client;
mod crowd;
mod http;
mod sctp;
mod server;
mod talker;

pub use bulk::exchange;
pub use client::{Answer, Client, Conversation};
pub use crowd::{Crowd, Strangers};
pub use http::{Page, get};
pub use sctp::{SctpListener, Seen, send_init};
pub use server::{Role, Server};
pub use talker::Talker;

use std::time::Duration;

/// How long a client waits for a connection or an answer.
pub const PATIENCE: Duration = Duration::from_secs(3);

/// How often a waiting server looks whether it shall end.
const TICK: Duration = Duration::from_millis(100);
